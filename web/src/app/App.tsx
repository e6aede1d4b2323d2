/** Routes: each page is its own part with its own error boundary. */
import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { lazy, Suspense } from 'react'
import { Redirect, Route, Router, Switch, useLocation } from 'wouter'
import { ApiError } from '../api/client'
import { NotFoundPage } from '../pages/NotFoundPage'
import { SearchPage } from '../pages/SearchPage'
import { ErrorBoundary } from './ErrorBoundary'
import { loadLivePage, loadTracePage } from './parts'
import { Shell } from './Shell'
import { inSteps } from './steps'
import { TokenPrompt } from './TokenPrompt'

/** A cache that asks again once when the server had an outage, never when it said no. */
export function createQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        retry: (failures, error) => failures < 1 && error instanceof ApiError && error.isOutage,
        refetchOnWindowFocus: false,
        // Whether the machine has a network says nothing about a server on the same machine.
        networkMode: 'always',
        staleTime: 10_000,
      },
    },
  })
}

const TracePage = lazy(loadTracePage)
const LivePage = lazy(loadLivePage)
const UploadPage = lazy(() => import('../pages/UploadPage'))

const basePath = new URL(document.baseURI).pathname.replace(/\/[^/]*$/, '')

function Pages() {
  const [path] = useLocation()
  return (
    <ErrorBoundary name="This page" resetKey={path}>
      <Switch>
        <Route path="/">{() => <Redirect to={`/search${location.search}`} replace />}</Route>
        <Route path="/search" component={SearchPage} />
        <Route path="/live">
          <Suspense fallback={null}>
            <LivePage />
          </Suspense>
        </Route>
        <Route path="/t/:traceId">
          {({ traceId }) => <Redirect to={`/trace/${traceId}${location.search}`} replace />}
        </Route>
        <Route path="/trace">
          <Suspense fallback={null}>
            <UploadPage />
          </Suspense>
        </Route>
        <Route path="/trace/:traceId">
          {({ traceId }) => (
            <Suspense fallback={null}>
              <TracePage key={traceId} traceId={traceId} />
            </Suspense>
          )}
        </Route>
        <Route component={NotFoundPage} />
      </Switch>
    </ErrorBoundary>
  )
}

export function App({ client }: { client: QueryClient }) {
  return (
    <QueryClientProvider client={client}>
      <Router base={basePath} aroundNav={inSteps}>
        <Shell>
          <Pages />
        </Shell>
        <TokenPrompt />
      </Router>
    </QueryClientProvider>
  )
}

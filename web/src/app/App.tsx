/** Routes: each page is its own part with its own error boundary. */
import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { Redirect, Route, Router, Switch, useLocation } from 'wouter'
import { ApiError } from '../api/client'
import { NotFoundPage } from '../pages/NotFoundPage'
import { SearchPage } from '../pages/SearchPage'
import { ErrorBoundary } from './ErrorBoundary'
import { Part, livePage, tracePage, uploadPage } from './Part'
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

const basePath = new URL(document.baseURI).pathname.replace(/\/[^/]*$/, '')

function Pages() {
  const [path] = useLocation()
  return (
    <ErrorBoundary name="This page" resetKey={path}>
      <Switch>
        <Route path="/">{() => <Redirect to={`/search${location.search}`} replace />}</Route>
        <Route path="/search" component={SearchPage} />
        <Route path="/live">
          <Part part={livePage} props={{}} />
        </Route>
        <Route path="/t/:traceId">
          {({ traceId }) => <Redirect to={`/trace/${traceId}${location.search}`} replace />}
        </Route>
        <Route path="/trace">
          <Part part={uploadPage} props={{}} />
        </Route>
        <Route path="/trace/:traceId">
          {({ traceId }) => <Part key={traceId} part={tracePage} props={{ traceId }} />}
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

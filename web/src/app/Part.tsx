/** Parts of the UI that are loaded when they are needed. While the server is away they say so, and come by themselves when it is back. */
import { queryOptions, useQuery } from '@tanstack/react-query'
import type { ComponentType, ReactNode } from 'react'
import { api } from '../api/client'
import { Problem } from '../parts/Problem'
import { SlowNotice, Stopped } from '../parts/SlowNotice'

export interface LoadedPart<P> {
  /** One of its own, by which it is remembered. */
  name: string
  load: () => Promise<ComponentType<P>>
}

/** The page of a trace. Search loads it once its own view stands, so that a row opens at once, also when the server is gone. */
export const tracePage: LoadedPart<{ traceId: string }> = {
  name: 'trace',
  load: async () => (await import('../pages/TracePage')).TracePage,
}

export const livePage: LoadedPart<object> = {
  name: 'live',
  load: async () => (await import('../pages/LivePage')).LivePage,
}

export const uploadPage: LoadedPart<object> = {
  name: 'upload',
  load: async () => (await import('../pages/UploadPage')).default,
}

/** The part as a question to the server: asked once, and again where it was not answered. */
export function partQuery<P>({ name, load }: LoadedPart<P>) {
  return queryOptions({
    queryKey: ['part', name],
    queryFn: async () => ({ Part: await loaded(load) }),
    staleTime: Infinity,
    gcTime: Infinity,
  })
}

async function loaded<P>(load: () => Promise<ComponentType<P>>): Promise<ComponentType<P>> {
  try {
    return await load()
  } catch (error) {
    // Browsers do not say why: of a server that is away this throws what every question to it throws.
    await api.status()
    throw new Error('The server no longer has this part of the page. Load the page again.', { cause: error })
  }
}

interface Props<P> {
  part: LoadedPart<P>
  props: P
  /** What stands in its place until it is there. */
  meanwhile?: ReactNode
}

export function Part<P extends object>({ part, props, meanwhile = null }: Props<P>) {
  const query = partQuery(part)
  const { data, error, isFetching, refetch } = useQuery(query)
  if (data !== undefined) return <data.Part {...props} />
  if (isFetching)
    return (
      <>
        {meanwhile}
        <SlowNotice active queryKey={query.queryKey} />
      </>
    )
  const again = () => void refetch()
  return error === null ? <Stopped onAgain={again} /> : <Problem error={error} onRetry={again} />
}

/** What the server found wrong with the query, for the box to show. */
import { createStore } from './store'

export interface QueryError {
  q: string
  message: string
  position: number | null
}

export const queryErrorStore = createStore<QueryError | null>(null)

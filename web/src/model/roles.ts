/** Which failed span is a cause, which passed a failure on, which was handled or came too late: as the server explains it, else as marked. */
import { FLAG } from '../api/flags'
import type { TraceModel } from './trace'

export type Role = 'origin' | 'passed' | 'handled' | 'late'

/** What of an explanation the roles need. */
export interface Explained {
  origin: readonly string[]
  failures: readonly { span_id: string; role: string }[]
}

export class Roles {
  private readonly known: ReadonlyMap<number, Role> | null

  constructor(
    private readonly model: TraceModel,
    explained: Explained | null,
  ) {
    this.known = explained === null ? null : rolesIn(model, explained)
  }

  /** The role of a node, null for one that did not fail. */
  of(node: number): Role | null {
    if (!this.model.isFailed(node)) return null
    if (this.known === null) {
      if (this.model.hasFlag(node, FLAG.handled)) return 'handled'
      return this.model.isOrigin(node) ? 'origin' : 'passed'
    }
    return this.known.get(node) ?? 'passed'
  }
}

function rolesIn(model: TraceModel, { origin, failures }: Explained): Map<number, Role> {
  const known = new Map<number, Role>()
  for (const { span_id, role } of failures) {
    if (role === 'handled') known.set(model.nodeOf(span_id), 'handled')
    if (role === 'abandoned') known.set(model.nodeOf(span_id), 'late')
  }
  for (const id of origin) known.set(model.nodeOf(id), 'origin')
  return known
}

/** Parts of the UI that are loaded when they are needed. */
import type { ComponentType } from 'react'

/** The page of a trace. Search loads it once its own view stands, so that a row opens at once, also when the server is gone. */
export async function loadTracePage(): Promise<{ default: ComponentType<{ traceId: string }> }> {
  const { TracePage } = await import('../pages/TracePage')
  return { default: TracePage }
}

export async function loadLivePage(): Promise<{ default: ComponentType }> {
  const { LivePage } = await import('../pages/LivePage')
  return { default: LivePage }
}

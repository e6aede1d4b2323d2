import { cleanup, fireEvent, render, screen } from '@testing-library/react'
import { afterEach, expect, it, vi } from 'vitest'
import { Findings } from './Findings'

afterEach(cleanup)

it('shows the traces that a finding is about', () => {
  const onShow = vi.fn()
  const { container } = render(
    <Findings
      findings={[
        {
          kind: 'failing',
          text: 'Lately broken: till · POST bank.',
          times: [],
          q: 'service="till" status=error',
        },
        {
          kind: 'slower',
          text: 'Slower than usual: till · GET rates.',
          times: [],
          q: 'service="till" dur>20ns',
        },
      ]}
      onShow={onShow}
    />,
  )
  expect(container.querySelector('.findings-failed')).not.toBeNull()
  fireEvent.click(screen.getByRole('button', { name: 'Show the slow' }))
  fireEvent.click(screen.getByRole('button', { name: 'Show the failed' }))
  expect(onShow.mock.calls).toEqual([['service="till" dur>20ns'], ['service="till" status=error']])
})

it('marks nothing as failed that is only slower', () => {
  const slower = { kind: 'slower' as const, text: 'Failover is slower than usual.', times: [], q: 'name=a' }
  const { container } = render(<Findings findings={[slower]} onShow={() => undefined} />)
  expect(container.querySelector('.findings-failed')).toBeNull()
})

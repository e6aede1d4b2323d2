/** What fails or got slower in the time, a sentence each; a click shows the traces it is about. */
import type { RangeFinding } from '../api/types'
import { zoneStore } from '../app/preferences'
import { useStore } from '../app/store'
import { sentenceIn } from '../model/moments'
import { FailedMark, Icon } from './icons'
import { Breakable } from './Names'

export function Findings({
  findings,
  onShow,
}: {
  findings: readonly RangeFinding[]
  onShow: (q: string) => void
}) {
  const zone = useStore(zoneStore)
  if (findings.length === 0) return null
  const isFailure = findings.some(({ kind }) => kind === 'failing')
  return (
    <p className={isFailure ? 'findings findings-failed' : 'findings'}>
      {isFailure ? <FailedMark /> : <Icon name="flag" size={14} />}
      <span>
        {findings.map(({ kind, text, times, q }) => (
          <span key={kind}>
            <Breakable text={sentenceIn(zone, text, times)} />{' '}
            <button type="button" className="link-button" title={q} onClick={() => onShow(q)}>
              {kind === 'failing' ? 'Show the failed' : 'Show the slow'}
            </button>{' '}
          </span>
        ))}
      </span>
    </p>
  )
}

/** What the traces share: for each value its part of the selection as a bar, and of all others as a tick. A click adds it to the query. */
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { api } from '../api/client'
import type { Summary } from '../api/types'
import { zoneStore } from '../app/preferences'
import { useStore } from '../app/store'
import { MOST_COLUMNS, type SearchState } from '../app/url'
import { useAttributeKeys } from '../app/useSuggestions'
import {
  chosenValues,
  isStrong,
  sharedFacets,
  withValue,
  type FacetValue,
  type SharedFacet,
} from '../model/facets'
import { formatCount, formatPercent, plural, visibleName } from '../model/format'
import { reasonIn } from '../model/moments'
import { attributeKey } from '../model/query'
import type { Range } from '../model/range'
import { unquote } from '../model/scanner'
import { AttributeKeyForm } from './AttributeKeyForm'
import { Icon } from './icons'
import { Breakable, CutName } from './Names'

/** Values of a facet until more are asked for, and open facets. */
const VALUES_SHOWN = 5
const OPEN_AT_FIRST = 6
/** Of a facet that was added. */
const MOST_VALUES = 20

interface Props {
  summary: Summary
  state: SearchState
  onQuery: (q: string) => void
  /** Facets of the reader's own, as a query writes their keys. */
  onFacets: (keys: readonly string[]) => void
}

export function Facets({ summary, state, onQuery, onFacets }: Props) {
  const { q, facet: own } = state
  const { facets, facets_of: of, selected } = summary
  // An empty selection is not compared with anything: all its shares would be 0.
  const isSelected = selected !== null && of.selected > 0
  const shared = sharedFacets(facets, {
    matched: of.matched,
    failed: of.failed,
    selected: isSelected ? of.selected : null,
  })
  const leaveOut = (key: string) => onFacets(own.filter((one) => one !== key))
  const compared = isSelected ? 'all others' : of.failed > 0 ? 'failed' : null
  return (
    <>
      <h2>{isSelected ? 'In the selection' : 'In the matches'}</h2>
      <p className="facet-legend muted">
        <span className="facet-swatch" aria-hidden="true" />
        {isSelected ? 'selection' : 'all'}
        {compared === null ? null : (
          <>
            <span className="facet-tick" aria-hidden="true" />
            {compared}
          </>
        )}
      </p>
      {shared.map((facet, at) => (
        <FacetSection
          key={facet.key}
          facet={facet}
          isFirst={at === 0}
          isOpen={at < OPEN_AT_FIRST || own.includes(facet.key) || chosenValues(q, facet.key).length > 0}
          compared={compared}
          q={q}
          onQuery={onQuery}
          onRemove={own.includes(facet.key) ? () => leaveOut(facet.key) : null}
        />
      ))}
      {/* What the matches are compared by anyway stands there once. */}
      {own
        .filter((key) => !shared.some((facet) => facet.key === key))
        .map((key) => (
          <ChosenFacet key={key} facet={key} state={state} onQuery={onQuery} onRemove={() => leaveOut(key)} />
        ))}
      <AnyAttribute
        range={state}
        onAdd={(key) => onFacets([...new Set([...own, key])].slice(-MOST_COLUMNS))}
      />
    </>
  )
}

interface SectionProps {
  facet: SharedFacet
  isFirst: boolean
  isOpen: boolean
  compared: string | null
  q: string
  onQuery: (q: string) => void
  /** Of one that was added. */
  onRemove: (() => void) | null
}

function FacetSection({ facet, isFirst, isOpen, compared, q, onQuery, onRemove }: SectionProps) {
  const [isWhole, setWhole] = useState(false)
  const chosen = chosenValues(q, facet.key)
  // What is chosen stands there, also where no match has it any more.
  const missing = chosen
    .filter((value) => !facet.values.some((one) => one.value === value))
    .map((value): FacetValue => ({ value, share: 0, other: null }))
  const values = [...facet.values, ...missing]
  const shown = isWhole
    ? values
    : values.filter(({ value }, at) => at < VALUES_SHOWN || chosen.includes(value))
  const hidden = values.length - shown.length
  return (
    <details className="facet" open={isOpen}>
      <summary>
        <span className="facet-key" title={unquote(facet.key)}>
          <Breakable text={FACET_NAMES[facet.key] ?? unquote(facet.key)} />
        </span>
        {isFirst && facet.differs ? <span className="muted facet-note">differs most</span> : null}
      </summary>
      <ul>
        {shown.map((one) => (
          <FacetRow
            key={one.value}
            of={facet.key}
            one={one}
            compared={compared}
            isChosen={chosen.includes(one.value)}
            onChoose={(isChosen) => onQuery(withValue(q, facet.key, one.value, isChosen))}
          />
        ))}
      </ul>
      {hidden > 0 ? (
        <button type="button" className="link-button facet-more" onClick={() => setWhole(true)}>
          {hidden} more
        </button>
      ) : null}
      {facet.more > 0 && hidden === 0 ? (
        <p className="muted facet-more">and {plural(facet.more, 'other value')}</p>
      ) : null}
      {onRemove === null ? null : <LeaveOut facet={facet.key} onRemove={onRemove} />}
    </details>
  )
}

function LeaveOut({ facet, onRemove }: { facet: string; onRemove: () => void }) {
  return (
    <button type="button" className="link-button facet-more" onClick={onRemove}>
      Leave out
      <span className="unseen"> {unquote(facet)}</span>
    </button>
  )
}

const FACET_NAMES: Record<string, string> = {
  'trace.root.name': 'root operation',
  'trace.root.service': 'root service',
}

interface RowProps {
  of: string
  one: FacetValue
  compared: string | null
  isChosen: boolean
  onChoose: (isChosen: boolean) => void
}

function FacetRow({ of, one, compared, isChosen, onChoose }: RowProps) {
  const { value, share, other } = one
  const name = visibleName(value, 'empty')
  const against = other === null || compared === null ? '' : `, ${formatPercent(other)} of ${compared}`
  return (
    <li>
      <label
        className={isStrong(one) ? 'facet-value facet-strong' : 'facet-value'}
        title={`${value}${against}`}
      >
        <input
          type="checkbox"
          checked={isChosen}
          aria-label={`${unquote(of)} ${name}: ${formatPercent(share)}${against}`}
          onChange={(event) => onChoose(event.target.checked)}
        />
        <CutName className="facet-name" text={name} />
        <svg className="facet-bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
          <rect className="facet-share" width={share * 100} height="8" />
          {other === null ? null : (
            <rect className="facet-other" x={Math.min(98.8, other * 100)} width="1.2" height="8" />
          )}
        </svg>
        <span className="facet-percent">{formatPercent(share)}</span>
      </label>
    </li>
  )
}

interface ChosenProps {
  facet: string
  state: SearchState
  onQuery: (q: string) => void
  onRemove: () => void
}

/** A facet of the reader's own: its values with the number of spans that have them. */
function ChosenFacet({ facet, state, onQuery, onRemove }: ChosenProps) {
  const { q, from, to } = state
  const zone = useStore(zoneStore)
  const values = useQuery({
    queryKey: ['facet', facet, { q, from, to }],
    queryFn: ({ signal }) => api.valuesOf({ key: facet, from, to, q, prefix: '' }, signal),
    placeholderData: keepPreviousData,
  })
  const chosen = chosenValues(q, facet)
  const found = values.data?.values ?? []
  const missing = chosen.filter((value) => !found.some((one) => one.value === value))
  return (
    <details className="facet" open>
      <summary>
        <span className="facet-key" title={unquote(facet)}>
          <Breakable text={unquote(facet)} />
        </span>
      </summary>
      <ul>
        {[...found, ...missing.map((value) => ({ value, count: 0 }))]
          .slice(0, MOST_VALUES)
          .map(({ value, count }) => (
            <li key={value}>
              <label className="facet-value" title={value}>
                <input
                  type="checkbox"
                  checked={chosen.includes(value)}
                  aria-label={`${unquote(facet)} ${visibleName(value, 'empty')}: ${formatCount(count)} spans`}
                  onChange={(event) => onQuery(withValue(q, facet, value, event.target.checked))}
                />
                <CutName className="facet-name" text={visibleName(value, 'empty')} />
                <span className="facet-count">{formatCount(count)}</span>
              </label>
            </li>
          ))}
      </ul>
      {values.data && found.length === 0 ? <p className="muted facet-more">No span has it.</p> : null}
      {found.length > MOST_VALUES ? (
        <p className="muted facet-more">The {MOST_VALUES} most frequent</p>
      ) : null}
      {values.data?.reason ? <p className="muted facet-more">{reasonIn(zone, values.data.reason)}</p> : null}
      <LeaveOut facet={facet} onRemove={onRemove} />
    </details>
  )
}

function AnyAttribute({ range, onAdd }: { range: Range; onAdd: (key: string) => void }) {
  const [isOpen, setOpen] = useState(false)
  return isOpen ? (
    <AttributeForm
      range={range}
      onAdd={(key) => {
        setOpen(false)
        onAdd(key)
      }}
    />
  ) : (
    <button type="button" className="link-button facet-any" onClick={() => setOpen(true)}>
      <Icon name="plus" size={14} /> any attribute
    </button>
  )
}

function AttributeForm({ range, onAdd }: { range: Range; onAdd: (key: string) => void }) {
  const known = useAttributeKeys(range)
  return (
    <AttributeKeyForm
      label="Key of an attribute"
      className="facet-form"
      isFocused
      keys={known.filter(({ count }) => count !== null).map(({ text }) => text)}
      onAdd={(key) => onAdd(known.some(({ text }) => text === key) ? key : attributeKey(key))}
    />
  )
}

/** The menus above the list: saved searches, one more column, the rows as a file. */
import { useEffect, useRef, useState, type FormEvent } from 'react'
import { Link } from 'wouter'
import { useHistoryState } from 'wouter/use-browser-location'
import { api } from '../api/client'
import type { TraceSummary } from '../api/types'
import { notify } from '../app/announce'
import {
  entryOf,
  forgetSearch,
  isShown,
  openedName,
  savedAsFile,
  savedPath,
  savedStore,
  saveSearch,
  takeFile,
} from '../app/savedSearches'
import { useStore } from '../app/store'
import { useAttributeKeys } from '../app/useSuggestions'
import { MOST_COLUMNS, type RowOrder, type SearchState } from '../app/url'
import { plural } from '../model/format'
import { inOrder } from '../model/rowOrder'
import { rowsAsCsv, rowsAsJson, type ListedTrace } from '../model/rowsFile'
import { unquote } from '../model/scanner'
import { AttributeKeyForm } from './AttributeKeyForm'
import { download } from './download'
import { IconButton } from './IconButton'
import { Icon } from './icons'
import { Menu } from './Menu'

export function SavedMenu({ state }: { state: SearchState }) {
  const saved = useStore(savedStore)
  const { shown, changed } = useOpened(state)
  const [name, setName] = useState('')
  const file = useRef<HTMLInputElement>(null)
  const save = (event: FormEvent) => {
    event.preventDefault()
    if (name.trim() === '') return
    saveSearch(name, state)
    notify(`Saved ${name.trim()}`)
    setName('')
  }
  const take = async (chosen: File | undefined) => {
    if (chosen === undefined) return
    try {
      const count = takeFile(await chosen.text())
      notify(`${count} ${count === 1 ? 'search' : 'searches'} taken`)
    } catch (error) {
      notify(error instanceof Error ? error.message : 'The file cannot be read.')
    }
    if (file.current) file.current.value = ''
  }
  return (
    <Menu
      label={shown === null ? 'Saved' : <span className="saved-shown">Saved: {shown}</span>}
      title="Saved searches"
    >
      <ul className="saved" aria-label="Saved searches">
        {saved.map((one) => (
          <li key={one.name}>
            <Link
              href={savedPath(one)}
              title={new URLSearchParams(one.search).get('q') ?? ''}
              aria-current={isShown(one, state) ? 'true' : undefined}
            >
              {isShown(one, state) ? <Icon name="check" size={12} /> : null} {one.name}
            </Link>
            {one.name === changed ? <span className="muted">changed</span> : null}
            <IconButton icon="close" label={`Forget ${one.name}`} onClick={() => forgetSearch(one.name)} />
          </li>
        ))}
      </ul>
      {saved.length === 0 ? <p className="muted">None yet. They are kept in this browser.</p> : null}
      <form className="menu-row" onSubmit={save}>
        <input
          className="input"
          aria-label="Name of this search"
          placeholder="Name of this search"
          maxLength={100}
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
        <button type="submit" className="button">
          Save
        </button>
      </form>
      <div className="menu-row">
        <button
          type="button"
          className="button"
          disabled={saved.length === 0}
          onClick={() =>
            download('clew-searches.json', new Blob([savedAsFile()], { type: 'application/json' }))
          }
        >
          Export
        </button>
        <button type="button" className="button" onClick={() => file.current?.click()}>
          Import
        </button>
        <input
          ref={file}
          type="file"
          accept=".json,application/json"
          aria-label="File of saved searches"
          hidden
          onChange={(event) => void take(event.target.files?.[0])}
        />
      </div>
    </Menu>
  )
}

/** The name of the saved search that is shown, and of the one that was opened here and is no longer what is shown. */
function useOpened(state: SearchState): { shown: string | null; changed: string | null } {
  const saved = useStore(savedStore)
  const opened = openedName(useHistoryState())
  const same = saved.filter((one) => isShown(one, state)).map(({ name }) => name)
  const shown = same.find((name) => name === opened) ?? same[0] ?? null
  useEffect(() => {
    if (shown !== null && shown !== opened) history.replaceState(entryOf(shown), '')
  }, [shown, opened])
  const isGone = opened === null || !saved.some(({ name }) => name === opened)
  return { shown, changed: shown !== null || isGone || isShown(NOTHING, state) ? null : opened }
}

/** A search of nothing in particular, which is no change of another one. */
const NOTHING = { name: '', search: '' }

interface ColumnProps {
  state: SearchState
  onColumns: (columns: readonly string[]) => void
}

export function ColumnMenu({ state, onColumns }: ColumnProps) {
  return (
    <Menu label="Column" title="Show an attribute as a column">
      <ColumnForm state={state} onColumns={onColumns} />
    </Menu>
  )
}

function ColumnForm({ state, onColumns }: ColumnProps) {
  const { from, to, cols } = state
  const known = useAttributeKeys({ from, to })
  // Those without a count are keys of the language; of events and links there are no columns.
  const attributes = known
    .filter(({ text, count }) => count !== null && !/^(event|link|scope)\./.test(text))
    .map(({ text }) => unquote(text.replace(/^resource\./, '')))
  return (
    <>
      <AttributeKeyForm
        label="Key of the attribute"
        className="menu-row"
        keys={attributes}
        onAdd={(key) => onColumns([...new Set([...cols, key])].slice(-MOST_COLUMNS))}
      />
      {cols.length === 0 ? null : (
        <ul className="saved" aria-label="Columns">
          {cols.map((one) => (
            <li key={one}>
              <span>{one}</span>
              <IconButton
                icon="close"
                label={`Leave out the column ${one}`}
                onClick={() => onColumns(cols.filter((other) => other !== one))}
              />
            </li>
          ))}
        </ul>
      )}
    </>
  )
}

/** So many traces a request, which is the most that the server answers. */
const AT_ONCE = 50

/** The rows with all that their columns say, also of those that were never in view. */
async function listed(traces: readonly TraceSummary[], columns: readonly string[]): Promise<ListedTrace[]> {
  const rows: ListedTrace[] = []
  for (let from = 0; from < traces.length; from += AT_ONCE) {
    const some = traces.slice(from, from + AT_ONCE)
    // One request after the other: reading traces is the server's largest work.
    // oxlint-disable-next-line no-await-in-loop
    const answers = await api.answers(
      some.map((trace) => trace.trace_id),
      columns,
    )
    const byId = new Map(answers.map((answer) => [answer.trace_id, answer]))
    rows.push(...some.map((trace) => ({ trace, answer: byId.get(trace.trace_id) ?? null })))
  }
  return rows
}

function inShownOrder(rows: readonly ListedTrace[], order: RowOrder): readonly ListedTrace[] {
  const byTrace = new Map(rows.map((row) => [row.trace, row]))
  const traces = rows.map(({ trace }) => trace)
  return inOrder(traces, order, (trace) => byTrace.get(trace)?.answer).map((trace) => byTrace.get(trace)!)
}

export function RowsMenu({
  traces,
  columns,
  order,
}: {
  traces: readonly TraceSummary[]
  columns: readonly string[]
  /** The file has the rows as the list shows them. */
  order: RowOrder
}) {
  const [isBusy, setBusy] = useState(false)
  const give = async (form: 'csv' | 'json') => {
    setBusy(true)
    try {
      const rows = inShownOrder(await listed(traces, columns), order)
      const text = form === 'csv' ? rowsAsCsv(rows, columns) : rowsAsJson(rows, columns)
      const type = form === 'csv' ? 'text/csv' : 'application/json'
      download(`traces.${form}`, new Blob([text], { type: `${type};charset=utf-8` }))
      notify(`${plural(rows.length, 'row')} written`)
    } catch (error) {
      notify(error instanceof Error ? error.message : 'The rows cannot be read.')
    } finally {
      setBusy(false)
    }
  }
  return (
    <Menu label="Rows" title="The rows shown, as a file">
      <div className="menu-row">
        <button type="button" className="button" disabled={isBusy} onClick={() => void give('csv')}>
          CSV
        </button>
        <button type="button" className="button" disabled={isBusy} onClick={() => void give('json')}>
          JSON
        </button>
      </div>
      <p className="muted">{plural(traces.length, 'row')}, with the added columns</p>
    </Menu>
  )
}

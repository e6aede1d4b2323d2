/** The top bar of every page: where you are, the query, the time, and how it looks. */
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect, useState, type ComponentProps, type ReactNode } from 'react'
import { Link, useLocation } from 'wouter'
import { RANGES, fixedRange, rangeLabel, shiftedRange, type Range } from '../model/range'
import { zoneName } from '../model/format'
import { Icon, Logo } from '../parts/icons'
import { problemTitle } from '../parts/Problem'
import { Select } from '../parts/Select'
import { TroubleNotice } from '../parts/TroubleNotice'
import { LiveRegion, Toast, notify } from './announce'
import { copyLink } from './link'
import { partQuery } from './Part'
import { useRecovery } from './recovery'
import { CommandDialog } from './CommandDialog'
import { HelpDialog } from './HelpDialog'
import { chooseTheme, chooseZone, themeStore, zoneStore } from './preferences'
import { QUERY_ID, QueryBox } from './QueryBox'
import { livePath, rememberSearch, searchPath, searchStore } from './session'
import { useShortcuts } from './shortcuts'
import { useStore } from './store'

const RANGE_ID = 'time-range'

const rangeDialog = { name: 'range', load: async () => (await import('./RangeDialog')).default }
type RangeDialogProps = ComponentProps<Awaited<ReturnType<typeof rangeDialog.load>>>

export function Shell({ children }: { children: ReactNode }) {
  const [path, navigate] = useLocation()
  const [help, setHelp] = useState(false)
  const [commands, setCommands] = useState(false)
  const queries = useQueryClient()
  const search = useStore(searchStore)
  const theme = useStore(themeStore)
  const zone = useStore(zoneStore)
  const onSearch = path === '/search' || path === '/'
  const onLive = path === '/live'

  const go = (range: Range) => {
    // A selection is part of what was in view.
    const next = { ...search, ...range, sel: null }
    rememberSearch(next)
    navigate(searchPath(next))
  }
  useRecovery()
  const toggleTheme = () => chooseTheme(theme === 'dark' ? 'light' : 'dark')

  useShortcuts({
    '/': () => document.getElementById(QUERY_ID)?.focus(),
    '?': () => setHelp(true),
    '.': () => setCommands(true),
    'g s': () => navigate(searchPath(search)),
    'g l': () => navigate(livePath({ q: search.q })),
    t: () => document.getElementById(RANGE_ID)?.focus(),
    r: () => void queries.invalidateQueries(),
    '[': () => go(shiftedRange(search, -1, Date.now())),
    ']': () => go(shiftedRange(search, 1, Date.now())),
    y: () => void copyLink(),
    D: toggleTheme,
  })

  return (
    <>
      <button type="button" className="button skip" onClick={() => document.getElementById('main')?.focus()}>
        Skip to the content
      </button>
      <header className="top-bar" data-page={onSearch ? 'search' : onLive ? 'live' : 'other'}>
        <Link href="/search" className="home" aria-label="clew, to Search">
          <Logo />
          <span>clew</span>
        </Link>
        <nav aria-label="Pages">
          <Link href={searchPath(search)} className="page-link" aria-current={onSearch ? 'page' : undefined}>
            Search
          </Link>
          <Link
            href={livePath({ q: search.q })}
            className="page-link"
            aria-current={onLive ? 'page' : undefined}
          >
            Live
          </Link>
        </nav>
        <QueryBox />
        <RangeSelect range={search} isLive={onLive} onChange={go} />
        <Select
          label="Time zone"
          value={zone}
          options={[
            { value: 'utc', label: 'UTC' },
            { value: 'local', label: zoneName('local') === 'UTC' ? 'Local' : `Local ${zoneName('local')}` },
          ]}
          onChange={(value) => chooseZone(value === 'local' ? 'local' : 'utc')}
        />
        <button
          type="button"
          className="icon-button"
          aria-label={theme === 'dark' ? 'Light theme' : 'Dark theme'}
          title={theme === 'dark' ? 'Light theme (D)' : 'Dark theme (D)'}
          onClick={toggleTheme}
        >
          <Icon name={theme === 'dark' ? 'sun' : 'moon'} />
        </button>
        <button
          type="button"
          className="icon-button"
          aria-label="Help"
          title="Help (?)"
          onClick={() => setHelp(true)}
        >
          <Icon name="help" />
        </button>
      </header>
      <TroubleNotice />
      <main id="main" tabIndex={-1}>
        {children}
      </main>
      <LiveRegion />
      <Toast />
      <HelpDialog
        open={help}
        onClose={() => setHelp(false)}
        onCommands={() => {
          setHelp(false)
          setCommands(true)
        }}
      />
      <CommandDialog open={commands} onClose={() => setCommands(false)} />
    </>
  )
}

function RangeSelect({
  range,
  isLive,
  onChange,
}: {
  range: Range
  /** Whether what arrives now is shown; another time leads to Search. */
  isLive: boolean
  onChange: (range: Range) => void
}) {
  const zone = useStore(zoneStore)
  const isListed = range.to === 'now' && RANGES.some((item) => item.from === range.from)
  const options = RANGES.map((item) => ({ value: item.from, label: item.label }))
  const own = isLive
    ? [{ value: 'own', label: 'Live' }]
    : isListed
      ? []
      : [{ value: 'own', label: rangeLabel(range, zone) }]
  const pin =
    !isLive && range.to === 'now' && range.from !== 'all' ? [{ value: 'pin', label: 'Fix these times' }] : []
  const [isChoosing, setChoosing] = useState(false)
  return (
    <>
      <Select
        id={RANGE_ID}
        label="Time range"
        icon="clock"
        value={isListed && !isLive ? range.from : 'own'}
        options={[...own, ...options, ...pin, { value: 'other', label: 'Other times…' }]}
        onChange={(value) => {
          if (value === 'pin') onChange(fixedRange(range, Date.now()))
          else if (value === 'other') setChoosing(true)
          else if (value !== 'own') onChange({ from: value, to: 'now' })
        }}
      />
      {isChoosing ? (
        <RangeDialog range={range} onChoose={onChange} onClose={() => setChoosing(false)} />
      ) : null}
    </>
  )
}

/** The dialog once it is loaded. The bar has no room for what is wrong, so that is a note, and nothing opens. */
function RangeDialog(props: RangeDialogProps) {
  const { data, error } = useQuery(partQuery(rangeDialog))
  const { onClose } = props
  useEffect(() => {
    if (data !== undefined || error === null) return
    notify(problemTitle(error))
    onClose()
  }, [data, error, onClose])
  return data === undefined ? null : <data.Part {...props} />
}

/** Icons: 16 px outlines, drawn in the colour of the text around them. */

const PATHS = {
  search: 'M7 2.75a4.25 4.25 0 1 1 0 8.5a4.25 4.25 0 0 1 0-8.5M10.2 10.2 14 14',
  clock: 'M8 1.75a6.25 6.25 0 1 1 0 12.5a6.25 6.25 0 0 1 0-12.5M8 4.5V8l2.4 1.4',
  down: 'M4 6.25 8 10l4-3.75',
  up: 'M4 9.75 8 6l4 3.75',
  right: 'M6.25 4 10 8l-3.75 4',
  left: 'M9.75 4 6 8l3.75 4',
  moon: 'M13.5 9.75A5.75 5.75 0 0 1 6.25 2.5a5.75 5.75 0 1 0 7.25 7.25Z',
  sun: 'M8 5a3 3 0 1 1 0 6a3 3 0 0 1 0-6M8 1.25v1.5M8 13.25v1.5M1.25 8h1.5M13.25 8h1.5M3.2 3.2l1.1 1.1M11.7 11.7l1.1 1.1M3.2 12.8l1.1-1.1M11.7 4.3l1.1-1.1',
  help: 'M8 1.75a6.25 6.25 0 1 1 0 12.5a6.25 6.25 0 0 1 0-12.5M6.25 6.4c0-1 .75-1.7 1.8-1.7s1.8.65 1.8 1.6c0 1.3-1.8 1.4-1.8 2.7M8 11.2v.1',
  close: 'M4 4l8 8M12 4l-8 8',
  copy: 'M5.75 5.75h7.5v7.5h-7.5zM3.5 10.25h-.75v-7.5h7.5v.75',
  check: 'M3 8.5 6.5 12 13 4.5',
  warning: 'M8 2.25 14.5 13.5h-13zM8 6.5v3.25M8 11.6v.1',
  share: 'M8 10V2M5 4.5 8 1.75l3 2.75M3 8.5v5h10v-5',
  export: 'M8 2v8M5 7.5 8 10.25l3-2.75M3 10.5v3h10v-3',
  plus: 'M8 3v10M3 8h10',
  minus: 'M3 8h10',
  refresh: 'M13.25 8a5.25 5.25 0 1 1-1.6-3.75M13.25 1.75v3h-3',
  expand: 'M4 6l4-3.5L12 6M4 10l4 3.5L12 10',
  collapse: 'M4 2.5 8 6l4-3.5M4 13.5 8 10l4 3.5',
  pin: 'M5.5 2.25h5M6.25 2.25v4.5L4.5 9.25h7L9.75 6.75v-4.5M8 9.25V14',
  column: 'M2.5 3h11v10h-11zM6.25 3v10M9.75 3v10',
  colour:
    'M8 1.9c2.6 3 4.25 5.2 4.25 7.6a4.25 4.25 0 0 1-8.5 0C3.75 7.1 5.4 4.9 8 1.9M8 11.6a2.1 2.1 0 0 0 2.1-2.1',
  flag: 'M4 14V2.5h7.5L9.75 5.5l1.75 3H4',
} as const

export type IconName = keyof typeof PATHS

/** A decoration: what it stands for is always written or labelled beside it. */
export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg
      className="icon"
      width={size}
      height={size}
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      <path d={PATHS[name]} />
    </svg>
  )
}

/** White cross on a red disc: a span failed here. */
export function FailedMark({ size = 14 }: { size?: number }) {
  return (
    <svg className="icon failed-mark" width={size} height={size} viewBox="0 0 16 16" aria-hidden="true">
      <circle cx="8" cy="8" r="7.5" />
      <path d="M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2" />
    </svg>
  )
}

/** Red ring with a cross: the failure came from below. */
export function PassedOnMark({ size = 14 }: { size?: number }) {
  return (
    <svg className="icon passed-mark" width={size} height={size} viewBox="0 0 16 16" aria-hidden="true">
      <circle cx="8" cy="8" r="6.75" />
      <path d="M5.6 5.6l4.8 4.8M10.4 5.6l-4.8 4.8" />
    </svg>
  )
}

/** A ball of thread with its loose end. */
export function Logo() {
  return (
    <svg
      className="logo"
      width="24"
      height="24"
      viewBox="0 0 24 24"
      fill="none"
      strokeLinecap="round"
      aria-hidden="true"
    >
      <g stroke="currentColor" strokeWidth="1.8">
        <circle cx="11" cy="10.5" r="8.6" />
        <path d="M3.2 7.8c5.8-1.3 11.8 1.7 15 7M6 4c5.5-.2 10.6 2.8 13.5 7.3M2.7 12.4c4.4-.3 8.9 2 11.6 5.9M11.5 2c3 1 5.7 3 7.5 5.5" />
      </g>
      <path className="logo-thread" strokeWidth="2.2" d="M7 18.7c4.2 2.2 9.5 2.9 16 2.8" />
    </svg>
  )
}

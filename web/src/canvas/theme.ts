/** The one place where canvas code reads the colour tokens. */

export interface CanvasTheme {
  surface: string
  raised: string
  line: string
  hover: string
  select: string
  edge: string
  text: string
  muted: string
  error: string
  errorText: string
  errorGround: string
  warning: string
  link: string
  /** Index 0 is the colour of all other services, 1 to 8 those with their own. */
  services: string[]
  /** Of cells with few traces to those with many. */
  heat: string[]
  sans: string
  mono: string
}

/** Tokens as they stand on the page now; read again when the theme changes. */
export function readTheme(): CanvasTheme {
  const style = getComputedStyle(document.documentElement)
  const token = (name: string) => style.getPropertyValue(`--${name}`).trim()
  return {
    surface: token('surface'),
    raised: token('raised'),
    line: token('line'),
    hover: token('hover'),
    select: token('select'),
    edge: token('edge'),
    text: token('text'),
    muted: token('muted'),
    error: token('error'),
    errorText: token('error-text'),
    errorGround: token('error-ground'),
    warning: token('warning'),
    link: token('link'),
    services: ['other', 1, 2, 3, 4, 5, 6, 7, 8].map((name) => token(`service-${name}`)),
    heat: [1, 2, 3, 4, 5, 6, 7, 8].map((step) => token(`heat-${step}`)),
    sans: token('sans'),
    mono: token('mono'),
  }
}

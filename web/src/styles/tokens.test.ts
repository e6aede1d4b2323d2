import { readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const SOURCE = join(import.meta.dirname, '..')
const css = readFileSync(join(SOURCE, 'styles/tokens.css'), 'utf8')

function theme(selector: string): Record<string, string> {
  const block = css.slice(css.indexOf(`${selector} {`)).split('}')[0] ?? ''
  return Object.fromEntries(
    [...block.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g)].map(([, name, value]) => [name, value]),
  )
}

const themes = { light: theme(':root'), dark: theme(":root[data-theme='dark']") }

function luminance(colour: string): number {
  const channel = (at: number) => {
    const value = Number.parseInt(colour.slice(at, at + 2), 16) / 255
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
  }
  return 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

function contrast(one: string | undefined, other: string | undefined): number {
  if (one === undefined || other === undefined) throw new Error('a token is missing')
  const [dark, light] = [luminance(one), luminance(other)].toSorted((a, b) => a - b)
  return (light! + 0.05) / (dark! + 0.05)
}

const GROUNDS = ['surface', 'raised', 'hover', 'select', 'error-ground', 'warning-ground', 'ok-ground']
const TEXTS = ['text', 'muted', 'error-text', 'warning', 'ok', 'link']

describe.each(Object.entries(themes))('the %s theme', (_, tokens) => {
  it.each(TEXTS)('%s can be read on every ground', (text) => {
    for (const ground of GROUNDS)
      expect(contrast(tokens[text], tokens[ground]), ground).toBeGreaterThanOrEqual(4.5)
  })

  it('text on a primary button can be read', () => {
    expect(contrast(tokens['on-link'], tokens['link'])).toBeGreaterThanOrEqual(4.5)
  })

  it('marks, borders and services stand out', () => {
    const services = ['1', '2', '3', '4', '5', '6', '7', '8', 'other'].map((name) => `service-${name}`)
    for (const mark of ['error', 'edge', ...services]) {
      for (const ground of ['surface', 'raised']) {
        expect(contrast(tokens[mark], tokens[ground]), `${mark} on ${ground}`).toBeGreaterThanOrEqual(3)
      }
    }
  })
})

it('both themes have the same tokens', () => {
  expect(Object.keys(themes.dark)).toEqual(Object.keys(themes.light))
})

it('no other file has a colour value', () => {
  const files = (folder: string): string[] =>
    readdirSync(folder).flatMap((name) => {
      const path = join(folder, name)
      return statSync(path).isDirectory() ? files(path) : [path]
    })
  for (const path of files(SOURCE)) {
    if (/tokens\.css$|\.test\.tsx?$/.test(path)) continue
    expect(readFileSync(path, 'utf8').match(/#[0-9a-f]{3,8}\b/gi), path).toBeNull()
  }
})

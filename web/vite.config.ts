/** Builds the UI into the server's package, with a compressed twin beside each file and a gate on its size. */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import react from '@vitejs/plugin-react'
import { defineConfig, type Plugin } from 'vite'

const OUT_DIR = '../clew-server/src/clew_server/ui_dist'
const ENTRY_BUDGET_BYTES = 150_000
const TOTAL_BUDGET_BYTES = 300_000
const LAZY_BUDGET_BYTES = 60_000

/** Writes `.gz` files and fails the build when scripts and styles are over their budget. */
function compressAndWeigh(): Plugin {
  const entryFiles = new Set<string>()
  return {
    name: 'clew-compress-and-weigh',
    apply: 'build',
    writeBundle(options, bundle) {
      const outDir = options.dir
      if (outDir === undefined) throw new Error('the build has no output folder')
      for (const item of Object.values(bundle)) {
        if (item.type === 'chunk' && item.isEntry) {
          entryFiles.add(item.fileName)
          for (const name of item.imports) entryFiles.add(name)
        }
        if (item.type === 'asset' && /index.*\.css$/.test(item.fileName)) entryFiles.add(item.fileName)
      }
      let entryBytes = 0
      let totalBytes = 0
      for (const path of filesBelow(outDir)) {
        if (path.endsWith('.gz')) continue
        const packed = gzipSync(readFileSync(path), { level: 9 })
        writeFileSync(`${path}.gz`, packed)
        if (!/\.(js|css)$/.test(path)) continue
        totalBytes += packed.length
        const name = path.slice(outDir.length + 1)
        if (entryFiles.has(name)) entryBytes += packed.length
        else if (packed.length > LAZY_BUDGET_BYTES) {
          this.error(`${name} is ${packed.length} bytes compressed, over ${LAZY_BUDGET_BYTES}`)
        }
      }
      console.log(`entry ${entryBytes} bytes, all ${totalBytes} bytes of script and style, compressed`)
      if (entryBytes > ENTRY_BUDGET_BYTES) {
        this.error(`the entry is ${entryBytes} bytes compressed, over ${ENTRY_BUDGET_BYTES}`)
      }
      if (totalBytes > TOTAL_BUDGET_BYTES) {
        this.error(`scripts and styles are ${totalBytes} bytes compressed, over ${TOTAL_BUDGET_BYTES}`)
      }
    },
  }
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name)
    return statSync(path).isDirectory() ? filesBelow(path) : [path]
  })
}

export default defineConfig({
  base: './',
  plugins: [react(), compressAndWeigh()],
  build: {
    outDir: OUT_DIR,
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { '/api': process.env['CLEW_SERVER'] ?? 'http://127.0.0.1:16686' } },
})

/** Unit tests: pure modules (`*.test.ts`) in Node, parts and pages (`*.test.tsx`) in happy-dom, which takes about a second a file. */
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    restoreMocks: true,
    projects: [
      { extends: true, test: { name: 'modules', environment: 'node', include: ['src/**/*.test.ts'] } },
      {
        extends: true,
        test: {
          name: 'parts',
          environment: 'happy-dom',
          include: ['src/**/*.test.tsx'],
          setupFiles: ['src/slowMachine.setup.ts'],
          testTimeout: 60_000,
        },
      },
    ],
  },
})

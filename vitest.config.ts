import { defineConfig } from 'vitest/config'

const servers = { globalSetup: ['test/support/global-setup.ts'], testTimeout: 60_000, hookTimeout: 120_000 }

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'] } },
      { test: { name: 'integration', include: ['test/integration/**/*.test.ts'], ...servers } },
      // A file of cases has up to 200 statements, and schema changes take a two-phase commit each.
      { test: { name: 'parity', include: ['test/parity/**/*.test.ts'], ...servers, testTimeout: 300_000 } },
      // A spec runs all its interleavings, in up to four variants.
      { test: { name: 'isolation', include: ['test/isolation/**/*.test.ts'], ...servers, testTimeout: 300_000 } },
      { test: { name: 'fuzz', include: ['test/fuzz/**/*.test.ts'], ...servers, testTimeout: 120_000 } },
      // Each file starts and kills clusters of its own; a recovery may take as long as a prepared transaction must be old.
      { test: { name: 'crash', include: ['test/crash/**/*.test.ts'], testTimeout: 180_000, hookTimeout: 180_000 } },
    ],
  },
})

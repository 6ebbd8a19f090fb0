/** A slice of the random differential test that every run of CI takes; `npm run test:fuzz` goes on from there. */
import { beforeAll, describe, expect, inject, test } from 'vitest'
import { parserReady } from '../../src/sql/parse.ts'
import { answers, script } from './report.ts'
import { runSeed } from './run.ts'

const seeds = Array.from({ length: 12 }, (_, i) => i + 1)
const statementsMax = 150

describe('random SQL', () => {
  beforeAll(() => parserReady)

  for (const seed of seeds) {
    test(`seed ${seed}`, async () => {
      const run = await runSeed(seed, statementsMax, { cluster: inject('clusterPort'), plain: inject('plainPort') })
      expect(run.finding === undefined ? '' : `${answers(run.finding.outcome)}\n${script(run.finding.steps)}`).toBe('')
      // Statements that fail alike, or are refused, compare nothing.
      const refused = [...run.refusals.values()].reduce((sum, count) => sum + count, 0)
      expect(run.failures + refused).toBeLessThan(run.statements / 2)
    })
  }
})

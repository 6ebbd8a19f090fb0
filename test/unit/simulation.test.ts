/** A slice of the simulation (test/sim), and every planted bug caught by it. */
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { buildSimulation, root } from '../sim/build.ts'
import { plantedBugs } from '../sim/planted-bugs.ts'
import { runSeeds } from '../sim/threads.ts'

/** Within so many runs each planted bug is caught. */
const runsMax = 10_000

describe('simulation', () => {
  test('runs without a violation', { timeout: 120_000 }, async () => {
    const { violations, ran } = await runSeeds(await buildSimulation(), { from: 1, to: 1_501 })
    expect(violations.map(({ seed, violation, trace }) => [`seed ${seed}: ${violation?.message ?? ''}`, ...trace].join('\n'))).toEqual([])
    expect(ran).toBe(1_500)
  })

  test('a seed replays a run exactly', { timeout: 60_000 }, async () => {
    const text = await buildSimulation(plantedBugs[0])
    const seeds = { from: 1, to: 60, goesOn: true }
    const [first, second] = await Promise.all([runSeeds(text, seeds), runSeeds(text, seeds)])
    expect(first.violations.length).toBeGreaterThan(1)
    expect(first).toEqual(second)
  })
})

describe('planted bugs', () => {
  test.for(plantedBugs)('there is what is taken away: $name', ({ file, find }) => {
    expect(fs.readFileSync(path.join(root, file), 'utf8').split(find)).toHaveLength(2)
  })

  test.for(plantedBugs.filter(({ caughtBy }) => Array.isArray(caughtBy)))('caught: $name', { timeout: 120_000 }, async (bug) => {
    const from = bug.from ?? 1
    const { violations } = await runSeeds(await buildSimulation(bug), { from, to: from + runsMax })
    expect(bug.caughtBy).toContain(violations[0]?.violation?.property)
  })
})

/** A slice of `npm run test:moves`: a few of its pairs of a step and a victim, by the seed in MOVES_SEED, which is told when it fails. */
import { expect, test } from 'vitest'
import { seeded } from '../support/random.ts'
import { allPairs, nameOf, runMoveLoop } from './support/moves/move-loop.ts'

test('a part of the cluster is killed at a step of a move', async () => {
  const seed = Number(process.env['MOVES_SEED'] ?? 1)
  const pairs = seeded(seed).some(allPairs, 3, 3)
  const log: string[] = []
  const findings = await runMoveLoop({ pairs, seed, awayMsMax: 1_000, log: (line) => log.push(line) })
  expect(findings, `MOVES_SEED=${seed}: ${pairs.map(nameOf).join(', ')}\n${log.join('\n')}`).toEqual([])
  expect(log).toHaveLength(pairs.length)
})

/**
 * npm run test:moves -- [--seed S] [--step S] [--victim V] [--pairs N] [--away MS]: kill -9 of every part of the cluster at every step of a move, or of
 * those that are named, or of N of them by the seed; and at the end one line and a status that say whether it held.
 */
import { parseArgs } from 'node:util'
import { seeded } from '../support/random.ts'
import { allPairs, runMoveLoop } from './support/moves/move-loop.ts'

const { values } = parseArgs({
  options: { seed: { type: 'string', default: '1' }, step: { type: 'string' }, victim: { type: 'string' }, pairs: { type: 'string' }, away: { type: 'string', default: '2000' } },
})
const start = performance.now()
const log = (line: string) => process.stderr.write(`${((performance.now() - start) / 1000).toFixed(1)} s: ${line}\n`)
const seed = Number(values.seed)
const named = allPairs.filter(({ step, victim }) => step === (values.step ?? step) && victim === (values.victim ?? victim))
const pairs = values.pairs === undefined ? named : seeded(seed).some(named, Number(values.pairs), Number(values.pairs))
const findings = await runMoveLoop({ pairs, seed, awayMsMax: Number(values.away), log })
for (const finding of findings) process.stdout.write(`WRONG: ${finding}\n`)
process.stdout.write(`seed ${seed}: ${pairs.length} of ${allPairs.length} pairs of a step and a victim, ${findings.length} findings\n`)
process.exitCode = findings.length === 0 && pairs.length > 0 ? 0 : 1

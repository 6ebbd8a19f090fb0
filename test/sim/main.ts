/** npm run sim -- --runs N --seed S [--workers W] [--bug NAME] [--keep-going] [--trace] */
import os from 'node:os'
import { parseArgs } from 'node:util'
import { buildSimulation } from './build.ts'
import { plantedBugs } from './planted-bugs.ts'
import type { RunResult } from './simulate.ts'
import { runInParts } from './threads.ts'

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    workers: { type: 'string', default: String(os.availableParallelism()) },
    bug: { type: 'string' },
    'keep-going': { type: 'boolean', default: false },
  },
})
const bug = plantedBugs.find(({ name }) => name === values.bug)
if (values.bug !== undefined && bug === undefined) throw new Error(`no such bug; there are:\n${plantedBugs.map(({ name }) => `  ${name}`).join('\n')}`)

const from = Number(values.seed)
const to = from + Number(values.runs)
if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to)) throw new Error('--seed and --runs are whole numbers')
const began = performance.now()
const isTerminal = process.stderr.isTTY
const { violations, ran, events } = await runInParts(await buildSimulation(bug), { from, to, goesOn: values['keep-going'] }, Math.min(Number(values.workers), to - from), (runs) => {
  if (isTerminal) process.stderr.write(`\r${runs} of ${to - from} runs`)
})
if (isTerminal) process.stderr.write('\r')
for (const violation of violations) console.log(report(violation))
const seconds = (performance.now() - began) / 1000
console.log(`${ran} runs from seed ${from}, ${events} events, ${seconds.toFixed(1)} s: ${violations.length === 0 ? 'no violation' : `${violations.length} with a violation`}`)
process.exitCode = violations.length === 0 ? 0 : 1

function report({ seed, violation, faults, trace }: RunResult): string {
  return [
    `seed ${seed}: ${violation?.message ?? 'shown by the run with all its faults only'}`,
    'faults that it takes:',
    ...faults.map((fault) => `  ${JSON.stringify(fault)}`),
    'what happened:',
    ...trace.map((line) => `  ${line}`),
    `again: npm run sim -- --runs 1 --seed ${seed}`,
    '',
  ].join('\n')
}

/** npm run sim -- [--runs 1000] [--seed 1] [--workers 2] [--source src] [--trace]: simulated runs; the first violation ends them, with its trace. */
import { fork } from 'node:child_process'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { loadProduction } from './production.ts'
import type { RunReport } from './run.ts'
import { simulate } from './run.ts'

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    workers: { type: 'string', default: '1' },
    source: { type: 'string', default: fileURLToPath(new URL('../../src', import.meta.url)) },
    trace: { type: 'boolean', default: false },
    worker: { type: 'boolean', default: false },
  },
})

const [runs, seed, workers] = [Number(values.runs), Number(values.seed), Number(values.workers)]

/** Seeds from `first`, each `step` further. Gives the first violation, if there is one. */
async function runSeeds(first: number, count: number, step: number): Promise<{ violation: RunReport | undefined; events: number; committed: number }> {
  const production = await loadProduction(path.resolve(values.source))
  let [events, committed] = [0, 0]
  for (let i = 0; i < count; i++) {
    const report = await simulate(first + i * step, production, values.trace)
    events += report.events
    committed += report.committed
    if (report.violation === undefined) continue
    return { violation: values.trace ? report : await simulate(report.seed, production, true), events, committed }
  }
  return { violation: undefined, events, committed }
}

function inWorkers(): Promise<{ violation: RunReport | undefined; events: number; committed: number }[]> {
  return Promise.all(
    Array.from({ length: workers }, (_, i) => {
      const count = Math.ceil((runs - i) / workers)
      const args = ['--worker', '--runs', String(count), '--seed', String(seed + i), '--workers', String(workers), '--source', values.source]
      const child = fork(fileURLToPath(import.meta.url), args)
      return new Promise<Awaited<ReturnType<typeof runSeeds>>>((resolve, reject) => {
        child.once('message', (message) => resolve(message as Awaited<ReturnType<typeof runSeeds>>))
        child.once('exit', (code) => reject(new Error(`a worker ended with ${code}`)))
      })
    }),
  )
}

if (values.worker) {
  const result = await runSeeds(seed, runs, workers)
  process.send?.(result, () => process.disconnect())
} else {
  const began = performance.now()
  const results = workers > 1 ? await inWorkers() : [await runSeeds(seed, runs, 1)]
  const seconds = (performance.now() - began) / 1000
  const sum = (of: 'events' | 'committed') => results.reduce((total, result) => total + result[of], 0)
  const violation = results.map((result) => result.violation).find((one) => one !== undefined)
  if (violation === undefined) {
    process.stdout.write(`${runs} runs, ${sum('events')} events, ${sum('committed')} commits, no violation, in ${seconds.toFixed(1)} s\n`)
  } else {
    process.stdout.write(`${violation.trace.join('\n')}\n\nseed ${violation.seed}: ${violation.violation}\nagain: npm run sim -- --runs 1 --seed ${violation.seed}\n`)
    process.exitCode = 1
  }
}

/** `npm run test:fuzz -- --seed 1 --runs 20`: random SQL on one PostgreSQL and on a cluster of three shards. */
import { parseArgs } from 'node:util'
import { parserReady } from '../../src/sql/parse.ts'
import { startPlainPostgres, startTestCluster } from '../support/cluster.ts'
import { addCounts, answers, histogram, script } from './report.ts'
import { runSeed } from './run.ts'
import { shrink } from './shrink.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    runs: { type: 'string', default: '20' },
    statements: { type: 'string', default: '150' },
    errors: { type: 'boolean', default: false },
    whole: { type: 'boolean', default: false },
  },
})

async function main(): Promise<number> {
  await parserReady
  const [cluster, plain] = await Promise.all([startTestCluster({ shards: 3, replicas: 0 }), startPlainPostgres()])
  const stop = () => Promise.all([cluster.stop(), plain.stop()])
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop().finally(() => process.exit(1)))
  const ports = { cluster: cluster.port, plain: plain.port }
  const refusals = new Map<string, number>()
  const errors = new Map<string, number>()
  let statements = 0
  let failures = 0
  let findings = 0
  try {
    const first = Number(values.seed)
    for (let seed = first; seed < first + Number(values.runs); seed++) {
      const run = await runSeed(seed, Number(values.statements), ports)
      statements += run.statements
      if (process.stderr.isTTY) process.stderr.write(`\rseed ${seed}, ${statements} statements, ${findings} differences `)
      failures += run.failures
      addCounts(refusals, run.refusals)
      addCounts(errors, run.errors)
      if (run.finding === undefined) continue
      findings++
      console.log(`\n==== seed ${seed}, statement ${run.statements} ====\n${answers(run.finding.outcome)}`)
      const steps = values.whole ? run.finding.steps : await shrink(run.finding, ports)
      console.log(`---- script ----\n${script(steps)}`)
    }
  } finally {
    await stop()
  }
  const refused = [...refusals.values()].reduce((sum, count) => sum + count, 0)
  console.log(`\n${statements} statements, ${findings} differences, ${failures} failed alike on both, ${refused} refused by the cluster:`)
  console.log(histogram(refusals))
  if (values.errors) console.log(`\nfailed alike:\n${histogram(errors)}`)
  return findings
}

process.exitCode = (await main()) === 0 ? 0 : 1

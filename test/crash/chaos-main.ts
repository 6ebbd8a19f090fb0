/** npm run test:chaos -- [--minutes N] [--seed S]: the bank under chaos, and at the end one line and a status that say whether it held. */
import { parseArgs } from 'node:util'
import { runBank } from './support/chaos/run-bank.ts'

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '5' }, seed: { type: 'string', default: '1' } } })
const start = performance.now()
const log = (line: string) => process.stderr.write(`${((performance.now() - start) / 1000).toFixed(1)} s: ${line}\n`)
const report = await runBank({ ms: Number(values.minutes) * 60_000, seed: Number(values.seed), redisAwayMs: 60_000, preparedMsMax: 5_000, log })
for (const finding of report.findings) process.stdout.write(`WRONG: ${finding}\n`)
const { faults, acknowledged, unknown, reads } = report
process.stdout.write(`seed ${values.seed}: ${faults} faults, ${acknowledged} transfers acknowledged, ${unknown} unknown, ${reads} reads of the total, ${report.findings.length} findings\n`)
process.exitCode = report.findings.length === 0 ? 0 : 1

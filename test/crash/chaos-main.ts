/**
 * npm run test:chaos -- [--minutes N] [--seed S] [--redis-away SECONDS]: the bank under chaos, first with Redis away for so long (a minute), then with
 * faults of everything for so many minutes (5). At the end one line and a status that say whether it held.
 */
import { parseArgs } from 'node:util'
import { runBank } from './support/chaos/run-bank.ts'

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '5' }, seed: { type: 'string', default: '1' }, 'redis-away': { type: 'string', default: '60' } },
})
const start = performance.now()
const log = (line: string) => process.stderr.write(`${((performance.now() - start) / 1000).toFixed(1)} s: ${line}\n`)
const report = await runBank({ ms: Number(values.minutes) * 60_000, seed: Number(values.seed), redisAwayMs: Number(values['redis-away']) * 1_000, preparedMsMax: 5_000, log })
for (const finding of report.findings) process.stdout.write(`WRONG: ${finding}\n`)
const { faults, acknowledged, refused, unknown, reads, failedReads, findings } = report
const failed = [...failedReads].map(([code, count]) => `${count} with ${code}`).join(', ')
process.stdout.write(`seed ${values.seed}: ${faults} faults; ${acknowledged} transfers acknowledged, ${refused} refused, ${unknown} unknown; `)
process.stdout.write(`${reads} reads of the total, and some that failed (${failed || 'none'}); ${findings.length} findings\n`)
process.exitCode = findings.length === 0 ? 0 : 1

/** Kills primaries under load, one after the other: npm run test:failover -- --rounds 20 */
import { parseArgs } from 'node:util'
import { FailoverRounds, serviceMsMax } from './support/failover-rounds.ts'

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '20' } } })
const rounds = new FailoverRounds()
let failed = 0
try {
  await rounds.start()
  for (let i = 0; i < Number(values.rounds); i++) {
    const { shard, serviceMs, rejoinedMs, findings } = await rounds.round(1 + (i % 2))
    const isSlow = serviceMs >= serviceMsMax
    if (findings.length > 0 || isSlow) failed++
    process.stdout.write(`round ${i + 1}: shard ${shard} served after ${(serviceMs / 1000).toFixed(1)} s${isSlow ? ', too late' : ''}; the old primary was back in sync after ${(rejoinedMs / 1000).toFixed(1)} s\n`)
    for (const finding of findings) process.stdout.write(`  ${finding}\n`)
  }
} finally {
  await rounds.stop()
}
process.stdout.write(`${values.rounds} rounds, ${failed} of them wrong\n`)
process.exitCode = failed === 0 ? 0 : 1

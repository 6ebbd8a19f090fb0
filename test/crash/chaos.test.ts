/** A slice of what `npm run test:chaos -- --minutes 30` does for longer. */
import { expect, test } from 'vitest'
import { runBank } from './support/chaos/run-bank.ts'

test('a bank under kill -9 and SIGSTOP of everything, and without Redis', { timeout: 400_000 }, async () => {
  const log: string[] = []
  const report = await runBank({ ms: 40_000, seed: 7, redisAwayMs: 3_000, preparedMsMax: 30_000, log: (line) => log.push(line) })
  expect(report.findings, log.join('\n')).toEqual([])
  expect(report.faults).toBeGreaterThan(2)
  expect(report.acknowledged).toBeGreaterThan(100)
  expect(report.reads).toBeGreaterThan(10)
})

/** What the benchmarks share. */
import { execFile } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { realClock } from '../src/base/clock.ts'
import { startDev } from '../src/cli/dev.ts'
import type { RunningCluster } from '../src/cli/dev.ts'
import { consoleLogger } from '../src/observability/logger.ts'

const run = promisify(execFile)

/** Transactions a second. The router is in this very process: nothing here may block it. */
export async function pgbench(port: number, database: string, args: readonly string[]): Promise<number> {
  const { stdout } = await run('pgbench', ['-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', ...args, database])
  return Number(/tps = ([\d.]+)/.exec(stdout)?.[1] ?? 0)
}

export const median = (list: readonly number[]) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? Number.NaN

/** A folder that PostgreSQL's user may read, too. */
export function makeFolder(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'pgherd-bench-'))
  fs.chmodSync(folder, 0o755)
  return folder
}

/** Two shards, for as long as `work` takes. */
export async function withCluster(work: (running: RunningCluster) => Promise<void>, pgBin?: string, replicas = 0): Promise<void> {
  const dataDir = makeFolder()
  const running = await startDev({ shards: 2, replicas, host: '127.0.0.1', port: 0, dataDir, pgBin, clock: realClock, log: consoleLogger('quiet') })
  try {
    await work(running)
  } finally {
    await running.stop()
    fs.rmSync(dataDir, { recursive: true, force: true })
  }
}

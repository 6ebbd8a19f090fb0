/** pgbench through a router: load to crash in the middle of, and four sums that must agree whatever happened. */
import { execFile, spawnSync } from 'node:child_process'
import { promisify } from 'node:util'
import { ask } from './servers.ts'

const run = promisify(execFile)

export const hasPgbench = spawnSync('pgbench', ['--version']).status === 0

/** Rejects with what pgbench said when it fails. */
export async function pgbench(port: number, ...args: string[]): Promise<string> {
  const { stdout } = await run('pgbench', ['-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', ...args, 'postgres'])
  return stdout
}

/** Endless load. Its clients may lose their connections at any time; `stop` ends those that are left. */
export function startLoad(port: number): { stop(): Promise<void> } {
  const stopper = new AbortController()
  const args = ['-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', '-n', '-c', '8', '-T', '3600', 'postgres']
  const ended = run('pgbench', args, { signal: stopper.signal }).catch(() => undefined)
  return {
    async stop() {
      stopper.abort()
      await ended
    },
  }
}

export async function historyLength(port: number): Promise<number> {
  const [row] = await ask<{ count: string }>(port, 'SELECT count(*) FROM pgbench_history')
  return Number(row?.count)
}

export function processedBy(output: string): number {
  return Number(/actually processed: (\d+)/.exec(output)?.[1] ?? 0)
}

/** Each transaction adds one number to an account, a teller and a branch, and writes it into the history. */
export async function pgbenchSums(port: number): Promise<number[]> {
  const tables = ['abalance) FROM pgbench_accounts', 'tbalance) FROM pgbench_tellers', 'bbalance) FROM pgbench_branches', 'delta) FROM pgbench_history']
  const sums: number[] = []
  for (const table of tables) {
    const [row] = await ask<{ sum: string | null }>(port, `SELECT sum(${table}`)
    sums.push(Number(row?.sum ?? 0))
  }
  return sums
}

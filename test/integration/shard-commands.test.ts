/** pgherd shard add, drain, remove; and a cluster on this machine starts again without a shard that has left it. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { realClock } from '../../src/base/clock.ts'
import { commands } from '../../src/cli/commands.ts'
import type { RunningCluster } from '../../src/cli/dev.ts'
import { startDev } from '../../src/cli/dev.ts'
import { runCommand } from '../../src/cli/run-command.ts'
import { consoleLogger } from '../../src/observability/logger.ts'
import type { TestServer } from '../support/cluster.ts'
import { startPlainPostgres } from '../support/cluster.ts'

describe('commands for shards', () => {
  const dataDir = fs.mkdtempSync(path.join(os.tmpdir(), 'pgherd-test-'))
  let running: RunningCluster
  let fresh: TestServer

  const start = () => startDev({ shards: 2, replicas: 0, host: '127.0.0.1', port: 0, dataDir, pgBin: undefined, clock: realClock, log: consoleLogger('quiet') })
  const run = async (...argv: string[]) => {
    const lines: string[] = []
    const terminal = { isTerminal: false, columns: 80, print: (line: string) => void lines.push(line), write: (text: string) => void lines.push(text), ask: () => Promise.resolve(undefined) }
    const code = await runCommand(commands, [...argv, '--data-dir', dataDir], { clock: realClock, terminal, onInterrupt: () => undefined, untilInterrupted: () => undefined })
    expect(code).toBe(0)
    return lines.join('\n')
  }
  const ask = async (text: string) => {
    const client = new pg.Client({ host: '127.0.0.1', port: running.port, user: 'postgres', database: 'postgres' })
    await client.connect()
    try {
      return (await client.query<Record<string, unknown>>(text)).rows
    } finally {
      await client.end()
    }
  }

  beforeAll(async () => {
    fs.chmodSync(dataDir, 0o755)
    ;[running, fresh] = await Promise.all([start(), startPlainPostgres()])
  }, 120_000)

  afterAll(async () => {
    await running?.stop()
    await fresh?.stop()
    fs.rmSync(dataDir, { recursive: true, force: true })
  }, 60_000)

  test('a server joins, takes its part, and another leaves', async () => {
    await ask('CREATE TABLE people (id int PRIMARY KEY)')
    await ask('INSERT INTO people SELECT generate_series(1, 300)')
    expect(await run('shard', 'add', `127.0.0.1:${fresh.port}`)).toContain('shard3 has joined')
    await run('rebalance', '--yes')
    const owned = await ask('SELECT shard, count(*)::int AS n FROM pgherd.buckets GROUP BY shard ORDER BY shard')
    expect(owned.map(({ shard }) => shard)).toEqual([1, 2, 3])
    await expect(run('shard', 'remove', 'shard2')).rejects.toThrow('is not empty')
    expect(await run('shard', 'drain', 'shard2')).toContain('gets nothing new')
    await run('rebalance', '--yes')
    expect(await run('shard', 'remove', 'shard2')).toContain('was removed')
    expect(await ask('SELECT count(*)::int AS n FROM people')).toEqual([{ n: 300 }])
    expect(await ask('SELECT id, state FROM pgherd.shards ORDER BY id')).toEqual([{ id: 1, state: 'active' }, { id: 3, state: 'active' }])
  }, 180_000)

  test('a new server joins, and what cannot join is not left running', async () => {
    await ask(`CREATE AGGREGATE sum_of (int) (SFUNC = int4pl, STYPE = int)`)
    await expect(run('shard', 'add')).rejects.toThrow('sum_of')
    expect(running.cluster.shards).toHaveLength(2)
    expect(fs.existsSync(path.join(dataDir, 'shard3'))).toBe(false)
    await ask('DROP AGGREGATE sum_of (int)')
    const said = await run('shard', 'add')
    expect(running.cluster.shards).toHaveLength(3)
    await run('rebalance', '--yes')
    expect(await ask('SELECT count(DISTINCT shard)::int AS n FROM pgherd.buckets')).toEqual([{ n: 3 }])
    expect(said).toContain('has joined')
  }, 120_000)

  test('and the cluster starts again as it is', async () => {
    await running.stop()
    running = await start()
    expect(await ask('SELECT count(*)::int AS n FROM people')).toEqual([{ n: 300 }])
    expect(await ask('SELECT id FROM pgherd.shards ORDER BY id')).toEqual([{ id: 1 }, { id: 3 }, { id: 5 }])
  }, 120_000)
})

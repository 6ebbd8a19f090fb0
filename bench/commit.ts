/**
 * What a transaction over two shards costs beside one on a single shard, in interleaved rounds: two updates by key and COMMIT, of rows
 * on one shard, or on both. And how often the servers' logs are flushed for it.
 */
import fs from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { realClock } from '../src/base/clock.ts'
import { makeFolder, median, pgbench, withCluster } from './support.ts'

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '3' }, seconds: { type: 'string', default: '3' }, clients: { type: 'string', default: '1,8' } },
})

/** Rows on each shard: enough that clients seldom want the same. */
const rows = 64

async function ask<Row extends pg.QueryResultRow>(port: number, sql: string): Promise<Row[]> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' })
  await client.connect()
  try {
    return (await client.query<Row>(sql)).rows
  } finally {
    await client.end()
  }
}

/** One script for each pair of rows, as arguments of pgbench. */
function scripts(folder: string, name: string, pairs: readonly (readonly [number, number])[]): string[] {
  return pairs.flatMap(([a, b], i) => {
    const file = path.join(folder, `${name}${i}.sql`)
    const update = (id: number) => `UPDATE account SET balance = balance + 1 WHERE id = ${id};\n`
    fs.writeFileSync(file, `BEGIN;\n${update(a)}${update(b)}COMMIT;\n`)
    return ['-f', file]
  })
}

/** A process that has nothing to do reports what it has counted after 10 s. */
const reportedMs = 12_000

/** Flushes of the servers' write-ahead logs so far. */
async function flushes(ports: readonly number[]): Promise<number> {
  await realClock.sleep(reportedMs)
  const counts = await Promise.all(ports.map((port) => ask<{ n: string }>(port, `SELECT sum(fsyncs) AS n FROM pg_stat_io WHERE object = 'wal'`)))
  return counts.reduce((sum, [row]) => sum + Number(row?.n), 0)
}

await withCluster(async (running) => {
  const { port } = running
  const shards = running.cluster.shards.map(({ primary }) => primary.port)
  await ask(port, 'CREATE TABLE account (id int PRIMARY KEY, balance int)')
  await ask(port, `INSERT INTO account SELECT i, 0 FROM generate_series(1, ${8 * rows}) i`)
  const idsOn = async (shard: number) => (await ask<{ id: number }>(shard, `SELECT id FROM account ORDER BY id LIMIT ${rows}`)).map(({ id }) => id)
  const [first, second] = (await Promise.all(shards.map(idsOn))) as [number[], number[]]
  const folder = makeFolder()
  const other = (ids: readonly number[], i: number) => ids[(i + 1) % rows] ?? 0
  const onOne = scripts(folder, 'one', first.map((id, i) => [id, other(first, i)]))
  const onTwo = scripts(folder, 'two', first.map((id, i) => [id, other(second, i)]))
  try {
    for (const clients of values.clients.split(',')) {
      const ratios: number[] = []
      for (let round = 0; round < Number(values.rounds); round++) {
        const args = ['-n', '-c', clients, '-j', '1', '-T', values.seconds]
        const one = await pgbench(port, 'postgres', [...args, ...onOne])
        ratios.push((await pgbench(port, 'postgres', [...args, ...onTwo])) / one)
      }
      process.stdout.write(`clients=${clients.padStart(2)}  two shards/one shard=${median(ratios).toFixed(2)}\n`)
    }
    const count = 300
    for (const [name, files] of [['one shard', onOne], ['two shards', onTwo]] as const) {
      const before = await flushes(shards)
      await pgbench(port, 'postgres', ['-n', '-c', '1', '-t', String(count), ...files])
      process.stdout.write(`${name}: ${(((await flushes(shards)) - before) / count).toFixed(2)} flushes of a log in a transaction\n`)
    }
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
})

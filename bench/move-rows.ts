/**
 * Rows a second of a move beside `pg_dump | psql` of the same rows, and what clients get done while rows move beside what they get done otherwise. In
 * interleaved rounds; medians of their ratios.
 *
 *   npm run bench:move-rows -- --pg-bin /usr/lib/postgresql/15/bin [--rounds 5] [--rows 200000] [--seconds 5]
 *
 * pg_dump refuses servers that are newer than itself: the folder has the servers' programs and pg_dump's, psql's and pgbench's.
 */
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import type pg from 'pg'
import { realClock } from '../src/base/clock.ts'
import { withAdmin } from '../src/coordination/admin-client.ts'
import { catalogAddress } from '../src/coordination/bootstrap.ts'
import { requestMoves } from '../src/rebalance/move-requests.ts'
import { makeFolder, median, pgbench, withCluster } from './support.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' }, rows: { type: 'string', default: '200000' }, seconds: { type: 'string', default: '5' },
    clients: { type: 'string', default: '8' }, 'pg-bin': { type: 'string', default: '/usr/lib/postgresql/15/bin' },
  },
})
const bin = values['pg-bin']
const credentials = { user: 'postgres' }

interface Bucket {
  readonly group: number
  readonly bucket: number
  readonly shard: number
}

await withCluster(async ({ port, cluster }) => {
  const catalog = catalogAddress('127.0.0.1', cluster.catalog.port)
  const at = (server: number) => ({ id: 0, name: 'server', host: '127.0.0.1', port: server })
  const ask = async <T extends pg.QueryResultRow>(server: number, sql: string, database = 'postgres') =>
    withAdmin(at(server), database, credentials, async (client) => (await client.query<T>(sql)).rows)
  const shardPort = (shard: number) => cluster.shards[shard - 1]?.primary.port ?? 0

  // All rows of a tenant are in one bucket: the one that moves. Another tenant stays, on the shard where the first is at the start.
  await ask(port, `CREATE TABLE item (tenant int, id int, v int NOT NULL, note text, PRIMARY KEY (tenant, id)) WITH (pgherd.shard_key = 'tenant')`)
  await ask(port, `INSERT INTO item SELECT 1, g, 0, repeat('x', 80) FROM generate_series(1, ${values.rows}) g`)
  const source = (await ask(shardPort(1), 'SELECT FROM item LIMIT 1')).length > 0 ? 1 : 2
  const leafOf = async (shard: number, tenant: number) => (await ask<{ leaf: string }>(shardPort(shard), `SELECT tableoid::regclass::text AS leaf FROM item WHERE tenant = ${tenant} LIMIT 1`))[0]?.leaf
  let other = 1
  for (let leaf: string | undefined; leaf === undefined || leaf === (await leafOf(source, 1)); leaf = await leafOf(source, other)) {
    await ask(port, `INSERT INTO item SELECT ${++other}, g, 0, repeat('x', 80) FROM generate_series(1, 1000) g`)
  }
  const leaf = (await leafOf(source, 1)) ?? ''
  const number = Number(/_b(\d+)$/.exec(leaf)?.[1])
  const whereIs = async (): Promise<Bucket> => {
    const [row] = await ask<Bucket>(catalog.port, `SELECT group_id AS "group", bucket, shard_id AS shard FROM pgherd.bucket WHERE bucket = ${number} AND group_id = (SELECT group_id FROM pgherd.placement WHERE oid = 'item'::regclass)`)
    if (row === undefined) throw new Error('the table has no such bucket')
    return row
  }

  /** Seconds from the move's start to its end. */
  const move = async (): Promise<number> => {
    const { group, bucket, shard } = await whereIs()
    const [id] = await withAdmin(catalog, 'postgres', credentials, (client) => requestMoves(client, [{ group, bucket, target: 3 - shard }]))
    for (;;) {
      const [row] = await ask<{ stage: string; seconds: number }>(catalog.port, `SELECT stage, extract(epoch FROM ended_at - started_at)::float8 AS seconds FROM pgherd.move WHERE id = ${id}`)
      if (row?.stage === 'done') return row.seconds
      await realClock.sleep(50)
    }
  }

  /** Seconds for `pg_dump | psql` from the shard that has the bucket into a database of the other. */
  const dump = async (): Promise<number> => {
    const { shard } = await whereIs()
    await ask(shardPort(3 - shard), 'CREATE DATABASE dumped')
    await ask(shardPort(3 - shard), 'CREATE SCHEMA pgherd_data', 'dumped')
    const began = performance.now()
    const from = spawn(path.join(bin, 'pg_dump'), ['-h', '127.0.0.1', '-p', String(shardPort(shard)), '-U', 'postgres', '-t', leaf, 'postgres'], { stdio: ['ignore', 'pipe', 'ignore'] })
    const to = spawn(path.join(bin, 'psql'), ['-q', '-h', '127.0.0.1', '-p', String(shardPort(3 - shard)), '-U', 'postgres', 'dumped'], { stdio: ['pipe', 'ignore', 'ignore'] })
    from.stdout.pipe(to.stdin)
    await new Promise((resolve, reject) => to.once('close', resolve).once('error', reject))
    const seconds = (performance.now() - began) / 1000
    const [count] = await ask<{ n: string }>(shardPort(3 - shard), `SELECT count(*) AS n FROM ${leaf}`, 'dumped')
    if (Number(count?.n) < Number(values.rows)) throw new Error(`the dump has ${count?.n} rows`)
    await ask(shardPort(3 - shard), 'DROP DATABASE dumped')
    return seconds
  }

  const rounds = Array.from({ length: Number(values.rounds) })
  const [moveRates, dumpRates, ratios]: number[][] = [[], [], []]
  for (const _ of rounds) {
    const [moved, dumped] = [await move(), await dump()]
    moveRates?.push(Number(values.rows) / moved)
    dumpRates?.push(Number(values.rows) / dumped)
    ratios?.push(dumped / moved)
  }
  console.log(`${values.rows} rows: move ${Math.round(median(moveRates ?? []))} rows/s, pg_dump | psql ${Math.round(median(dumpRates ?? []))} rows/s, ratio ${median(ratios ?? []).toFixed(2)}\n`)

  const folder = makeFolder()
  const script = (name: string, text: string) => {
    const file = path.join(folder, name)
    fs.writeFileSync(file, text)
    return file
  }
  const loads = [
    ['reads of rows that move', script('read.sql', `\\set id random(1, ${values.rows})\nSELECT v FROM item WHERE tenant = 1 AND id = :id;\n`)],
    ['writes of rows that move', script('write.sql', `\\set id random(1, ${values.rows})\nUPDATE item SET v = v + 1 WHERE tenant = 1 AND id = :id;\n`)],
    ['writes of other rows', script('other.sql', `\\set id random(1, 1000)\nUPDATE item SET v = v + 1 WHERE tenant = ${other} AND id = :id;\n`)],
  ] as const
  console.log(`| ${values.clients} clients | a second, without a move | with moves / without |\n|---|--:|--:|`)
  try {
    for (const [name, file] of loads) {
      const [alone, shares]: number[][] = [[], []]
      const run = () => pgbench(port, 'postgres', ['-n', '-c', values.clients, '-j', '1', '-T', values.seconds, '-f', file])
      for (const _ of rounds) {
        const without = await run()
        const state = { isDone: false }
        const measured = run().finally(() => (state.isDone = true))
        while (!state.isDone) await move()
        alone?.push(without)
        shares?.push((await measured) / without)
      }
      console.log(`| ${name} | ${Math.round(median(alone ?? []))} | ${median(shares ?? []).toFixed(2)} |`)
    }
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}, bin)

/** Point reads of many clients on shared server connections: each gets its own answer, whatever happens to the others. */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestCluster } from '../support/cluster.ts'
import type { TestCluster } from '../support/cluster.ts'
import { RawClient } from './hostile/raw-client.ts'
import { frontendFrame } from './wire/frontend-frames.ts'

interface Client extends pg.Client {
  processID: number
  secretKey: number | Buffer
}

let cluster: TestCluster
const open: Client[] = []

async function connect(options: pg.ClientConfig = {}, port = cluster.port): Promise<Client> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres', ...options }) as Client
  client.on('error', () => undefined)
  await client.connect()
  open.push(client)
  return client
}

const connectMany = (count: number) => Promise.all(Array.from({ length: count }, () => connect()))
const shardPorts = () => cluster.running.cluster.shards.map((shard) => shard.primary.port)

beforeAll(async () => {
  cluster = await startTestCluster({ shards: 2, replicas: 0 })
  const client = await connect()
  await client.query('CREATE TABLE items (id int PRIMARY KEY, name text, at timestamptz)')
  await client.query(`INSERT INTO items SELECT i, 'item ' || i, '2024-06-01 12:00+00' FROM generate_series(1, 500) i`)
  await client.query('CREATE TABLE locked (id int PRIMARY KEY, name text)')
  await client.query(`INSERT INTO locked SELECT i, 'locked ' || i FROM generate_series(1, 500) i`)
})

afterAll(async () => {
  await Promise.all(open.map((client) => client.end().catch(() => undefined)))
  await cluster.stop()
})

type Read = (client: Client, id: number) => Promise<pg.QueryResult<{ id: number; name: string }>>

const ways: Readonly<Record<string, Read>> = {
  'simple texts': (client, id) => client.query(`SELECT id, name FROM items WHERE id = ${id}`),
  'unnamed statements': (client, id) => client.query('SELECT id, name FROM items WHERE id = $1', [id]),
  'named statements': (client, id) => client.query({ name: 'by-id', text: 'SELECT id, name FROM items WHERE id = $1', values: [id] }),
}

/** Client i reads a row of its own so many times; every answer must be that row. */
async function readOwn(clients: readonly Client[], times: number): Promise<void> {
  const reads = Object.values(ways)
  await Promise.all(
    clients.map(async (client, i) => {
      for (let n = 0; n < times; n++) {
        const id = 1 + ((i * 31 + n * 7) % 500)
        const { rows } = await (reads[(i + n) % reads.length] as Read)(client, id)
        expect(rows).toEqual([{ id, name: `item ${id}` }])
      }
    }),
  )
}

describe('point reads on shared connections', () => {
  test('sixty sessions get their own rows', async () => {
    await readOwn(await connectMany(60), 60)
  })

  test('sessions with other settings get no connection of others, and none of their answers', async () => {
    const admin = await connect()
    await admin.query(`CREATE ROLE reader; GRANT SELECT ON items TO reader; GRANT USAGE ON SCHEMA public TO reader`)
    await admin.query('CREATE SCHEMA other')
    await admin.query('CREATE TABLE other.items (id int PRIMARY KEY, name text, at timestamptz)')
    await admin.query(`INSERT INTO other.items SELECT i, 'other ' || i, '2024-06-01 12:00+00' FROM generate_series(1, 500) i`)
    const text = (id: number) => `SELECT name, at || '' AS at, current_user AS who FROM items WHERE id = ${id}`
    const plain = (id: number) => `SELECT name, CAST(at AS text) AS at FROM items WHERE id = ${id}`
    const kinds = [
      { set: [], name: 'item', zone: '12:00:00+00' },
      { set: [`SET TIME ZONE 'Asia/Tokyo'`], name: 'item', zone: '21:00:00+09' },
      { set: ['SET search_path = other, public'], name: 'other', zone: '12:00:00+00' },
      { set: ['SET ROLE reader'], name: 'item', zone: '12:00:00+00' },
      { set: [`SET statement_timeout = '20s'`, `SET application_name = 'one'`], name: 'item', zone: '12:00:00+00' },
      { set: ['SET search_path = other', `SET TIME ZONE 'America/New_York'`], name: 'other', zone: '08:00:00-04' },
    ]
    const clients = await connectMany(kinds.length * 3)
    await Promise.all(
      clients.map(async (client, i) => {
        const kind = kinds[i % kinds.length] as (typeof kinds)[number]
        await client.query(`SET TIME ZONE 'UTC'`)
        for (const set of kind.set) await client.query(set)
        const who = kind.set.includes('SET ROLE reader') ? 'reader' : 'postgres'
        for (let n = 0; n < 40; n++) {
          const id = 1 + ((i * 17 + n) % 500)
          const expected = { name: `${kind.name} ${id}`, at: `2024-06-01 ${kind.zone}` }
          expect((await client.query(plain(id))).rows).toEqual([expected])
          if (n % 8 === 0) expect((await client.query(text(id))).rows).toEqual([{ ...expected, who }])
        }
      }),
    )
    const [reader] = await connectMany(1)
    await reader?.query('SET ROLE reader')
    for (let id = 1; id < 9; id++) await expect(reader?.query(`SELECT name FROM locked WHERE id = ${id}`)).rejects.toMatchObject({ code: '42501' })
  })

  test.each(Object.keys(ways))('an exclusive lock on one table holds up nobody who reads another, and who waits can be cancelled: %s', async (way) => {
    const read = ways[way] as Read
    const [holder, watcher, ...clients] = await connectMany(42)
    const blocked = clients.slice(0, 20)
    const others = clients.slice(20)
    const text = 'SELECT id, name FROM locked WHERE id = $1'
    const readLocked = (client: Client, id: number) => (way === 'simple texts' ? client.query(text.replace('$1', String(id))) : client.query(way === 'named statements' ? { name: 'locked', text, values: [id] } : { text, values: [id] }))
    await Promise.all(clients.map(async (client, i) => {
      for (let n = 0; n < 4; n++) {
        await read(client, 1 + i + n)
        await readLocked(client, 1 + i + n)
      }
    }))
    await holder?.query('BEGIN')
    await holder?.query('LOCK TABLE locked IN ACCESS EXCLUSIVE MODE')
    const ends = blocked.map((client, i) => readLocked(client, i + 1).then(({ rows }) => rows as unknown, (error: { code?: string }) => error.code))
    // These come in the same turn, behind those that are blocked.
    const answers = await Promise.all(others.map((client, i) => read(client, i + 1)))
    expect(answers.map(({ rows }) => rows[0]?.name)).toEqual(others.map((_, i) => `item ${i + 1}`))
    const cancelled = blocked.slice(0, 10)
    await Promise.all(cancelled.map(({ processID }) => watcher?.query('SELECT pg_cancel_backend($1::int)', [processID])))
    expect(await Promise.all(ends.slice(0, 10))).toEqual(cancelled.map(() => '57014'))
    await readOwn(others, 5)
    await holder?.query('COMMIT')
    expect(await Promise.all(ends.slice(10))).toEqual(blocked.slice(10).map((_, i) => [{ id: i + 11, name: `locked ${i + 11}` }]))
    await readOwn(clients, 5)
  })

  test('backends that are terminated under way: no client sees an error', async () => {
    const clients = await connectMany(30)
    const servers = await Promise.all(shardPorts().map((port) => connect({}, port)))
    let terminated = 0
    for (let round = 0; round < 15; round++) {
      const reads = readOwn(clients, 10)
      const counts = await Promise.all(servers.map((server) => server.query<{ n: number }>(`SELECT count(pg_terminate_backend(pid))::int AS n FROM pg_stat_activity WHERE datname = 'postgres' AND backend_type = 'client backend' AND pid <> pg_backend_pid()`)))
      for (const { rows } of counts) terminated += rows[0]?.n ?? 0
      await reads
    }
    expect(terminated).toBeGreaterThan(15)
  })

  test('a cancel request ends a statement of its own client alone', async () => {
    const clients = await connectMany(30)
    const [watcher, ...victims] = await connectMany(6)
    const reading = new AbortController()
    const cancelled = victims.map(async (victim) => {
      for (let n = 0; !reading.signal.aborted; n++) {
        const id = 1 + (n % 500)
        const answer = await victim.query('SELECT name FROM items WHERE id = $1', [id]).catch((error: { code?: string }) => error)
        if ('rows' in answer) expect(answer.rows).toEqual([{ name: `item ${id}` }])
        else expect(answer.code).toBe('57014')
      }
    })
    const cancels = (async () => {
      while (!reading.signal.aborted) await watcher?.query('SELECT pg_cancel_backend(pid) FROM unnest($1::int[]) AS pid', [victims.map(({ processID }) => processID)])
    })()
    await readOwn(clients, 80).finally(() => reading.abort())
    await Promise.all([...cancelled, cancels])
  })

  test('a client that does not read its answers holds up nobody', async () => {
    const admin = await connect()
    await admin.query('CREATE TABLE wide (id int PRIMARY KEY, data text)')
    await admin.query(`INSERT INTO wide SELECT i, repeat('x', 100000) FROM generate_series(1, 20) i`)
    const slow = await RawClient.logIn(cluster.port, 'postgres')
    slow.socket.pause()
    const batch = Buffer.concat(['Parse "", "SELECT data FROM wide WHERE id = $1", [23]', 'Bind "", "", [], ["7"]', 'Describe "P", ""', 'Execute ""', 'Sync'].map(frontendFrame))
    const times = 2000
    const before = process.memoryUsage().rss
    slow.send(...Array.from({ length: times }, () => batch))
    await readOwn(await connectMany(20), 50)
    // 200 MB are asked for; what gathers in the router is far less.
    expect(process.memoryUsage().rss - before).toBeLessThan(120 * 1024 * 1024)
    slow.socket.resume()
    let rows = 0
    for (let n = 0; n < times; n++) {
      const answers = await slow.untilReady()
      rows += answers.filter(({ type, payload }) => type === 'D' && payload.length === 100006).length
    }
    expect(rows).toBe(times)
    slow.destroy()
  })

  test('clients that leave in the middle take nothing from the others', async () => {
    const stay = await connectMany(20)
    const leave = await Promise.all(Array.from({ length: 20 }, () => RawClient.logIn(cluster.port, 'postgres')))
    const batch = Buffer.concat(['Parse "", "SELECT id, name FROM items WHERE id = $1", [23]', 'Bind "", "", [], ["7"]', 'Execute ""', 'Sync'].map(frontendFrame))
    const reads = readOwn(stay, 60)
    for (const client of leave) {
      client.send(batch, batch, batch)
      await client.until(() => client.answers.length > 0)
      client.destroy()
    }
    await reads
  })

  test.each(Object.keys(ways))('what has been written is read: %s', async (way) => {
    const read = ways[way] as Read
    const clients = await connectMany(12)
    await Promise.all(
      clients.map(async (client, i) => {
        const other = clients[(i + 1) % clients.length] as Client
        const id = 10_000 + i
        await client.query(`INSERT INTO items (id, name) VALUES (${id}, 'new')`)
        for (let n = 0; n < 15; n++) {
          const name = `${way} ${n}`
          if (n % 3 === 0) await client.query(`UPDATE items SET name = '${name}' WHERE id = ${id}`)
          else if (n % 3 === 1) await client.query('UPDATE items SET name = $1 WHERE id = $2', [name, id])
          else {
            await client.query('BEGIN')
            await client.query('UPDATE items SET name = $1 WHERE id = $2', [name, id])
            expect((await read(client, id)).rows).toEqual([{ id, name }])
            await client.query('COMMIT')
          }
          expect((await read(client, id)).rows).toEqual([{ id, name }])
          expect((await read(other, id)).rows).toEqual([{ id, name }])
        }
        await client.query('DELETE FROM items WHERE id = $1', [id])
        expect((await read(client, id)).rows).toEqual([])
        expect((await read(other, id)).rows).toEqual([])
      }),
    )
  })

  test('a shard is killed and started again: reads go on', async () => {
    const clients = await connectMany(20)
    const [shard] = cluster.running.cluster.shards
    const goOn = async (client: Client, i: number) => {
      for (let left = 30; left > 0; ) {
        const id = 1 + ((i * 13 + left) % 500)
        const answer = await client.query('SELECT id, name FROM items WHERE id = $1', [id]).catch((error: { code?: string; message: string }) => error)
        // While it is down: that it cannot be reached, and no other error.
        if ('rows' in answer) expect(answer.rows).toEqual([{ id, name: `item ${id}` }])
        else expect(`${answer.code} ${answer.message}`).toMatch(/^(08|57P)/)
        if ('rows' in answer) left--
      }
    }
    const reads = Promise.all(clients.map(goOn))
    const server = await connect({}, shard?.primary.port)
    const down = new Promise((resolve) => server.once('end', resolve))
    shard?.primary.kill('SIGKILL')
    await down
    await shard?.primary.start()
    await reads
    await readOwn(clients, 20)
  })
})

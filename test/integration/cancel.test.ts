/** A cancel ends all of a statement, wherever it waits: the client is told 57014, no server keeps anything, and the next statement works. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { createDatabase } from '../support/databases.ts'
import { WireClient } from '../support/wire-client.ts'

const port = inject('clusterPort')
let database: string
let other: WireClient
const open: WireClient[] = []

const connect = async (to = { port, database }) => {
  const client = await WireClient.connect(to)
  open.push(client)
  return client
}

const rowsOf = async (client: WireClient, sql: string) => {
  const { rows, error } = await client.query(sql)
  expect(error).toBeUndefined()
  return rows
}

const pidOf = async (client: WireClient) => Number((await rowsOf(client, 'SELECT pg_backend_pid()'))[0]?.[0])

/** On every server of the cluster. */
async function onShards(work: (shard: WireClient) => Promise<boolean>): Promise<boolean> {
  let result = false
  for (const [to] of await rowsOf(other, 'SELECT port FROM pgherd.shards')) {
    const shard = await WireClient.connect({ port: Number(to), database: 'postgres' })
    result = (await work(shard)) || result
    shard.close()
  }
  return result
}

const activity = (condition: string) => `SELECT 1 FROM pg_stat_activity WHERE datname = '${database}' AND backend_type = 'client backend' AND ${condition}`

/** A statement waits for a lock on some shard. */
async function untilWaiting(): Promise<void> {
  while (!(await onShards(async (shard) => (await rowsOf(shard, activity(`wait_event_type = 'Lock'`))).length > 0)));
}

/** No server has anything under way but what `others` hold. */
async function untilQuiet(): Promise<void> {
  while (await onShards(async (shard) => (await rowsOf(shard, activity(`state <> 'idle'`))).length > 0 || (await rowsOf(shard, `SELECT 1 FROM pg_prepared_xacts WHERE database = '${database}'`)).length > 0));
}

beforeAll(async () => {
  database = await createDatabase(port, 'cancel')
  other = await WireClient.connect({ port, database })
  for (const sql of ['CREATE TABLE item (id int PRIMARY KEY, n int)', 'CREATE TABLE late (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)']) await rowsOf(other, sql)
})
beforeEach(async () => {
  await rowsOf(other, 'DELETE FROM item; DELETE FROM late')
  await rowsOf(other, 'INSERT INTO item SELECT g, g FROM generate_series(1, 60) g')
})
afterEach(() => {
  for (const client of open.splice(0)) client.close()
})
afterAll(() => other.close())

interface Waiting {
  /** What another session holds meanwhile. */
  readonly held: string
  readonly holdsOnShard?: boolean
  readonly before?: readonly string[]
  readonly text: string
  readonly data?: string
}

const rows = `VALUES ${Array.from({ length: 40 }, (_, i) => `(${i + 1})`).join(', ')}`
const lines = Array.from({ length: 40 }, (_, i) => `${i + 101}\t0\n`).join('')

const waits: Record<string, Waiting> = {
  'a write over all shards': { held: 'UPDATE item SET n = 0 WHERE id % 7 = 0', text: 'UPDATE item SET n = n + 1' },
  "a gather's COPY": { held: 'LOCK TABLE item', holdsOnShard: true, text: 'SELECT a.id, sum(a.n) OVER (ORDER BY b.id) FROM item a JOIN item b ON a.n = b.n' },
  'a write over copies of rows': { held: 'UPDATE item SET n = 0 WHERE id % 7 = 0', text: 'UPDATE item SET id = id + 1000' },
  'COPY FROM STDIN over several shards': { held: 'INSERT INTO item SELECT g, 0 FROM generate_series(101, 140, 7) g', text: 'COPY item FROM STDIN', data: lines },
  'PREPARE of a commit over several shards': { held: `INSERT INTO late ${rows}`, before: ['BEGIN', 'UPDATE item SET n = 0', `INSERT INTO late ${rows}`], text: 'COMMIT' },
  'a transaction that has written elsewhere': { held: 'UPDATE item SET n = 0 WHERE id = 7', before: ['BEGIN', 'UPDATE item SET n = 0 WHERE id <> 7'], text: 'SELECT n FROM item WHERE id = 7 FOR UPDATE' },
}

describe.each(Object.entries(waits))('%s', (_name, { held, holdsOnShard, before = [], text, data }) => {
  let holder: WireClient
  const begin = async () => {
    const [[shard] = []] = await rowsOf(other, 'SELECT port FROM pgherd.shards')
    holder = await connect({ port: holdsOnShard ? Number(shard) : port, database })
    await rowsOf(holder, 'BEGIN')
    await rowsOf(holder, held)
    const client = await connect()
    client.copyData = data === undefined ? undefined : Buffer.from(data)
    const pid = await pidOf(client)
    for (const sql of before) await rowsOf(client, sql)
    const answer = client.query(text)
    await untilWaiting()
    return { client, pid, answer }
  }

  test('is cancelled', async () => {
    const { client, pid, answer } = await begin()
    await rowsOf(await connect(), `SELECT pg_cancel_backend(${pid})`)
    const { error, status } = await answer
    expect([error?.sqlstate, error?.message, status]).toEqual(['57014', 'canceling statement due to user request', before.length > 0 && text !== 'COMMIT' ? 'E' : 'I'])
    await rowsOf(holder, 'ROLLBACK')
    await rowsOf(client, 'ROLLBACK')
    await untilQuiet()
    expect(await rowsOf(client, 'SELECT count(*), sum(id), sum(n) FROM item')).toEqual([['60', '1830', '1830']])
    expect(await rowsOf(client, 'SELECT count(*) FROM late')).toEqual([['0']])
  })

  test('ends with its client', async () => {
    const { client } = await begin()
    client.leave()
    // Before the lock is free: it is not waited for.
    while (await onShards(async (shard) => (await rowsOf(shard, activity(`wait_event_type = 'Lock'`))).length > 0));
    await rowsOf(holder, 'ROLLBACK')
    await untilQuiet()
    expect(await rowsOf(other, 'SELECT count(*), sum(id), sum(n) FROM item')).toEqual([['60', '1830', '1830']])
    expect(await rowsOf(other, 'SELECT count(*) FROM late')).toEqual([['0']])
  })
})

test('waiting for a connection', async () => {
  const clients = await Promise.all(Array.from({ length: 95 }, () => connect()))
  const pids = await Promise.all(clients.map(pidOf))
  const given = new Set<WireClient>()
  const answers = clients.map(async (client) => {
    await rowsOf(client, 'BEGIN')
    const answer = await client.query('SELECT n FROM item WHERE id = 7')
    given.add(client)
    return answer.error?.sqlstate ?? 'given'
  })
  const isStill = async () => Number((await rowsOf(other, `SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT n FROM item%' AND pid IN (${pids.join()})`))[0]?.[0]) === 95 - given.size && given.size >= 80
  while (!(await isStill()));
  for (const pid of pids) await rowsOf(other, `SELECT pg_cancel_backend(${pid})`)
  const results = await Promise.all(answers)
  expect(new Set(results)).toEqual(new Set(['given', '57014']))
  const waiting = clients[results.indexOf('57014')] as WireClient
  await rowsOf(waiting, 'ROLLBACK')
  for (const client of clients) if (client !== waiting) client.close()
  expect(await rowsOf(waiting, 'SELECT n FROM item WHERE id = 7')).toEqual([['7']])
  await untilQuiet()
})

test('at any moment of a commit over several shards, all of it is there or nothing', async () => {
  const client = await connect()
  const pid = await pidOf(client)
  let expected = 1830
  for (let round = 0; round < 60; round++) {
    await rowsOf(client, 'BEGIN')
    await rowsOf(client, 'UPDATE item SET n = n + 1')
    const commit = client.query('COMMIT')
    for (let turns = 0; turns < round % 20; turns++) await new Promise((resolve) => setImmediate(resolve))
    await rowsOf(other, `SELECT pg_cancel_backend(${pid})`)
    const { error, tags, status } = await commit
    expect([error?.sqlstate ?? tags[0], status]).toEqual([error === undefined ? 'COMMIT' : '57014', 'I'])
    if (error === undefined) expected += 60
    expect(await rowsOf(client, 'SELECT sum(n) FROM item')).toEqual([[String(expected)]])
  }
  await untilQuiet()
})

/**
 * Clients that lie, flood, fall silent or vanish. Whatever one of them does ends in an error or a bounded wait of its own:
 * other clients go on working, and when it is gone a fresh client works and the router's memory comes back.
 *
 * HOSTILE_RUNS sets the number of mutated streams (all: 10000), HOSTILE_SEED the first of their seeds.
 */
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createDatabase } from '../support/databases.ts'
import * as frontend from './hostile/messages.ts'
import { hostileStream } from './hostile/mutations.ts'
import { codes, errorField, RawClient, types } from './hostile/raw-client.ts'
import { startRouterProcess } from './hostile/router-process.ts'
import type { RouterProcess } from './hostile/router-process.ts'

const MiB = 1024 * 1024
const runs = Number(process.env['HOSTILE_RUNS'] ?? 1000)
const firstSeed = Number(process.env['HOSTILE_SEED'] ?? 1)
/** More than one client may make the router hold: buffers of sockets, queues, and V8's slack. */
const slackBytesMax = 192 * MiB

const hugeQuery = `SELECT length('${'x'.repeat(50 * MiB)}')`

let router: RouterProcess
let database: string
let restingBytes: number
/** An honest client, there all the time. */
let bystander: RawClient
/** The clients of the test that runs. */
const guests: RawClient[] = []

beforeAll(async () => {
  router = await startRouterProcess(3)
  database = await createDatabase(router.port, 'hostile')
  bystander = await RawClient.logIn(router.port, database)
  await succeed(bystander, 'CREATE TABLE innocents (id int PRIMARY KEY, note text)')
  await succeed(bystander, "INSERT INTO innocents SELECT i, 'note ' || i FROM generate_series(1, 500) i")
  // The parser's memory grows to its largest text and stays so: that text comes before anything is measured.
  await succeed(bystander, hugeQuery)
  restingBytes = router.residentBytes()
})

afterAll(async () => {
  bystander?.socket.destroy()
  await router?.stop()
})

beforeEach(() => expect(router.isRunning).toBe(true))

afterEach(async () => {
  for (const guest of guests.splice(0)) guest.destroy()
  expect(router.isRunning, 'the router has crashed').toBe(true)
  expect(await firstValue(bystander, 'SELECT count(*) FROM innocents')).toBe('500')
  const fresh = await RawClient.logIn(router.port, database)
  expect(await firstValue(fresh, 'SELECT note FROM innocents WHERE id = 250')).toBe('note 250')
  // Garbage is collected when there is something to do: a little work goes on until the memory has come back.
  for (let work = 0; work < 500 && router.residentBytes() > restingBytes + slackBytesMax; work++) await succeed(fresh, 'SELECT repeat(note, 1000) FROM innocents')
  expect(router.residentBytes()).toBeLessThan(restingBytes + slackBytesMax)
  fresh.socket.destroy()
})

describe('messages that are none', () => {
  test(`${runs} mutated streams`, { timeout: 60_000 + 60 * runs }, async () => {
    let next = firstSeed
    const worker = async () => {
      // A database each: what one stream locks or changes must not decide what another one meets.
      const own = await createDatabase(router.port, 'hostile')
      const owner = await RawClient.logIn(router.port, own)
      guests.push(owner)
      await makeVictims(owner)
      while (next < firstSeed + runs) await survive(next++, own)
    }
    await Promise.all(Array.from({ length: 8 }, worker))
  })

  test('a length of 1 GB is believed only as far as bytes come', async () => {
    const client = await logIn()
    client.send(Buffer.from([0x51]), frontend.int32(1024 * MiB - 16), Buffer.from('SELECT 1'))
    expect(await firstValue(bystander, 'SELECT 1')).toBe('1')
    expect(router.residentBytes()).toBeLessThan(restingBytes + slackBytesMax)
  })

  test.each([-1, 0, 3, 1024 * MiB, 2 ** 31 - 1])('a length of %i ends the connection', async (length) => {
    const client = await logIn()
    client.send(Buffer.from([0x51]), frontend.int32(length))
    await client.untilClosed()
    expect(codes(client.answers)).toEqual(['08P01'])
  })

  test('an unknown message type ends the connection', async () => {
    const client = await logIn()
    client.send(frontend.message('z'))
    await client.untilClosed()
    expect(client.answers.map((answer) => errorField(answer, 'C'))).toEqual(['08P01'])
  })

  test.each([0, 7, 10_001, -5, 2 ** 31 - 1])('a start-up packet of length %i is refused', async (length) => {
    const client = await open()
    client.send(frontend.int32(length), Buffer.alloc(64))
    await client.untilClosed()
    expect(codes(client.answers)).toEqual(['08P01'])
  })

  test.each(['Q', 'P', 'B', 'D', 'E', 'C', 'F'])('an empty %s message is an error, and the next statement works', async (type) => {
    const client = await logIn()
    client.send(frontend.message(type), frontend.sync, frontend.query("SELECT 'next'"))
    await client.untilType('D')
    expect(client.closed).toBe(false)
  })

  test('bytes that are not UTF-8 are an error, not another text', async () => {
    const client = await logIn()
    const answers = await client.ask(frontend.message('Q', Buffer.from([...Buffer.from("SELECT '"), 0xff, ...Buffer.from("'\0")])))
    expect(codes(answers)).toEqual(['22021'])
  })
})

describe('too much', () => {
  test('queries of 50 MB, one after the other', async () => {
    for (let round = 0; round < 6; round++) expect(await succeed(await logIn(), hugeQuery)).toEqual([String(50 * MiB)])
  })

  test('an INSERT of 20,000 rows in one statement', async () => {
    const client = await logIn()
    const rows = Array.from({ length: 20_000 }, (_, i) => `(${i + 1000}, 'row ${i}')`).join(', ')
    await succeed(client, 'BEGIN')
    const answers = await client.ask(frontend.query(`INSERT INTO innocents VALUES ${rows}`))
    expect(codes(answers)).toEqual([])
    expect(await firstValue(client, 'SELECT count(*) FROM innocents')).toBe('20500')
  })

  test('2,000 connections at once', async () => {
    const attempts = await Promise.allSettled(Array.from({ length: 2000 }, logIn))
    const clients = attempts.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    const refused = attempts.flatMap((one) => (one.status === 'rejected' ? [String(one.reason)] : []))
    // How many get in is for the pool to say; whoever does is served.
    expect(refused).toEqual([])
    const answers = await Promise.all(clients.map((client, i) => client.ask(frontend.query(`SELECT note FROM innocents WHERE id = ${(i % 500) + 1}`))))
    expect(new Set(answers.map(types))).toEqual(new Set(['TDCZ']))
  })

  test('100,000 messages without reading an answer', async () => {
    const client = await logIn()
    client.socket.pause()
    const batch = Buffer.concat(Array.from({ length: 1000 }, () => frontend.query('SELECT 1')))
    for (let i = 0; i < 100; i++) client.socket.write(batch)
    expect(await firstValue(bystander, 'SELECT 1')).toBe('1')
    client.socket.resume()
    let ready = 0
    const count = () => {
      ready += client.answers.splice(0).filter(({ type }) => type === 'Z').length
      return ready === 100_000
    }
    await client.until(count)
  })
})

describe('two against each other', () => {
  test('clients that change all rows at once all come to an end', async () => {
    const change = async () => {
      const client = await logIn()
      for (let round = 0; round < 10; round++) expect(['', '40P01']).toContain(codes(await client.ask(frontend.query('UPDATE innocents SET note = note'))).join())
    }
    await Promise.all([change(), change(), change()])
  })

  // Of six keys some lie on one shard with the first, where PostgreSQL sees the deadlock, and some do not.
  test.each([2, 3, 4, 5, 6, 7])('a deadlock between the rows 1 and %i ends with 40P01 for one of two', async (key) => {
    const [one, other] = [await logIn(), await logIn()]
    const change = (id: number) => frontend.query(`UPDATE innocents SET note = note WHERE id = ${id}`)
    await one.ask(frontend.query('BEGIN'))
    await other.ask(frontend.query('BEGIN'))
    expect(codes([...(await one.ask(change(1))), ...(await other.ask(change(key)))])).toEqual([])
    // The victim's locks are free at once, on all shards: the other goes on before any ROLLBACK is sent.
    const answers = await Promise.all([one.ask(change(key)), other.ask(change(1))])
    expect(answers.flatMap(codes)).toEqual(['40P01'])
    one.send(frontend.query('ROLLBACK'))
    other.send(frontend.query('ROLLBACK'))
  })
})

describe('too fast', () => {
  test('100,000 queries of big answers, of which none is read', async () => {
    await succeed(bystander, 'CREATE SEQUENCE answered')
    const client = await logIn()
    client.socket.pause()
    const batch = Buffer.concat(Array.from({ length: 1000 }, () => frontend.query("SELECT nextval('answered'), repeat('x', 20000)")))
    for (let i = 0; i < 100; i++) client.socket.write(batch)
    // It has stopped when twenty questions of another client pass by without an answer more.
    const answered = () => firstValue(bystander, 'SELECT last_value FROM answered')
    await untilTrue(async () => {
      const before = await answered()
      for (let i = 0; i < 20; i++) await answered()
      return before === (await answered())
    })
    expect(Number(await answered())).toBeLessThan(100_000)
    expect(router.residentBytes()).toBeLessThan(restingBytes + slackBytesMax)
    client.destroy()
    await succeed(bystander, 'DROP SEQUENCE answered')
  })

  test('COPY data that the shard does not take', async () => {
    await succeed(bystander, 'BEGIN')
    // A row of this key has to wait for the end of the other's transaction.
    await succeed(bystander, "INSERT INTO innocents VALUES (9000, 'first')")
    const client = await logIn()
    client.send(frontend.query('COPY innocents (id, note) FROM STDIN'))
    await client.untilType('G')
    const chunk = frontend.copyData(`9000\t${'y'.repeat(1000)}\n`)
    const much = Buffer.concat(Array.from({ length: 60_000 }, () => chunk))
    for (let i = 0; i < 8; i++) client.socket.write(much)
    // The router reads no more when a while of other work leaves the same unsent.
    await untilTrue(async () => {
      const before = client.socket.bytesWritten - client.socket.writableLength
      for (let i = 0; i < 20; i++) await firstValue(bystander, "SELECT note FROM innocents WHERE id = 250")
      return before === client.socket.bytesWritten - client.socket.writableLength
    })
    expect(client.socket.writableLength).toBeGreaterThan(0)
    expect(router.residentBytes()).toBeLessThan(restingBytes + slackBytesMax)
    client.destroy()
    await succeed(bystander, 'ROLLBACK')
  })
})

describe('too little', () => {
  test('clients that say nothing do not hinder others', async () => {
    await Promise.all(Array.from({ length: 200 }, open))
    const half = await Promise.all(Array.from({ length: 200 }, open))
    for (const client of half) client.send(frontend.startUp(database).subarray(0, 20))
    const fresh = await logIn()
    expect(await firstValue(fresh, 'SELECT 1')).toBe('1')
  })

  test.each([
    { name: 'of one server', sql: "SELECT repeat('x', 1000) FROM generate_series(1, 400000)" },
    { name: 'of all shards', sql: "SELECT id, repeat(note, 100) FROM innocents, generate_series(1, 2000)" },
    { name: 'of COPY', sql: "COPY (SELECT id, repeat(note, 100) FROM innocents, generate_series(1, 2000)) TO STDOUT" },
    { name: 'of a join over shards', sql: "SELECT a.id, repeat(a.note, 100) FROM innocents a JOIN innocents b ON a.id % 7 = b.id % 7, generate_series(1, 30) ORDER BY 1" },
  ])('a client that reads nothing of a big result $name', async ({ sql }) => {
    const client = await logIn()
    client.socket.pause()
    client.send(frontend.query(sql))
    // A server that waits to send means that the router has stopped reading: nothing more is coming.
    await untilTrue(() => anyServer("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite'"))
    expect(router.residentBytes()).toBeLessThan(restingBytes + slackBytesMax)
    client.destroy()
    await untilTrue(async () => !(await anyServer("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite'")))
  })
})

describe('gone in the middle', () => {
  test.each([
    { name: 'of a transaction on one shard', before: ['BEGIN', "UPDATE innocents SET note = 'mine' WHERE id = 1"] },
    { name: 'of a transaction on all shards', before: ['BEGIN', "UPDATE innocents SET note = 'mine'"] },
    { name: 'of a failed transaction', before: ['BEGIN', "UPDATE innocents SET note = 'mine' WHERE id < 9", 'SELECT 1/0'] },
    { name: 'of a schema change', before: ['BEGIN', 'ALTER TABLE innocents ADD extra int'] },
    { name: 'of a LOCK', before: ['BEGIN', 'LOCK TABLE innocents IN ACCESS EXCLUSIVE MODE'] },
  ])('$name: its locks are gone', async ({ before }) => {
    const client = await logIn()
    for (const sql of before) await client.ask(frontend.query(sql))
    client.destroy()
    await succeed(bystander, 'BEGIN')
    await succeed(bystander, 'UPDATE innocents SET note = note')
    await succeed(bystander, 'COMMIT')
    expect(await firstValue(bystander, "SELECT count(*) FROM innocents WHERE note = 'mine'")).toBe('0')
  })

  test('of COPY FROM: no row of it stays, and its keys are free', async () => {
    const client = await logIn()
    client.send(frontend.query('COPY innocents (id, note) FROM STDIN'))
    await client.untilType('G')
    client.send(...Array.from({ length: 2000 }, (_, i) => frontend.copyData(`${i + 5000}\tcopied\n`)))
    client.destroy()
    await succeed(bystander, "INSERT INTO innocents SELECT i, 'free' FROM generate_series(5000, 6999) i")
    await succeed(bystander, 'DELETE FROM innocents WHERE id >= 5000')
  })

  test('of a statement that waits for a lock: the wait ends', async () => {
    await succeed(bystander, 'BEGIN')
    await succeed(bystander, 'UPDATE innocents SET note = note')
    const client = await logIn()
    client.send(frontend.query("UPDATE innocents SET note = 'late'"))
    const waiting = () => anyServer("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    await untilTrue(waiting)
    client.destroy()
    await untilTrue(async () => !(await waiting()))
    await succeed(bystander, 'COMMIT')
    expect(await firstValue(bystander, "SELECT count(*) FROM innocents WHERE note = 'late'")).toBe('0')
  })

  test('of a long statement: the servers stop working on it', async () => {
    const client = await logIn()
    client.send(frontend.query('SELECT count(*) FROM innocents WHERE pg_sleep(600) IS NOT NULL'))
    const sleeping = () => anyServer("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    await untilTrue(sleeping)
    client.destroy()
    await untilTrue(async () => !(await sleeping()))
  })
})

async function makeVictims(client: RawClient): Promise<void> {
  await succeed(client, 'CREATE TABLE victims (id int PRIMARY KEY, note text)')
  await succeed(client, "INSERT INTO victims SELECT i, 'note ' || i FROM generate_series(1, 500) i")
}

/** One mutated stream: its answers are messages, and it comes to an end. */
async function survive(seed: number, own: string): Promise<void> {
  const { startUp, bytes, whole } = hostileStream(seed, own)
  const client = await RawClient.open(router.port)
  client.send(startUp, bytes)
  if (whole) {
    // Out of a COPY, out of a failed batch, out of a transaction: then an honest statement must be answered.
    client.send(frontend.message('f', Buffer.from('the end\0')), frontend.sync, frontend.query('ROLLBACK'), frontend.query(`SELECT 'end of ${seed}'`))
    await client.until(() => client.closed || client.answers.some(({ type, payload }) => type === 'D' && payload.includes(`end of ${seed}`)))
  }
  client.socket.end()
  await client.untilClosed()
  expect(client.violation, `seed ${seed}`).toBeUndefined()
}

/** A client of one test, which the test need not close. */
async function logIn(): Promise<RawClient> {
  const client = await RawClient.logIn(router.port, database)
  guests.push(client)
  return client
}

async function open(): Promise<RawClient> {
  const client = await RawClient.open(router.port)
  guests.push(client)
  return client
}

async function anyServer(sql: string): Promise<boolean> {
  for (const port of [router.catalogPort, ...router.shardPorts]) {
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' })
    await client.connect()
    const { rows } = await client.query<{ count: string }>(sql)
    await client.end()
    if (rows[0]?.count !== '0') return true
  }
  return false
}

async function untilTrue(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition()));
}

async function succeed(client: RawClient, sql: string): Promise<readonly string[]> {
  const answers = await client.ask(frontend.query(sql))
  const [failure] = answers.filter(({ type }) => type === 'E')
  if (failure !== undefined || client.closed) throw new Error(`${sql}: ${failure === undefined ? 'closed' : errorField(failure, 'M')}`)
  return values(answers)
}

async function firstValue(client: RawClient, sql: string): Promise<string | undefined> {
  return (await succeed(client, sql))[0]
}

/** The first column of each row. */
function values(answers: readonly { readonly type: string; readonly payload: Buffer }[]): string[] {
  return answers.flatMap(({ type, payload }) => (type === 'D' ? [payload.toString('utf8', 6, 6 + payload.readInt32BE(2))] : []))
}

/** The proxy that other tests trust: between a client and a plain PostgreSQL, at each message of a statement, before and after it. */
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { until } from '../crash/support/until.ts'
import { FaultProxy } from '../support/proxy/fault-proxy.ts'
import type { When } from '../support/proxy/fault.ts'
import type { Message } from '../support/proxy/read-message.ts'

let proxy: FaultProxy
let direct: pg.Client
let client: pg.Client
const table = `faulty_${process.pid}`

const connect = async (port: number) => {
  const opened = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' })
  opened.on('error', () => undefined)
  await opened.connect()
  return opened
}
const insert = (marker: string) => client.query(`INSERT INTO ${table} VALUES ('${marker}')`)
const stored = async (marker: string) => (await direct.query(`SELECT FROM ${table} WHERE mark = '${marker}'`)).rows.length
const isQuery = ({ direction, type }: Message) => direction === 'frontend' && type === 'Q'
const isReply = ({ type, text }: Message) => type === 'C' && text === 'INSERT 0 1'
const isReady = ({ direction, type }: Message) => direction === 'backend' && type === 'Z'

beforeAll(async () => {
  direct = await connect(inject('plainPort'))
  await direct.query(`CREATE TABLE ${table} (mark text)`)
  proxy = await FaultProxy.start(inject('plainPort'))
})
afterAll(async () => {
  await direct.query(`DROP TABLE ${table}`)
  await direct.end()
  proxy.stop()
})
beforeEach(async () => {
  client = await connect(proxy.port)
  return () => client.end()
})

/** Where the fault is, whether the server does the statement, whether the client hears of it when the connection is cut there. */
const places: readonly [string, (message: Message) => boolean, When, number, boolean][] = [
  ['the query', isQuery, 'before', 0, false],
  ['the query', isQuery, 'after', 1, false],
  ['the reply', isReply, 'before', 1, false],
  ['the reply', isReply, 'after', 1, false],
  ['the end of the reply', isReady, 'before', 1, false],
  ['the end of the reply', isReady, 'after', 1, true],
]

test.each(places)('cut: %s (%s, %s)', async (_name, matches, when, rows, isHeard) => {
  const marker = `cut ${_name} ${when}`
  const fault = proxy.arm({ matches, when, action: 'cut' })
  const answer = insert(marker).then(() => true, () => false)
  await fault.reached
  expect(await answer).toBe(isHeard)
  await until('the server has ended the connection', async () => (await direct.query(`SELECT FROM pg_stat_activity WHERE query LIKE '%${marker}%' AND pid <> pg_backend_pid()`)).rows.length === 0)
  expect(await stored(marker)).toBe(rows)
})

test.each(places)('hold and release: %s (%s, %s)', async (name, matches, when, rows, isHeard) => {
  const marker = `hold ${name} ${when}`
  const fault = proxy.arm({ matches, when, action: 'hold' })
  let answered = false
  const answer = insert(marker).then(() => (answered = true))
  await fault.reached
  if (rows === 1) await until('the server has done it', async () => (await stored(marker)) === 1)
  else expect(await stored(marker)).toBe(0)
  if (!isHeard) expect(answered).toBe(false)
  fault.release()
  await answer
  expect(await stored(marker)).toBe(1)
  expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
})

test.each(places)('blackhole: %s (%s, %s)', async (name, matches, when, rows, isHeard) => {
  const marker = `blackhole ${name} ${when}`
  const fault = proxy.arm({ matches, when, action: 'blackhole' })
  let answered = false
  const answer = insert(marker).then(() => (answered = true), () => undefined)
  await fault.reached
  if (rows === 1) await until('the server has done it', async () => (await stored(marker)) === 1)
  if (!isHeard) expect(answered).toBe(false)
  fault.release() // does not bring back what is lost
  // The server still has the connection: it has not been told.
  expect((await direct.query(`SELECT FROM pg_stat_activity WHERE state = 'idle' AND backend_type = 'client backend' AND pid <> pg_backend_pid()`)).rows.length).toBeGreaterThan(0)
  fault.cut()
  await answer
  expect(answered).toBe(isHeard)
  expect(await stored(marker)).toBe(rows)
})

describe('which message', () => {
  test('the n-th that matches, wherever the bytes are cut', async () => {
    const fault = proxy.arm({ matches: isQuery, nth: 3, when: 'before', action: 'cut' })
    await client.query(`SELECT '${'x'.repeat(300_000)}'`)
    await client.query('SELECT 2')
    await expect(client.query('SELECT 3')).rejects.toThrow()
    expect(fault.hasHappened).toBe(true)
  })

  test('on the connection that carried the marker, after it', async () => {
    const other = await connect(proxy.port)
    const fault = proxy.arm({ matches: isQuery, marker: 'mark me', when: 'before', action: 'cut' })
    await other.query('SELECT 1')
    await client.query(`SELECT 'mark me'`)
    await other.query('SELECT 2')
    expect(fault.hasHappened).toBe(false)
    await expect(client.query('SELECT 3')).rejects.toThrow()
    await other.query('SELECT 3')
    await other.end()
  })

  test('of the extended protocol too', async () => {
    const fault = proxy.arm({ matches: ({ type, text }) => type === 'P' && text.startsWith('SELECT $1'), when: 'before', action: 'cut' })
    await expect(client.query('SELECT $1::int', [1])).rejects.toThrow()
    expect(fault.hasHappened).toBe(true)
  })

  test('a recording has those of the marked connection, from the marker on', async () => {
    const recording = proxy.record('record me')
    await client.query('SELECT 0')
    await client.query(`SELECT 'record me' AS x`)
    await client.query('BEGIN')
    recording.stop()
    await client.query('COMMIT')
    expect(recording.messages.map(({ type, text }) => (['Q', 'C'].includes(type) ? `${type} ${text}` : type))).toEqual(['T', 'D', 'C SELECT 1', 'Z', 'Q BEGIN', 'C BEGIN', 'Z'])
  })
})

test('encrypted start-ups are asked for and refused as without it', async () => {
  const asking = new pg.Client({ host: '127.0.0.1', port: proxy.port, user: 'postgres', database: 'postgres', ssl: { rejectUnauthorized: false } })
  asking.on('error', () => undefined)
  await expect(asking.connect()).rejects.toThrow('does not support SSL')
})

test('a server that is away ends its connections and takes none', async () => {
  proxy.goAway()
  await expect(client.query('SELECT 1')).rejects.toThrow()
  await expect(connect(proxy.port)).rejects.toThrow()
  proxy.comeBack()
  await (await connect(proxy.port)).end()
})

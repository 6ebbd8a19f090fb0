/** The connection breaks on which the router looks, right after a commit, what search_path the session is left with. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connect, FaultCluster } from './support/faults/fault-cluster.ts'

let cluster: FaultCluster
let port: number

beforeAll(async () => {
  cluster = await FaultCluster.start(2)
  port = await cluster.startRouter()
})
afterAll(() => cluster.stop())

const isLook = ({ direction, text }: { direction: string; text: string }) => direction === 'frontend' && text.includes(`current_setting('search_path'), current_user`)

const catalog = () => cluster.proxy(0)

test('a commit that has happened is told as one, and names mean what they should', async () => {
  const client = await connect(port)
  await client.query('CREATE SCHEMA other; CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE other.t (id int PRIMARY KEY, v text)')
  await client.query(`INSERT INTO t VALUES (1, 'public'); INSERT INTO other.t VALUES (1, 'other')`)
  await client.query('BEGIN')
  await client.query('SET LOCAL search_path = other')
  await client.query('INSERT INTO t VALUES (2, $1)', ['new'])
  const fault = catalog().arm({ matches: isLook, when: 'before', action: 'cut' })
  expect((await client.query('COMMIT')).command).toBe('COMMIT')
  expect(fault.hasHappened).toBe(true)
  expect((await client.query('SELECT v FROM t WHERE id = 1')).rows).toEqual([{ v: 'public' }])
  expect((await client.query('SELECT v FROM other.t ORDER BY id')).rows).toEqual([{ v: 'other' }, { v: 'new' }])
  await client.end()
})

test('a session whose settings nobody can tell ends after its commit', async () => {
  const client = await connect(port)
  await client.query('BEGIN')
  await client.query('SET LOCAL search_path = other')
  await client.query('INSERT INTO t VALUES (3, $1)', ['new'])
  const faults = [1, 2].map(() => catalog().arm({ matches: isLook, when: 'before', action: 'cut' }))
  expect((await client.query('COMMIT')).command).toBe('COMMIT')
  expect(faults.map(({ hasHappened }) => hasHappened)).toEqual([true, true])
  await expect(client.query('SELECT v FROM t WHERE id = 1')).rejects.toMatchObject({ code: '57P01' })
  const other = await connect(port)
  expect((await other.query('SELECT v FROM other.t WHERE id = 3')).rows).toEqual([{ v: 'new' }])
  await Promise.all([client.end().catch(() => undefined), other.end()])
})

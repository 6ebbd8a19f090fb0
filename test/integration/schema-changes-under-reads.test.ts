/** Tables that change while twenty clients of two routers read their rows by key: right rows, or the errors of one PostgreSQL. */
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Router } from '../../src/router/router.ts'
import { startSecondRouter, startTestCluster } from '../support/cluster.ts'
import { OpenClients } from '../support/open-clients.ts'
import type { TestCluster } from '../support/cluster.ts'

let cluster: TestCluster
let second: Router
const clients = new OpenClients()
const connect = (port: number) => clients.connect(port)

beforeAll(async () => {
  cluster = await startTestCluster({ shards: 2, replicas: 0 })
  second = await startSecondRouter(cluster)
})

afterAll(async () => {
  await clients.end()
  await second.stop()
  await cluster.stop()
})

const create = (table: string) => `CREATE TABLE ${table} (id int PRIMARY KEY, v int); INSERT INTO ${table} SELECT i, i * 10 FROM generate_series(1, 50) i`

/** v is ten times the id, or that as a text with a v in front; extra is always 7. Each told with the type that it then has. */
function problemOf({ fields, rows }: pg.QueryArrayResult, id: number): string | undefined {
  const types = fields.map(({ name, dataTypeID }) => `${name} ${dataTypeID}`).join(', ')
  const [row] = rows
  if (rows.length !== 1 || row === undefined || row.length !== fields.length) return `${JSON.stringify(rows)} as ${types}`
  const expected: Readonly<Record<string, unknown>> = { 'id 23': id, 'v 23': id * 10, 'v 25': `v${id * 10}`, 'extra 23': 7 }
  const isRight = fields.every(({ name, dataTypeID }, i) => row[i] === expected[`${name} ${dataTypeID}`])
  return isRight ? undefined : `${JSON.stringify(rows)} as ${types}`
}

const changes: Readonly<Record<string, readonly string[]>> = {
  'ADD and DROP COLUMN': ['ALTER TABLE t ADD COLUMN extra int DEFAULT 7', 'ALTER TABLE t DROP COLUMN extra'],
  "a column's type": [`ALTER TABLE t ALTER COLUMN v TYPE text USING 'v' || v`, 'ALTER TABLE t ALTER COLUMN v TYPE int USING substr(v, 2)::int'],
  'DROP and CREATE': [`BEGIN; DROP TABLE t; ${create('t')}; COMMIT`],
  'the key': [`SELECT create_distributed_table('t', 'id')`, `SELECT undistribute_table('t')`],
}

describe.each(Object.entries(changes))('while %s changes', (what, statements) => {
  test('point reads are right', async () => {
    const table = `t_${Object.keys(changes).indexOf(what)}`
    const admin = await connect(cluster.port)
    await admin.query(create(table))
    const ports = [cluster.port, second.port]
    const clients = await Promise.all(Array.from({ length: 20 }, (_, i) => connect(ports[i % 2] as number)))
    const errors = new Map<string, number>()
    const reading = new AbortController()
    const reads = clients.map(async (client, i) => {
      for (let n = 0; !reading.signal.aborted; n++) {
        const id = 1 + ((i * 7 + n) % 50)
        const text = `SELECT * FROM ${table} WHERE id = $1`
        const query =
          i % 3 === 0 ? { text: text.replace('$1', String(id)) } : i % 3 === 1 ? { text, values: [id] } : { name: `s${Math.trunc(n / 40)}`, text, values: [id] }
        const answer = await client.query({ ...query, rowMode: 'array' }).catch((error: { code?: string; message: string }) => error)
        const problem = 'rows' in answer ? problemOf(answer, id) : `${answer.code} ${answer.message}`
        if (problem === undefined) continue
        if (i % 3 === 2 && /cached plan must not change result type/.test(problem)) n += 40 - (n % 40)
        else errors.set(`${i % 3}: ${problem}`, 1 + (errors.get(`${i % 3}: ${problem}`) ?? 0))
      }
    })
    try {
      for (let round = 0; round < 4; round++) for (const statement of statements) await admin.query(statement.replaceAll(/\bt\b/g, table))
    } finally {
      reading.abort()
      await Promise.all(reads)
    }
    expect([...errors]).toEqual([])
    for (const client of clients) expect(problemOf(await client.query({ text: `SELECT * FROM ${table} WHERE id = 3`, rowMode: 'array' }), 3)).toBeUndefined()
  })
})

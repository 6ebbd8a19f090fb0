/** Many sessions that insert into one table with a serial key. */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { createDatabase } from '../support/databases.ts'

describe('values of sequences', () => {
  const port = inject('clusterPort')
  const clients: pg.Client[] = []

  beforeAll(async () => {
    const database = await createDatabase(port, 'sequence_values')
    for (let i = 0; i < 20; i++) {
      const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database })
      await client.connect()
      clients.push(client)
    }
    await clients[0]?.query('CREATE TABLE item (id serial PRIMARY KEY, session int)')
    await clients[0]?.query('CREATE SEQUENCE short MAXVALUE 30')
    await clients[0]?.query("CREATE TABLE few (id int PRIMARY KEY DEFAULT nextval('short'))")
  })
  afterAll(() => Promise.all(clients.map((client) => client.end())))

  test('no number is given twice or left out, and each session sees its own grow', async () => {
    const given = await Promise.all(
      clients.map(async (client, session) => {
        const ids: number[] = []
        for (let i = 0; i < 25; i++) {
          const rows = await client.query(i % 5 === 0 ? 'INSERT INTO item (session) VALUES ($1), ($1), ($1) RETURNING id' : 'INSERT INTO item (session) VALUES ($1) RETURNING id', [session])
          ids.push(...rows.rows.map((row) => row.id))
        }
        return ids
      }),
    )
    for (const ids of given) expect(ids).toEqual(ids.toSorted((a, b) => a - b))
    const all = given.flat().toSorted((a, b) => a - b)
    expect(all).toEqual(Array.from({ length: 20 * 35 }, (_, i) => i + 1))
  })

  test('a sequence that ends fails those who ask for more, and no others', async () => {
    const results = await Promise.allSettled(clients.flatMap((client) => [client.query('INSERT INTO few DEFAULT VALUES'), client.query('INSERT INTO few DEFAULT VALUES')]))
    const failed = results.filter((result) => result.status === 'rejected')
    expect(failed.map((result) => result.reason.code)).toEqual(Array.from({ length: 10 }, () => '2200H'))
    expect((await clients[0]?.query('SELECT count(*)::int AS n FROM few'))?.rows).toEqual([{ n: 30 }])
  })
})

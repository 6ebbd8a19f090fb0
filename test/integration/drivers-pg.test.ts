/** node-postgres against the cluster: what it sends, and what it makes of the answers. */
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { createDatabase } from '../support/databases.ts'
import { makeShop, untilTrue } from './drivers/shop.ts'

describe('pg', () => {
  const port = inject('clusterPort')
  let database: string
  let client: pg.Client

  const connect = async () => {
    const one = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database })
    await one.connect()
    return one
  }

  beforeAll(async () => {
    database = await createDatabase(port, 'drivers_pg')
    client = await connect()
    await makeShop((sql) => client.query(sql))
  })

  afterAll(() => client?.end())

  test('parameters of many types come back as they went', async () => {
    const given = [7, 'Zoë', true, new Date('2024-02-29T12:34:56.789Z'), { a: [1, null] }, Buffer.from([0, 255, 10]), [1, 2, 3], null, '12345678901234567890.5']
    const { rows } = await client.query({
      text: 'SELECT $1::int a, $2::text b, $3::bool c, $4::timestamptz d, $5::jsonb e, $6::bytea f, $7::int[] g, $8::int h, $9::numeric i FROM items WHERE id = 1',
      values: given,
      rowMode: 'array',
    })
    expect(rows).toEqual([given])
  })

  test('a prepared statement is reused over keys on all shards', async () => {
    const notes: unknown[] = []
    for (let id = 1; id <= 40; id++) notes.push((await client.query({ name: 'by id', text: 'SELECT note FROM items WHERE id = $1', values: [id] })).rows[0].note)
    expect(notes).toEqual(Array.from({ length: 40 }, (_, i) => `item ${i + 1}`))
  })

  test('queries that are sent at once are answered in their order', async () => {
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) => (i % 10 === 9 ? client.query('SELECT 1/0 WHERE $1::int = 1', [1]).catch((error: pg.DatabaseError) => error.code) : client.query('SELECT id FROM items WHERE id = $1', [i + 1]).then(({ rows }) => rows[0].id))),
    )
    expect(answers).toEqual(Array.from({ length: 100 }, (_, i) => (i % 10 === 9 ? '22012' : i + 1)))
  })

  // Of binary results pg makes text first, which spoils every byte above 127: the numbers here have none.
  test.each([
    ['one row', 'SELECT id, note, price::float8 AS price FROM items WHERE id = $1', [9], [{ id: 9, note: 'item 9', price: 4.5 }]],
    ['an aggregate', 'SELECT count(*)::int AS c, sum(id)::int AS s FROM items WHERE id <= $1', [10], [{ c: 10, s: 55 }]],
    ['a count over shards', 'SELECT count(*) FROM items WHERE id <= $1', [100], [{ count: '100' }]],
    ['sorted rows', 'SELECT id FROM items WHERE id <= $1 ORDER BY id DESC LIMIT 3', [100], [{ id: 100 }, { id: 99 }, { id: 98 }]],
    ['a join over shards', 'SELECT a.id, b.note FROM items a JOIN items b ON b.id = a.id + 1 WHERE a.id = $1', [3], [{ id: 3, note: 'item 4' }]],
    ['RETURNING', 'UPDATE items SET price = price WHERE id = $1 RETURNING id, note', [4], [{ id: 4, note: 'item 4' }]],
  ])('binary results: %s', async (_name, text, values, expected) => {
    const query = { text, values, binary: true }
    const { rows } = await client.query(query)
    expect(rows).toEqual(expected)
  })

  test('an empty text is answered', async () => {
    await expect(client.query('')).resolves.toMatchObject({ rows: [] })
    await expect(client.query('', [])).resolves.toMatchObject({ rows: [] })
  })

  test.each([
    ['a check', "INSERT INTO items VALUES (9001, 'bad', -1)", { code: '23514', table: 'items', constraint: 'positive_price', schema: 'public' }],
    ['a primary key', "INSERT INTO items VALUES (5, 'again', 1)", { code: '23505', table: 'items', constraint: 'items_pkey', detail: 'Key (id)=(5) already exists.' }],
    ['a primary key, several rows', "INSERT INTO items VALUES (9002, 'new', 1), (5, 'again', 1), (9003, 'new', 1)", { code: '23505', table: 'items', constraint: 'items_pkey' }],
    ['a unique column', "INSERT INTO buyers VALUES (9001, 'buyer1@example.org')", { code: '23505', table: 'buyers', constraint: 'one_mail_each' }],
    ['NOT NULL', 'INSERT INTO items VALUES (9001, NULL, 1)', { code: '23502', table: 'items', column: 'note' }],
    ['a foreign key', 'INSERT INTO sales VALUES (9001, 4711)', { code: '23503', table: 'sales', constraint: 'sold_to' }],
    ['a row that others refer to', 'DELETE FROM buyers WHERE id = 1', { code: '23503', table: 'sales', constraint: 'sold_to' }],
    ['an unknown column', 'SELECT nothing FROM items', { code: '42703', position: '8' }],
  ])('an error has the fields of the user: %s', async (_name, sql, fields) => {
    await expect(client.query(sql)).rejects.toMatchObject(fields)
    await expect(client.query(sql, [])).rejects.toMatchObject(fields)
  })

  test('a transaction over shards with savepoints', async () => {
    await client.query('BEGIN')
    await client.query("UPDATE items SET note = 'first' WHERE id IN (1, 2, 3)")
    await client.query('SAVEPOINT before')
    await client.query("UPDATE items SET note = 'second'")
    await expect(client.query("INSERT INTO items VALUES (1, 'again', 1)")).rejects.toMatchObject({ code: '23505' })
    await expect(client.query('SELECT 1')).rejects.toMatchObject({ code: '25P02' })
    await client.query('ROLLBACK TO before')
    expect((await client.query("SELECT id FROM items WHERE note = 'first' ORDER BY id")).rows).toEqual([{ id: 1 }, { id: 2 }, { id: 3 }])
    await client.query('RELEASE before')
    await client.query("UPDATE items SET note = 'item ' || id WHERE id < 4")
    expect((await client.query('COMMIT')).command).toBe('COMMIT')
    expect((await client.query("SELECT count(*)::int FROM items WHERE note <> 'item ' || id")).rows).toEqual([{ count: 0 }])
  })

  test.each([
    ['on one server', 'SELECT pg_sleep(30)'],
    ['on all shards', 'SELECT count(*) FROM items WHERE pg_sleep(30) IS NOT NULL'],
    ['over gathered rows', 'SELECT count(*), pg_sleep(30) FROM items a JOIN items b ON a.id = b.id + 1'],
  ])('cancels a statement %s', async (_name, sql) => {
    const name = `cancelled_${randomBytes(6).toString('hex')}`
    const running = await connect()
    const query = new pg.Query(`/* ${name} */ ${sql}`)
    const outcome = new Promise<pg.DatabaseError | undefined>((resolve) => {
      query.on('error', (error) => resolve(error as pg.DatabaseError))
      query.on('end', () => resolve(undefined))
    })
    running.query(query)
    // A request that comes before the statement has begun is without effect, as PostgreSQL's are: so it is repeated.
    const cancelled = outcome.then((error) => error?.code)
    let done = false
    void cancelled.then(() => (done = true))
    await untilTrue(async () => {
      if (!done) await requestCancel(port, running)
      return done
    })
    expect(await cancelled).toBe('57014')
    expect((await running.query('SELECT count(*)::int FROM items')).rows).toEqual([{ count: 500 }])
    await running.end()
  })

  test('notifications reach whoever listens, and nobody after UNLISTEN', async () => {
    const listener = await connect()
    const heard: string[] = []
    const ended = new Promise<void>((resolve) =>
      listener.on('notification', ({ channel, payload }) => {
        heard.push(`${channel}: ${payload}`)
        if (payload === 'end') resolve()
      }),
    )
    await listener.query('LISTEN news')
    await listener.query('LISTEN other')
    await client.query("NOTIFY news, 'one'")
    await client.query('SELECT pg_notify($1, $2)', ['news', 'two'])
    await client.query('BEGIN')
    await client.query("NOTIFY news, 'rolled back'")
    await client.query('ROLLBACK')
    await listener.query('UNLISTEN news')
    await client.query("NOTIFY news, 'unheard'")
    await client.query("NOTIFY other, 'end'")
    await ended
    expect(heard).toEqual(['news: one', 'news: two', 'other: end'])
    await listener.end()
  })

  test('a pool hands connections to many at once', async () => {
    const pool = new pg.Pool({ host: '127.0.0.1', port, user: 'postgres', database, max: 20 })
    const answers = await Promise.all(Array.from({ length: 300 }, (_, i) => pool.query('SELECT id FROM items WHERE id = $1', [i + 1])))
    expect(answers.map(({ rows }) => rows[0].id)).toEqual(Array.from({ length: 300 }, (_, i) => i + 1))
    await pool.end()
  })
})

/** pg has no public way to cancel: this is what its own `cancel` sends, with the key that the session was given. */
function requestCancel(port: number, running: pg.Client): Promise<void> {
  const { processID, secretKey } = running as unknown as { processID: number; secretKey: number }
  const connection = new pg.Connection({ stream: undefined }) as unknown as {
    connect(port: number, host: string): void
    cancel(processId: number, secretKey: number): void
    on(event: 'connect' | 'error' | 'end', listener: () => void): void
  }
  return new Promise((resolve) => {
    connection.on('connect', () => connection.cancel(processID, secretKey))
    connection.on('error', resolve)
    connection.on('end', resolve)
    connection.connect(port, '127.0.0.1')
  })
}

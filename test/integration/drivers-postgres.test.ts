/** postgres.js against the cluster. It pipelines and prepares whatever it can, and has COPY as streams. */
import { pipeline } from 'node:stream/promises'
import { Readable } from 'node:stream'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { createDatabase } from '../support/databases.ts'
import { makeShop, untilTrue } from './drivers/shop.ts'

describe('postgres.js', () => {
  const port = inject('clusterPort')
  let sql: postgres.Sql

  beforeAll(async () => {
    const database = await createDatabase(port, 'drivers_postgres')
    sql = postgres({ host: '127.0.0.1', port, user: 'postgres', database, max: 5, onnotice: () => undefined })
    await makeShop((text) => sql.unsafe(text))
  })

  afterAll(() => sql?.end())

  test('parameters of many types come back as they went', async () => {
    const at = new Date('2024-02-29T12:34:56.789Z')
    const [row] = await sql`SELECT ${7}::int AS a, ${'Zoë'} AS b, ${true}::bool AS c, ${at}::timestamptz AS d, ${sql.json({ a: [1, null] })}::jsonb AS e,
      ${Buffer.from([0, 255])}::bytea AS f, ${sql.array([1, 2])}::int[] AS g, ${null}::int AS h FROM items WHERE id = ${1}`
    expect(row).toEqual({ a: 7, b: 'Zoë', c: true, d: at, e: { a: [1, null] }, f: Buffer.from([0, 255]), g: [1, 2], h: null })
  })

  test('a prepared statement is reused, and many go out before the first answer', async () => {
    const answers = await Promise.all(Array.from({ length: 300 }, (_, i) => sql`SELECT note FROM items WHERE id = ${i + 1}`))
    expect(answers.map(([row]) => row?.['note'])).toEqual(Array.from({ length: 300 }, (_, i) => `item ${i + 1}`))
  })

  test('a description without an execution', async () => {
    const { types, columns } = await sql`SELECT id, note FROM items WHERE id = ${1} AND note = ${'x'}`.describe()
    expect(types).toEqual([23, 25])
    expect(columns.map(({ name, type }) => [name, type])).toEqual([['id', 23], ['note', 25]])
  })

  test('rows helpers: insert of many, update, IN lists', async () => {
    const rows = Array.from({ length: 50 }, (_, i) => ({ id: 2000 + i, note: `row ${i}`, price: i + 1 }))
    const inserted = await sql`INSERT INTO items ${sql(rows)} RETURNING id`
    expect(inserted.map(({ id }) => id)).toEqual(rows.map(({ id }) => id))
    await sql`UPDATE items SET ${sql({ note: 'changed', price: 9 })} WHERE id = ${2001}`
    const found = await sql`SELECT id, note FROM items WHERE id IN ${sql([2000, 2001])} ORDER BY id`
    expect([...found]).toEqual([{ id: 2000, note: 'row 0' }, { id: 2001, note: 'changed' }])
    expect((await sql`DELETE FROM items WHERE id >= 2000`).count).toBe(50)
  })

  test('rows through a cursor, a few at a time', async () => {
    const seen: unknown[] = []
    for await (const batch of sql`SELECT id FROM items ORDER BY id`.cursor(70)) seen.push(...batch.map(({ id }) => id))
    expect(seen).toEqual(Array.from({ length: 500 }, (_, i) => i + 1))
  })

  test('COPY in and out', async () => {
    const lines = Array.from({ length: 1000 }, (_, i) => `${3000 + i}\ttab\\there ${i}\t${i + 1}\n`)
    await pipeline(Readable.from(lines), await sql`COPY items (id, note, price) FROM STDIN`.writable())
    const back: Buffer[] = []
    const readable = await sql`COPY (SELECT id, note, price FROM items WHERE id >= 3000 ORDER BY id) TO STDOUT`.readable()
    for await (const chunk of readable) back.push(chunk as Buffer)
    expect(Buffer.concat(back).toString()).toBe(lines.join(''))
    expect((await sql`DELETE FROM items WHERE id >= 3000`).count).toBe(1000)
  })

  test('transactions and savepoints', async () => {
    await sql.begin(async (tx) => {
      await tx`UPDATE items SET note = 'first' WHERE id < 4`
      const failed = tx.savepoint(async (inner) => {
        await inner`UPDATE items SET note = 'second'`
        await inner`INSERT INTO items VALUES (1, 'again', 1)`
      })
      await expect(failed).rejects.toMatchObject({ code: '23505', constraint_name: 'items_pkey', table_name: 'items' })
      expect(await tx`SELECT id FROM items WHERE note = 'first'`).toHaveLength(3)
    })
    await expect(
      sql.begin(async (tx) => {
        await tx`DELETE FROM items`
        throw new Error('changed my mind')
      }),
    ).rejects.toThrow('changed my mind')
    expect([...(await sql`SELECT count(*)::int AS c FROM items WHERE note = 'first'`)]).toEqual([{ c: 3 }])
    await sql`UPDATE items SET note = 'item ' || id WHERE id < 4`
  })

  test.each([['on one server', 'SELECT pg_sleep(30)'], ['on all shards', 'SELECT count(*) FROM items WHERE pg_sleep(30) IS NOT NULL']])('cancels a statement %s', async (_name, text) => {
    const query = sql.unsafe(text)
    let code: unknown
    query.execute().catch((error: { code: string }) => (code = error.code))
    // Another statement's round trip first: a query that has not been sent is cancelled by the driver alone.
    await untilTrue(async () => {
      await sql`SELECT 1`
      query.cancel()
      return code !== undefined
    })
    expect(code).toBe('57014')
  })

  test('LISTEN and NOTIFY', async () => {
    let hear: (payload: string) => void = () => undefined
    const heard = new Promise<string>((resolve) => (hear = resolve))
    const { unlisten } = await sql.listen('news', (payload) => hear(payload))
    await sql.notify('news', 'extra')
    expect(await heard).toBe('extra')
    await unlisten()
  })
})

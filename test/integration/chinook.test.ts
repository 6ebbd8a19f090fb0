/**
 * Twenty analytical questions to a well-known example schema, on the cluster and on one PostgreSQL: the same rows each time.
 *
 * They are asked of the schema as it comes (foreign keys decide the placement), of tables distributed by keys that no join
 * uses, and of tables that are whole again.
 */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { WireClient } from '../support/wire-client.ts'
import { hasPsql, loadChinook } from './chinook/load.ts'
import { questions } from './chinook/queries.ts'

/** Keys that separate what the questions join. NULLs and repeated values are among them on purpose. */
const distribution: readonly (readonly [table: string, key: string])[] = [
  ['album', 'title'],
  ['artist', 'name'],
  ['customer', 'support_rep_id'],
  ['employee', 'reports_to'],
  ['invoice', 'billing_country'],
  ['invoice_line', 'quantity'],
  ['playlist_track', 'track_id'],
  ['track', 'media_type_id'],
]
const references = ['genre', 'media_type', 'playlist']

describe.skipIf(!hasPsql)('Chinook, loaded by psql (skipped without psql)', () => {
  const database = `chinook_${randomBytes(6).toString('hex')}`
  let cluster: WireClient
  let plain: WireClient

  beforeAll(async () => {
    const ports = [inject('clusterPort'), inject('plainPort')] as const
    await Promise.all(ports.map((port) => loadChinook(port, database)))
    ;[cluster, plain] = await Promise.all([WireClient.connect({ port: ports[0], database }), WireClient.connect({ port: ports[1], database })])
  })

  afterAll(() => {
    cluster?.close()
    plain?.close()
  })

  describe('with its foreign keys', () => askAll(() => [cluster, plain]))

  describe('distributed by keys that no join uses', () => {
    beforeAll(() => distribute(cluster))
    askAll(() => [cluster, plain])

    test('every table is placed as it was asked to be', async () => {
      const { rows } = await succeed(cluster, 'SELECT table_name, kind, shard_key FROM pgherd.tables ORDER BY table_name')
      const wanted = [...distribution.map(([table, key]) => [table, 'distributed', key]), ...references.map((table) => [table, 'reference', null])]
      expect(rows).toEqual(wanted.toSorted(([a], [b]) => String(a).localeCompare(String(b))))
    })
  })

  describe('undistributed again', () => {
    beforeAll(async () => {
      for (const table of [...distribution.map(([name]) => name), ...references]) await succeed(cluster, `SELECT undistribute_table('${table}')`)
    })
    askAll(() => [cluster, plain])

    test('no table is distributed or copied any more', async () => {
      const { rows } = await succeed(cluster, 'SELECT DISTINCT kind FROM pgherd.tables')
      expect(rows).toEqual([['single']])
    })
  })
})

function askAll(clients: () => readonly [WireClient, WireClient]): void {
  test.each(questions)('$name', async ({ sql }) => {
    const [actual, expected] = await Promise.all(clients().map((client) => succeed(client, sql)))
    expect(expected?.rows.length).toBeGreaterThan(0)
    expect(actual?.columns).toEqual(expected?.columns)
    expect(actual?.rows).toEqual(expected?.rows)
  })
}

/** A key must be part of every unique index, so those that are not go first; and foreign keys would bind tables together. */
async function distribute(client: WireClient): Promise<void> {
  const constraints = await succeed(
    client,
    `SELECT conrelid::regclass, conname FROM pg_constraint WHERE contype IN ('f', 'p') AND connamespace = 'public'::regnamespace ORDER BY contype`,
  )
  const distributed = new Set(distribution.map(([table]) => table))
  const keyed = new Set(['playlist_track'])
  for (const [table, name] of constraints.rows) {
    if (name?.endsWith('_pkey') === true && (!distributed.has(table ?? '') || keyed.has(table ?? ''))) continue
    await succeed(client, `ALTER TABLE ${table} DROP CONSTRAINT ${name}`)
  }
  for (const [table, key] of distribution) await succeed(client, `SELECT create_distributed_table('${table}', '${key}')`)
  for (const table of references) await succeed(client, `SELECT create_reference_table('${table}')`)
}

async function succeed(client: WireClient, sql: string): ReturnType<WireClient['query']> {
  const result = await client.query(sql)
  if (result.error !== undefined) throw new Error(`${result.error.sqlstate} ${result.error.message} (${sql})`)
  return result
}

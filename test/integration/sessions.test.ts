/** Sessions seen from other sessions: their numbers are those that their clients know, and signals reach them. */
import pg from 'pg'
import { afterEach, describe, expect, inject, test } from 'vitest'
import { createDatabase } from '../support/databases.ts'

interface Client extends pg.Client {
  processID: number
}

const open: Client[] = []

async function connect(database: string, user = 'postgres'): Promise<Client> {
  const client = new pg.Client({ host: '127.0.0.1', port: inject('clusterPort'), user, database }) as Client
  client.on('error', () => undefined)
  await client.connect()
  open.push(client)
  return client
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((client) => client.end().catch(() => undefined)))
})

/** Waits until a query is seen to run. */
async function untilActive(watcher: Client, pid: number, text: string): Promise<void> {
  for (;;) {
    const { rows } = await watcher.query(`SELECT state, query FROM pg_stat_activity WHERE pid = $1`, [pid])
    if (rows[0]?.state === 'active' && String(rows[0].query).includes(text)) return
  }
}

describe('sessions', () => {
  test('pg_backend_pid is the number from BackendKeyData', async () => {
    const client = await connect('postgres')
    const { rows } = await client.query('SELECT pg_backend_pid() AS pid')
    expect(rows[0]).toEqual({ pid: client.processID })
  })

  test('sessions are seen beside rows of a key', async () => {
    const client = await connect(await createDatabase(inject('clusterPort'), 'sessions'))
    await client.query('CREATE TABLE seen (id integer PRIMARY KEY)')
    await client.query('INSERT INTO seen VALUES (1), (2)')
    const { rows } = await client.query('SELECT a.pid, s.id FROM pg_stat_activity a, seen s WHERE s.id = 1 AND a.pid = $1', [client.processID])
    expect(rows).toEqual([{ pid: client.processID, id: 1 }])
    const all = await client.query('SELECT a.pid, s.id FROM pg_stat_activity a JOIN seen s ON a.pid > s.id WHERE a.pid = $1 ORDER BY s.id', [client.processID])
    expect(all.rows.map(({ id }) => id)).toEqual([1, 2])
  })

  test.each(['SELECT pg_sleep(60)', 'SELECT pg_sleep(60) FROM waits WHERE id = 1'])('%s is cancelled by its number', async (text) => {
    const database = await createDatabase(inject('clusterPort'), 'sessions')
    const [victim, other] = [await connect(database), await connect(database)]
    await other.query('CREATE TABLE waits (id int PRIMARY KEY)')
    await other.query('INSERT INTO waits SELECT generate_series(1, 10)')
    const sleeping = victim.query(text).then(
      () => 'it ended',
      (error: { code?: string }) => error.code,
    )
    await untilActive(other, victim.processID, 'pg_sleep')
    const { rows } = await other.query('SELECT pg_cancel_backend($1::int) AS done', [victim.processID])
    expect(rows).toEqual([{ done: true }])
    expect(await sleeping).toBe('57014')
    expect((await victim.query('SELECT count(*)::int AS n FROM waits')).rows).toEqual([{ n: 10 }])
  })

  test('all sessions of a database are ended as tools do it', async () => {
    const database = await createDatabase(inject('clusterPort'), 'sessions')
    const victims = [await connect(database), await connect(database)]
    const admin = await connect('postgres')
    const errors = victims.map((client) => new Promise<{ code?: string }>((resolve) => client.once('error', resolve)))
    const { rows } = await admin.query('SELECT pid, pg_terminate_backend(pid) AS done FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid() ORDER BY pid', [database])
    expect(rows).toEqual(victims.map(({ processID }) => processID).sort((a, b) => a - b).map((pid) => ({ pid, done: true })))
    expect((await Promise.all(errors)).map((error) => error.code)).toEqual(['57P01', '57P01'])
    await admin.query(`DROP DATABASE ${database}`)
  })

  test('an open transaction of a session that is ended is undone', async () => {
    const database = await createDatabase(inject('clusterPort'), 'sessions')
    const [victim, other] = [await connect(database), await connect(database)]
    await other.query('CREATE TABLE kept (id int PRIMARY KEY)')
    await victim.query('BEGIN')
    await victim.query('INSERT INTO kept SELECT generate_series(1, 50)')
    await other.query('SELECT pg_terminate_backend($1::int)', [victim.processID])
    await other.query('INSERT INTO kept SELECT generate_series(1, 50)') // waits for the other's locks, if it still has them
    expect((await other.query('SELECT count(*)::int AS n FROM kept')).rows).toEqual([{ n: 50 }])
  })

  test('a role may not disturb, nor read, the sessions of others', async () => {
    const admin = await connect('postgres')
    await admin.query(`CREATE ROLE sessions_nobody LOGIN`)
    try {
      const nobody = await connect('postgres', 'sessions_nobody')
      await expect(nobody.query('SELECT pg_terminate_backend($1::int)', [admin.processID])).rejects.toMatchObject({ code: '42501' })
      const { rows } = await nobody.query('SELECT query, state FROM pg_stat_activity WHERE pid = $1', [admin.processID])
      expect(rows).toEqual([{ query: '<insufficient privilege>', state: null }])
      await nobody.end()
    } finally {
      await admin.query(`DROP ROLE sessions_nobody`)
    }
  })
})

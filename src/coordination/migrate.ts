import fs from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type pg from 'pg'

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../migrations')

type Folder = 'cluster' | 'database' | 'server'

/** Applies the files of these folders of migrations/ that this database has not seen, and what comes `last`, in one transaction. Safe beside another router doing the same. */
export async function migrate(client: pg.Client, folders: readonly Folder[], last: (client: pg.Client) => Promise<void> = async () => undefined): Promise<void> {
  await client.query('BEGIN')
  try {
    await client.query(`SELECT pg_advisory_xact_lock(hashtextextended('pgherd.migrations', 0))`)
    await client.query('SET LOCAL client_min_messages = warning')
    await client.query('CREATE SCHEMA IF NOT EXISTS pgherd')
    await client.query('CREATE TABLE IF NOT EXISTS pgherd.migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())')
    const { rows } = await client.query<{ name: string }>('SELECT name FROM pgherd.migrations')
    const applied = new Set(rows.map((row) => row.name))
    for (const name of folders.flatMap((folder) => fs.readdirSync(path.join(root, folder)).sort().map((file) => `${folder}/${file}`))) {
      if (applied.has(name)) continue
      await client.query(fs.readFileSync(path.join(root, name), 'utf8'))
      await client.query('INSERT INTO pgherd.migrations (name) VALUES ($1)', [name])
    }
    await last(client)
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK')
    throw error
  }
}

/** Whether a database of an earlier pgherd lacks something of this one's. Throws 42P01 or 3F000 when it is none of the cluster's. */
export async function isBehind(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ name: string }>('SELECT name FROM pgherd.migrations')
  const applied = new Set(rows.map((row) => row.name))
  return ['server', 'database'].some((folder) => fs.readdirSync(path.join(root, folder)).some((file) => !applied.has(`${folder}/${file}`)))
}

/**
 * A replica's data as a copy of a running server's, by the low-level backup functions (manual, "Making a Base Backup Using the Low Level API"):
 * npm's binaries have no pg_basebackup. The log from the backup's start on is streamed from the slot, which keeps it.
 */
import fs from 'node:fs'
import path from 'node:path'
import pg from 'pg'

/** What is not copied, or not what is in it: it belongs to the running process, or is made anew. */
const skippedFiles = /^(postmaster\.(pid|opts)|backup_label|tablespace_map|backup_manifest|standby\.signal|recovery\.signal|pgherd\.made|server\.log|pgsql_tmp.*|pg_internal\.init)$/
const emptiedFolders = new Set(['pg_wal', 'pg_replslot', 'pg_dynshmem', 'pg_notify', 'pg_serial', 'pg_snapshots', 'pg_stat_tmp', 'pg_subtrans'])

/** The target must not exist. `slot` is made on the source when it is not there. */
export async function copyRunning(source: { readonly port: number; readonly dataDir: string }, target: string, slot: string): Promise<void> {
  const client = new pg.Client({ host: '127.0.0.1', port: source.port, user: 'postgres', database: 'postgres' })
  client.on('error', () => undefined) // the query that fails says it
  await client.connect()
  try {
    // One whose log is gone is of no use, and a copy needs nothing from before it.
    await client.query(`SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND wal_status = 'lost'`, [slot])
    await client.query(`SELECT pg_create_physical_replication_slot($1, true) WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)`, [slot])
    await client.query(`SELECT pg_backup_start($1, true)`, [slot])
    await copyFolder(source.dataDir, target, true)
    const { rows } = await client.query<{ labelfile: string }>('SELECT labelfile FROM pg_backup_stop(false)')
    fs.mkdirSync(path.join(target, 'pg_wal', 'archive_status'), { recursive: true })
    fs.writeFileSync(path.join(target, 'backup_label'), rows[0]?.labelfile ?? '')
  } finally {
    await client.end().catch(() => undefined)
  }
}

async function copyFolder(from: string, to: string, isTop: boolean): Promise<void> {
  await fs.promises.mkdir(to, { recursive: true, mode: 0o700 })
  for (const entry of await fs.promises.readdir(from, { withFileTypes: true })) {
    if (skippedFiles.test(entry.name)) continue
    const [source, target] = [path.join(from, entry.name), path.join(to, entry.name)]
    if (entry.isDirectory()) {
      if (isTop && emptiedFolders.has(entry.name)) await fs.promises.mkdir(target, { mode: 0o700 })
      else await ifThere(copyFolder(source, target, false))
    } else if (entry.isFile()) await ifThere(fs.promises.copyFile(source, target))
  }
}

/** A table that is dropped meanwhile takes its files along; the log says so too. */
async function ifThere(copied: Promise<void>): Promise<void> {
  await copied.catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
  })
}

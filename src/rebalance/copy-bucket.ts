/**
 * The copy of a bucket on the target: leaves of the same names that are not attached yet, filled and kept up to date by PostgreSQL's
 * logical replication.
 *
 * Each function may be repeated after whatever a dead mover has left; `undoCopy` (clean-up.ts) takes all of it away.
 */
import type pg from 'pg'
import { limits } from '../base/limits.ts'
import { qualified, quoteIdent, quoteLiteral } from '../base/quote.ts'
import type { MovedTable, MovedTables } from './moved-tables.ts'
import type { SinglesToMove, MoveJob } from './move-job.ts'
import { readMovableUnit } from './single-tables.ts'
import { whenFree } from './when-free.ts'

/** Tells whose copy a leaf is, as long as it is not attached. */
export const boundCheck = (id: number) => `pgherd_move_${id}`

/** Tells of a single table that it has moved on, and is to be dropped. */
export const goneCheck = (id: number) => `pgherd_gone_${id}`

/**
 * LIKE the parent, and what that leaves out: owner and grants. The CHECK repeats the bound, so that attaching scans nothing and no row
 * of another bucket is ever let in. Triggers and what the parents refer to come with the attaching.
 */
export async function makeLeaves(job: MoveJob, { tables, modulus }: MovedTables): Promise<void> {
  const target = await job.sessions.on(job.target)
  if (job.moved.kind === 'table') return makeSingles(job, job.moved, target)
  const { bucket } = job.moved
  for (const { parent, leaf, key, facts } of tables) {
    const { rows } = await target.query<{ oid: string }>(`SELECT ${quoteLiteral(parent ?? '')}::regclass::oid::text AS oid`)
    const bound = `satisfies_hash_partition(${quoteLiteral(rows[0]?.oid ?? '')}::oid, ${modulus}, ${bucket}, ${key})`
    const owner = `ALTER TABLE ${leaf} OWNER TO ${quoteIdent(facts.owner)}`
    const statements = [
      `CREATE TABLE ${leaf} (LIKE ${parent} INCLUDING ALL EXCLUDING STATISTICS, CONSTRAINT ${boundCheck(job.id)} CHECK (${bound}))`,
      owner,
      ...facts.grants.map((grant) => grant.replace('%TABLE%', leaf)),
    ]
    await target.query(statements.join('; '))
  }
}

const asText = { getTypeParser: () => (text: string) => text }

/** Under the names that their users know: nobody asks this shard for them yet. Their triggers stay silent for what replication brings. */
async function makeSingles(job: MoveJob, { table }: SinglesToMove, target: pg.Client): Promise<void> {
  const catalog = await job.sessions.on(job.catalog)
  const unit = await readMovableUnit(catalog, table, job.source.id)
  const ask = async (sql: string) => (await catalog.query<[string | null]>({ text: sql, rowMode: 'array', types: asText })).rows[0]?.[0] ?? undefined
  const statements = await job.singleCopy(unit, ask)
  const checks = unit.filter(({ isPartition }) => !isPartition).map(({ schema, name }) => `ALTER TABLE ${qualified(schema, name)} ADD CONSTRAINT ${boundCheck(job.id)} CHECK (true)`)
  await target.query([...statements, ...checks].join('; '))
}

/** What can find no row by a key gets all columns for one, before the publication is there: its writers would fail. */
export async function publish(job: MoveJob, { tables }: MovedTables): Promise<void> {
  const source = await job.sessions.on(job.source)
  for (const { leaf, hasRows, facts } of tables) {
    if (hasRows && !facts.hasIdentity) await whenFree(job, () => source.query(`ALTER TABLE ${leaf} REPLICA IDENTITY FULL`))
  }
  job.onStep('publication')
  const list = tables.flatMap(({ leaf, hasRows }) => (hasRows ? [leaf] : [])).join(', ')
  await whenFree(job, () => source.query(`CREATE PUBLICATION ${job.name} FOR TABLE ${list} WITH (publish = 'insert, update, delete, truncate')`))
  job.onStep('slot')
  // It waits for all transactions that are open, prepared ones too; nobody waits for it.
  await source.query('SET lock_timeout = 0')
  await source.query(`SELECT pg_create_logical_replication_slot(${quoteLiteral(job.name)}, 'pgoutput')`)
  await source.query(`SET lock_timeout = ${limits.cutoverLockMsMin}`)
}

/** The target copies the leaves and follows. An error of its workers disables the subscription, which `copyState` then tells. */
export async function subscribe(job: MoveJob): Promise<void> {
  const target = await job.sessions.on(job.target)
  const { host, port } = job.source
  const { user, password } = job.credentials
  const parts = { host, port: String(port), user, dbname: job.database, application_name: job.name, ...(password === undefined ? {} : { password }) }
  const connection = Object.entries(parts).map(([name, value]) => `${name}='${value.replace(/[\\']/g, '\\$&')}'`).join(' ')
  await target.query(
    `CREATE SUBSCRIPTION ${job.name} CONNECTION ${quoteLiteral(connection)} PUBLICATION ${job.name}
     WITH (create_slot = false, slot_name = ${job.name}, copy_data = true, streaming = off, disable_on_error = true)`,
  )
  const { rows } = await target.query<{ oid: string }>(`SELECT oid::text FROM pg_subscription WHERE subname = ${quoteLiteral(job.name)}`)
  await job.record.note({ subscription: Number(rows[0]?.oid) })
}

export interface CopyState {
  /** The subscription is there and goes on, and has found every row that it was to change. */
  readonly isAlive: boolean
  /** Every table has been copied and follows. */
  readonly isCopied: boolean
}

export async function copyState(job: MoveJob): Promise<CopyState> {
  const target = await job.sessions.on(job.target)
  // PostgreSQL applies a change whose row is not as on the source by leaving it out; from 18 on it counts them.
  const { rows } = await target.query<{ enabled: boolean; left: string; omitted: string }>(
    `SELECT s.subenabled AS enabled, (SELECT coalesce(sum(c.value::int8), 0) FROM pg_stat_subscription_stats t, jsonb_each_text(to_jsonb(t)) c
         WHERE t.subid = s.oid AND c.key ~ '^confl_.*(_missing|_exists|_conflicts)$')::text AS omitted, (SELECT count(*) FROM pg_subscription_rel r WHERE r.srsubid = s.oid AND r.srsubstate <> 'r')::text AS left
     FROM pg_subscription s WHERE s.subname = ${quoteLiteral(job.name)} AND s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())`,
  )
  const source = await job.sessions.on(job.source)
  const { rowCount } = await source.query(`SELECT FROM pg_replication_slots WHERE slot_name = ${quoteLiteral(job.name)}`)
  const [row] = rows
  return { isAlive: row?.enabled === true && row.omitted === '0' && rowCount === 1, isCopied: row?.left === '0' }
}

/** The source's log that the target has still to apply; undefined while that is not known. */
export async function lagBytes(job: MoveJob): Promise<number | undefined> {
  const source = await job.sessions.on(job.source)
  const { rows } = await source.query<{ lag: number | null }>(
    `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::float8 AS lag FROM pg_replication_slots WHERE slot_name = ${quoteLiteral(job.name)}`,
  )
  return rows[0]?.lag ?? undefined
}

export async function bytesOf(tables: readonly MovedTable[], client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ bytes: number }>(
    `SELECT coalesce(sum(pg_table_size(to_regclass(leaf))), 0)::float8 AS bytes FROM unnest($1::text[]) leaf`,
    [tables.map(({ leaf }) => leaf)],
  )
  return rows[0]?.bytes ?? 0
}

/**
 * Foreign keys of the copies, once they are whole: so that attaching need not look at a row. Until then nobody but the subscription
 * writes here, and it fires no triggers.
 */
export async function addForeignKeys(job: MoveJob, { tables }: MovedTables): Promise<void> {
  const target = await job.sessions.on(job.target)
  for (const { leaf, facts } of tables) {
    for (const { name, definition, referenced, isBetweenLeaves } of facts.foreignKeys) {
      const { rows } = await target.query<{ valid: boolean }>('SELECT convalidated AS valid FROM pg_constraint WHERE conrelid = $1::regclass AND conname = $2', [leaf, name])
      if (rows.length === 0) {
        const add = `ALTER TABLE ${leaf} ADD CONSTRAINT ${quoteIdent(name)} ${definition} NOT VALID`
        await whenFree(job, async () => {
          if (isBetweenLeaves) await target.query(add)
          else await addQuietly(target, add, leaf, name, referenced)
        })
      }
      if (rows[0]?.valid !== true) await whenFree(job, () => target.query(`ALTER TABLE ${leaf} VALIDATE CONSTRAINT ${quoteIdent(name)}`))
    }
  }
}

/**
 * Clients write the reference table, perhaps a moment before the copy has followed: rows of the copy must not be in their way. Attaching drops
 * the triggers that are turned off here, since the parent's watch over the leaf from then on.
 */
async function addQuietly(target: pg.Client, add: string, leaf: string, name: string, referenced: string): Promise<void> {
  await target.query('BEGIN')
  try {
    await target.query(add)
    await muteReferenced(target, leaf, name, referenced)
    await target.query('COMMIT')
  } catch (error) {
    await target.query('ROLLBACK')
    throw error
  }
}

async function muteReferenced(client: pg.Client, leaf: string, name: string, referenced: string): Promise<void> {
  const { rows } = await client.query<{ trigger: string }>(referencedTriggers(leaf, name))
  for (const { trigger } of rows) await client.query(`ALTER TABLE ${referenced} DISABLE TRIGGER ${trigger}`)
}

export const referencedTriggers = (leaf: string, name: string) =>
  `SELECT quote_ident(t.tgname) AS trigger FROM pg_constraint k JOIN pg_trigger t ON t.tgconstraint = k.oid AND t.tgrelid = k.confrelid
   WHERE k.conrelid = ${quoteLiteral(leaf)}::regclass AND k.conname = ${quoteLiteral(name)}`

export const copyIsCaughtUp = (lag: number | undefined): boolean => lag !== undefined && lag <= limits.cutoverLagBytesMax

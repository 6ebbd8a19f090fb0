/** Takes away what a move has made, on each server by itself: the one that is away keeps its part until it is back. */
import type pg from 'pg'
import { settleAll } from '../base/settle-all.ts'
import { limits } from '../base/limits.ts'
import { qualified, quoteLiteral } from '../base/quote.ts'
import { leafName } from '../catalog/snapshot.ts'
import { boundCheck, goneCheck } from './copy-bucket.ts'
import type { MoveJob } from './move-job.ts'
import { readUnit } from './single-tables.ts'
import { whenFree } from './when-free.ts'

/** The copy was not cut over: the source has its leaves, the target loses its own. */
export async function undoCopy(job: MoveJob, subscription: number | undefined): Promise<void> {
  await settleAll([
    undoOnTarget(job),
    (async () => {
      const source = await job.sessions.on(job.source)
      await stopPublishing(job, source, subscription)
      for (const leaf of await leavesOf(job, source, `relreplident = 'f'`)) {
        await whenFree(job, () => source.query(`ALTER TABLE IF EXISTS ${leaf} REPLICA IDENTITY DEFAULT`))
      }
    })(),
  ])
}

/** The copy is the bucket now; what is left of it on the source goes. Waits until both servers have committed the cut-over. */
export async function removeSource(job: MoveJob, subscription: number | undefined): Promise<void> {
  await settleAll([
    (async () => {
      const target = await job.sessions.on(job.target)
      await untilEmpty(job, () => copiesOf(job, target))
      await unsubscribe(job, target)
    })(),
    (async () => {
      const source = await job.sessions.on(job.source)
      await untilEmpty(job, () => leavesOf(job, source))
      await untilEmpty(job, () => preparedOn(job, source))
      job.onStep('source')
      await stopPublishing(job, source, subscription)
      const old = await goneLeavesOf(job, source)
      if (old.length > 0) await whenFree(job, () => source.query(`DROP TABLE IF EXISTS ${old.join(', ')}`))
    })(),
  ])
}

async function undoOnTarget(job: MoveJob): Promise<void> {
  const target = await job.sessions.on(job.target)
  await unsubscribe(job, target)
  await whenFree(job, async () => {
    const leaves = await copiesOf(job, target)
    if (leaves.length === 0) return
    await target.query('BEGIN')
    try {
      // A leaf that was attached while its lock was waited for is no copy any more.
      await target.query(`LOCK TABLE ${leaves.join(', ')} IN ACCESS EXCLUSIVE MODE`)
      const still = await copiesOf(job, target)
      if (still.length > 0) await target.query(`DROP TABLE ${still.join(', ')}`)
      await target.query('COMMIT')
    } catch (error) {
      await target.query('ROLLBACK').catch(() => undefined)
      throw error
    }
  })
}

/** Without asking the source, which may be away; its slots are dropped there. */
async function unsubscribe({ name, onStep }: MoveJob, target: pg.Client): Promise<void> {
  const { rowCount } = await target.query(`SELECT FROM pg_subscription WHERE subname = ${quoteLiteral(name)}`)
  if (rowCount === 0) return
  onStep('unsubscribe')
  await target.query(`ALTER SUBSCRIPTION ${name} DISABLE`)
  await target.query(`ALTER SUBSCRIPTION ${name} SET (slot_name = NONE)`)
  await target.query(`SET lock_timeout = ${limits.serverAnswerMsMax}`)
  await target.query(`DROP SUBSCRIPTION ${name}`)
  await target.query(`SET lock_timeout = ${limits.cutoverLockMsMin}`)
}

/** Slots would keep the source's log for ever: the subscription's own, and those of its workers for single tables. */
async function stopPublishing(job: MoveJob, source: pg.Client, subscription: number | undefined): Promise<void> {
  const { name } = job
  for (;;) {
    job.signal.throwIfAborted()
    const mine = `slot_name = ${quoteLiteral(name)}${subscription === undefined ? '' : ` OR (slot_name ~ '^pg_${subscription}_sync_' AND database = current_database())`}`
    const { rows } = await source.query<{ slot: string; pid: number | null }>(`SELECT slot_name AS slot, active_pid AS pid FROM pg_replication_slots WHERE ${mine}`)
    if (rows.length === 0) break
    for (const { slot, pid } of rows) {
      if (pid !== null) await source.query('SELECT pg_terminate_backend($1, 1000)', [pid])
      await source.query('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active', [slot]).catch((error: Error & { code?: string }) => {
        if (error.code !== objectInUse && error.code !== undefinedObject) throw error
      })
    }
    await job.clock.sleep(limits.movePollMs / 10)
  }
  await whenFree(job, () => source.query(`DROP PUBLICATION IF EXISTS ${name}`))
}

const objectInUse = '55006'
const undefinedObject = '42704'

/** Of a single table that was dropped meanwhile nobody can say the name: as long as the cut-over is only prepared, what it has published is locked by it. */
async function preparedOn({ name }: MoveJob, source: pg.Client): Promise<string[]> {
  const { rows } = await source.query<{ gid: string }>(
    `SELECT p.gid FROM pg_prepared_xacts p JOIN pg_locks x ON x.locktype = 'transactionid' AND x.transactionid = p.transaction AND x.granted
     JOIN pg_locks l ON l.virtualtransaction = x.virtualtransaction AND l.pid IS NULL AND l.mode = 'AccessExclusiveLock'
     JOIN pg_publication_rel r ON r.prrelid = l.relation JOIN pg_publication b ON b.oid = r.prpubid
     WHERE b.pubname = $1 AND p.database = current_database()`,
    [name],
  )
  return rows.map(({ gid }) => gid)
}

async function untilEmpty(job: MoveJob, ask: () => Promise<readonly string[]>): Promise<void> {
  while ((await ask()).length > 0) {
    job.signal.throwIfAborted()
    await job.clock.sleep(limits.movePollMs)
  }
}

/** What moves, on a server that has it by its usual names. */
async function leavesOf(job: MoveJob, client: pg.Client, condition = 'true'): Promise<string[]> {
  const catalog = await job.sessions.on(job.catalog)
  const { rows } = await client.query<{ leaf: string }>(
    `SELECT format('%I.%I', n.nspname, c.relname) AS leaf FROM unnest($1::text[]) name JOIN pg_class c ON c.oid = to_regclass(name) JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND ${condition}`,
    [await namesOf(job.moved, catalog)],
  )
  return rows.map(({ leaf }) => leaf)
}

async function namesOf(moved: MoveJob['moved'], catalog: pg.Client): Promise<string[]> {
  if (moved.kind === 'table') return (await readUnit(catalog, moved.table)).map(({ schema, name }) => qualified(schema, name))
  const { rows } = await catalog.query<{ id: number }>('SELECT id FROM pgherd.placement WHERE group_id = $1', [moved.group])
  return rows.map(({ id }) => leafName(id, moved.bucket))
}

/** What the move has made and not attached, of tables that are no more too: their CHECK carries its number. */
function copiesOf({ id }: MoveJob, target: pg.Client): Promise<string[]> {
  return checkedBy(boundCheck(id), target)
}

async function goneLeavesOf({ id, moved }: MoveJob, source: pg.Client): Promise<string[]> {
  if (moved.kind === 'table') return checkedBy(goneCheck(id), source)
  const { rows } = await source.query<{ leaf: string }>(
    `SELECT format('pgherd_data.%I', relname) AS leaf FROM pg_class WHERE relnamespace = 'pgherd_data'::regnamespace AND relkind = 'r' AND starts_with(relname, $1)`,
    [`gone${id}_`],
  )
  return rows.map(({ leaf }) => leaf)
}

/** Partitions go with their parents. */
async function checkedBy(name: string, client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ leaf: string }>(
    `SELECT format('%I.%I', n.nspname, c.relname) AS leaf FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE k.conname = $1 AND k.contype = 'c' AND NOT c.relispartition`,
    [name],
  )
  return rows.map(({ leaf }) => leaf)
}

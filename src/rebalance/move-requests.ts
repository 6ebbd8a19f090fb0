/** What operators ask of moves: rows of pgherd.move that a mover (mover.ts), on this router or another, acts on. */
import type pg from 'pg'
import { SqlError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import type { Move, MoveRequest, MoveWish, TableMoveRequest } from './move.ts'

const columns = `id::float8 AS id, group_id AS "group", bucket, table_id AS "table", source, target, stage, wanted,
  worked_at IS NOT NULL AND worked_at > clock_timestamp() - ${limits.moverSilenceMsMax} * interval '1 ms' AS "isWorkedOn", bytes::float8 AS bytes,
  bytes_total::float8 AS "bytesTotal", lag_bytes::float8 AS "lagBytes", held_ms AS "heldMs", error`

type MoveRow = { [Key in keyof Move]: Exclude<Move[Key], undefined> | (undefined extends Move[Key] ? null : never) }

function asMove(row: MoveRow): Move {
  return { ...row, group: row.group ?? undefined, bucket: row.bucket ?? undefined, table: row.table ?? undefined, lagBytes: row.lagBytes ?? undefined, heldMs: row.heldMs ?? undefined, error: row.error ?? undefined }
}

/**
 * Asks for moves, all or none. `client` is one of the database on the catalog, as the router's role; it may be in a transaction.
 * Gives their ids in the order of `requests`. Throws 55006 for a bucket that is on its way already, 22023 for one that is not
 * there or is on the target.
 */
export async function requestMoves(client: pg.Client, requests: readonly MoveRequest[]): Promise<number[]> {
  const { rows } = await client
    .query<{ n: number; id: number }>(
      `WITH wished AS (SELECT * FROM unnest($1::int[], $2::int[], $3::int[]) WITH ORDINALITY w (group_id, bucket, target, n)),
       added AS (INSERT INTO pgherd.move (group_id, bucket, source, target)
         SELECT w.group_id, w.bucket, b.shard_id, w.target FROM wished w JOIN pgherd.bucket b USING (group_id, bucket) WHERE b.shard_id <> w.target ORDER BY w.n
         RETURNING id, group_id, bucket)
       SELECT w.n::int AS n, a.id::float8 AS id FROM wished w JOIN added a USING (group_id, bucket) ORDER BY w.n`,
      [requests.map(({ group }) => group), requests.map(({ bucket }) => bucket), requests.map(({ target }) => target)],
    )
    .catch((error: Error & { code?: string }) => {
      if (error.code !== '23505') throw error
      throw new SqlError('55006', 'a bucket is on its way to another shard already', { hint: 'SELECT * FROM pgherd.moves shows it.' })
    })
  const missing = requests.find((_, i) => !rows.some(({ n }) => n === i + 1))
  if (missing === undefined) return rows.map(({ id }) => id)
  await client.query('DELETE FROM pgherd.move WHERE id = ANY ($1)', [rows.map(({ id }) => id)])
  throw new SqlError('22023', `bucket ${missing.bucket} of table group ${missing.group} does not exist, or is on shard ${missing.target}`)
}

/**
 * The same for single tables. Those that move together need one request. Throws 55006 for one that is on its way already, 22023 for one that is not
 * single or is on the target.
 */
export async function requestTableMoves(client: pg.Client, requests: readonly TableMoveRequest[]): Promise<number[]> {
  const ids: number[] = []
  for (const { table, target } of requests) {
    const { rows } = await client
      .query<{ id: number }>(
        `INSERT INTO pgherd.move (table_id, source, target) SELECT id, shard_id, $2 FROM pgherd.placement WHERE id = $1 AND kind = 'single' AND shard_id <> $2 RETURNING id::float8 AS id`,
        [table, target],
      )
      .catch((error: Error & { code?: string }) => {
        if (error.code !== '23505') throw error
        throw new SqlError('55006', 'a table is on its way to another shard already', { hint: 'SELECT * FROM pgherd.moves shows it.' })
      })
    const [row] = rows
    if (row === undefined) {
      await client.query('DELETE FROM pgherd.move WHERE id = ANY ($1)', [ids])
      throw new SqlError('22023', `table ${table} is not single, or is on shard ${target}`)
    }
    ids.push(row.id)
  }
  return ids
}

/** All moves, or those with these ids, the oldest first. */
export async function readMoves(client: pg.Client, ids?: readonly number[]): Promise<Move[]> {
  const { rows } = await client.query<MoveRow>(`SELECT ${columns} FROM pgherd.move WHERE $1::bigint[] IS NULL OR id = ANY ($1) ORDER BY id`, [ids ?? null])
  return rows.map(asMove)
}

/**
 * Pauses moves, lets them go on, or has them undone. Gives the ids of those that can still be: undoing is possible until the cut-over,
 * and nothing brings back a move that is being undone.
 */
export async function wishOfMoves(client: pg.Client, ids: readonly number[], wish: MoveWish): Promise<number[]> {
  const { rows } = await client.query<{ id: number }>(
    `UPDATE pgherd.move SET wanted = $2, changed_at = clock_timestamp()
     WHERE id = ANY ($1) AND wanted <> 'undone' AND stage IN ('waiting', 'copying', 'catching-up', 'cutting-over') RETURNING id::float8 AS id`,
    [ids, wish],
  )
  return rows.map(({ id }) => id)
}

/** What movers have to do, in the order in which it was asked for. */
export async function readUnfinished(client: pg.Client): Promise<Move[]> {
  const { rows } = await client.query<MoveRow>(`SELECT ${columns} FROM pgherd.move WHERE stage NOT IN ('done', 'undone') ORDER BY id`)
  return rows.map(asMove)
}

/** Single moves: asked for, paused, gone on with, given up, taken back. */
import type pg from 'pg'
import { SqlError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import { withAdmin } from '../coordination/admin-client.ts'
import { readCluster } from '../coordination/bootstrap.ts'
import type { Move, MoveWish } from '../rebalance/move.ts'
import { readMoves, readUnfinished, requestMoves, requestTableMoves, wishOfMoves } from '../rebalance/move-requests.ts'
import type { AdminContext } from './admin-context.ts'
import { measureBucket } from './plan-moves.ts'
import { measureTable } from './plan-table-moves.ts'
import { withActiveShards } from './with-active-shards.ts'

/** Gives the move's id. */
export async function moveBucket(context: AdminContext, database: string, group: number, bucket: number, target: number): Promise<number> {
  const bytes = await measureBucket(context, database, group, bucket)
  return withActiveShards(context, database, [target], undefined, async (client) => {
    const [id = 0] = await requestMoves(client, [{ group, bucket, target }])
    await client.query('UPDATE pgherd.move SET bytes_total = $2 WHERE id = $1', [id, bytes])
    return id
  })
}

/** The same for a single table and those that have to be where it is. */
export async function moveTable(context: AdminContext, database: string, table: number, target: number): Promise<number> {
  const { catalog, credentials } = context
  const { shards } = await readCluster(catalog, credentials)
  const bytes = await withAdmin(catalog, database, credentials, (client) => measureTable(context, client, shards, table))
  return withActiveShards(context, database, [target], undefined, async (client) => {
    const [id = 0] = await requestTableMoves(client, [{ table, target }])
    await client.query('UPDATE pgherd.move SET bytes_total = $2 WHERE id = $1', [id, bytes])
    return id
  })
}

const wishes: Readonly<Record<MoveWish, string>> = { done: 'resumed', paused: 'paused', undone: 'cancelled' }

/** Of one move, or of all that are not over: gives how many can still be. */
export function wishForMoves(context: AdminContext, database: string, id: number | undefined, wish: MoveWish): Promise<number> {
  return onCatalog(context, database, async (client) => {
    const ids = id === undefined ? (await readUnfinished(client)).map((move) => move.id) : [(await find(client, id)).id]
    const done = await wishOfMoves(client, ids, wish)
    if (wish === 'paused') await client.query('UPDATE pgherd.move SET was_paused = true WHERE id = ANY ($1)', [done])
    if (id !== undefined && done.length === 0) throw cannotBe(wishes[wish], await find(client, id))
    return done.length
  })
}

/** Before its cut-over a move is given up; after it, its bucket is moved back. Gives the id of the move whose end is to be awaited. */
export async function undoMove(context: AdminContext, database: string, id: number): Promise<number> {
  const move = await onCatalog(context, database, async (client) => {
    await wishOfMoves(client, [(await find(client, id)).id], 'undone')
    return find(client, id)
  })
  if (move.wanted === 'undone') {
    if (move.stage === 'undone') throw cannotBe('undone', move)
    return id
  }
  if (move.stage !== 'done') throw cannotBe('undone', move)
  return withActiveShards(context, database, [move.source], undefined, async (client) => {
    if ((await ownerOf(client, move)) !== move.target) throw new SqlError('55000', `move ${id} cannot be undone: what it has moved is not on shard ${move.target} any more`)
    const [back = 0] = await requestBack(client, move)
    await client.query('UPDATE pgherd.move m SET bytes_total = o.bytes FROM pgherd.move o WHERE m.id = $1 AND o.id = $2', [back, id])
    return back
  })
}

/** The shard that has now what a move is of. */
async function ownerOf(client: pg.Client, { group, bucket, table }: Move): Promise<number | undefined> {
  const { rows } = await client.query<{ shard: number }>(
    `SELECT shard_id AS shard FROM pgherd.bucket WHERE group_id = $1 AND bucket = $2 UNION ALL SELECT shard_id FROM pgherd.placement WHERE id = $3 AND kind = 'single'`,
    [group, bucket, table],
  )
  return rows[0]?.shard
}

function requestBack(client: pg.Client, { group, bucket, table, source }: Move): Promise<number[]> {
  if (table !== undefined) return requestTableMoves(client, [{ table, target: source }])
  if (group === undefined || bucket === undefined) throw new Error('a move is of a bucket or of a table')
  return requestMoves(client, [{ group, bucket, target: source }])
}

export function unfinishedMoves(context: AdminContext, database: string): Promise<Move[]> {
  return onCatalog(context, database, readUnfinished)
}

/** It stands still until somebody resumes it. */
export const isResting = ({ wanted, stage }: Move): boolean => wanted === 'paused' && (stage === 'waiting' || stage === 'catching-up')

function onCatalog<T>({ catalog, credentials }: AdminContext, database: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  return withAdmin(catalog, database, credentials, work, limits.serverAnswerMsMax)
}

async function find(client: pg.Client, id: number): Promise<Move> {
  const [move] = await readMoves(client, [id])
  if (move === undefined) throw new SqlError('42704', `move ${id} does not exist`, { hint: 'SELECT * FROM pgherd.moves shows them.' })
  return move
}

function cannotBe(what: string, { id, stage, wanted }: Move): SqlError {
  const isGivenUp = wanted === 'undone' && stage !== 'undone'
  const state = isGivenUp ? 'being undone' : stage === 'cleaning' ? 'being cleaned up, and its bucket has moved' : stage
  return new SqlError('55000', `move ${id} cannot be ${what}: it is ${state}`, stage === 'cleaning' || stage === 'done' ? { hint: 'pgherd.undo_move() moves back what is done.' } : {})
}

/**
 * Asks for all moves of a rebalance, in one transaction. One rebalancer of a database at a time: it has the lock `rebalance of <database>`
 * while it plans, and commits only as long as the lock's fence is the newest; after that its moves are in the next one's way until they are over.
 */
import type pg from 'pg'
import { SqlError } from '../base/errors.ts'
import { isStaleFence } from '../coordination/fences.ts'
import type { Lease } from '../coordination/locks.ts'
import { readMoves, readUnfinished, requestMoves, requestTableMoves } from '../rebalance/move-requests.ts'
import type { AdminContext } from './admin-context.ts'
import type { BalanceBy, MovesPlan } from './plan-moves.ts'
import { planMoves } from './plan-moves.ts'
import { withActiveShards } from './with-active-shards.ts'

export interface StartedRebalance {
  /** The lock's fence: none has it twice. Undefined when there is nothing to move. */
  readonly id: number | undefined
  readonly moves: readonly number[]
}

/** Throws 55006 while another one is under way. */
export async function startRebalance(context: AdminContext, database: string, by: BalanceBy): Promise<StartedRebalance> {
  const lease = await takeLock(context, database)
  try {
    await withActiveShards(context, database, [], lease, refuseWhileMoving)
    const plan = await planMoves(context, database, by)
    if (plan.moves.length === 0) return { id: undefined, moves: [] }
    const targets = [...new Set(plan.moves.map(({ target }) => target))]
    const moves = await withActiveShards(context, database, targets, lease, async (client) => {
      await refuseWhileMoving(client)
      return request(client, plan, lease.fence)
    })
    return { id: lease.fence, moves }
  } catch (error) {
    throw isStaleFence(error) ? beingPlanned(database) : error // routers that do not share their locks
  } finally {
    await lease.release()
  }
}

async function takeLock({ locks }: AdminContext, database: string): Promise<Lease> {
  const name = `rebalance of ${database}`
  const lease = await locks.acquire(name).catch((error: Error) => {
    throw new SqlError('08006', `nobody can be asked for the lock "${name}": ${error.message}`, { hint: 'Try again when Redis and the catalog answer.' })
  })
  if (lease === undefined) throw beingPlanned(database)
  return lease
}

const beingPlanned = (database: string) =>
  new SqlError('55006', `another rebalance of database "${database}" is being planned`, { hint: 'SELECT * FROM pgherd.locks shows by whom. Try again in a moment.' })

async function refuseWhileMoving(client: pg.Client): Promise<void> {
  const moves = await readUnfinished(client)
  if (moves.length === 0) return
  const { rows } = await client.query<{ rebalance: string | null }>('SELECT max(rebalance) AS rebalance FROM pgherd.move WHERE id = ANY ($1)', [moves.map(({ id }) => id)])
  throw new SqlError('55006', rows[0]?.rebalance == null ? 'buckets are on their way to other shards' : 'a rebalance is under way', {
    detail: `Moves that are not over: ${moves.length}.`,
    hint: 'SELECT * FROM pgherd.moves shows them. Wait for their end with pgherd.wait_for_moves(), or undo what is not done with pgherd.cancel_moves().',
  })
}

/** Buckets come first in the plan, too. */
async function request(client: pg.Client, { moves }: MovesPlan, rebalance: number): Promise<number[]> {
  const ids = await requestMoves(client, moves.filter((move) => move.table === undefined))
  ids.push(...(await requestTableMoves(client, moves.filter((move) => move.table !== undefined))))
  const asked = await readMoves(client, ids)
  if (asked.some(({ id, source }) => source !== moves[ids.indexOf(id)]?.source)) throw new SqlError('40001', 'buckets have moved while the rebalance was planned', { hint: 'Try again.' })
  await client.query('UPDATE pgherd.move m SET rebalance = $1, bytes_total = w.bytes FROM unnest($2::bigint[], $3::bigint[]) w (id, bytes) WHERE m.id = w.id', [rebalance, ids, moves.map(({ bytes }) => bytes)])
  return ids
}

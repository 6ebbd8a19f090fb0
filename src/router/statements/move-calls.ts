/** pgherd.rebalance() and what else operators ask of moves. */
import { isResting, moveBucket, moveTable, undoMove, unfinishedMoves, wishForMoves } from '../../admin/moves.ts'
import type { MovesPlan } from '../../admin/plan-moves.ts'
import { asBalanceBy, planMoves } from '../../admin/plan-moves.ts'
import { startRebalance } from '../../admin/rebalance.ts'
import { SqlError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import type { Relation, Snapshot } from '../../catalog/snapshot.ts'
import { resolveName } from '../../planner/resolve.ts'
import type { AnyNode } from '../../sql/ast.ts'
import { parseOne } from '../../sql/parse.ts'
import type { MoveWish } from '../../rebalance/move.ts'
import type { Session } from '../session.ts'
import type { Parameter } from './call-arguments.ts'
import type { OperatorCall, OperatorCalls } from './operator-call.ts'
import { nothing, number } from './operator-call.ts'

const by: Parameter = { name: 'by', type: 'text', isOptional: true }
const anyId: Parameter = { name: 'id', type: 'bigint', isOptional: true }

export const moveCalls: OperatorCalls = {
  rebalance_plan: {
    parameters: [by],
    gives: 'rows',
    acts: false,
    run: async (values, session) => planRows(await planMoves(session.services.admin, session.database, asBalanceBy(values.get('by') ?? 'buckets'))),
  },
  rebalance: {
    parameters: [by],
    gives: 'value',
    acts: true,
    run: async (values, session) => number((await startRebalance(session.services.admin, session.database, asBalanceBy(values.get('by') ?? 'buckets'))).moves.length),
  },
  move_bucket: {
    parameters: [
      { name: 'table_name', type: 'text' },
      { name: 'bucket', type: 'integer' },
      { name: 'shard', type: 'integer' },
    ],
    gives: 'value',
    acts: true,
    run: async (values, session) => {
      const group = await groupOf(given(values, 'table_name'), session)
      return number(await moveBucket(session.services.admin, session.database, group, Number(given(values, 'bucket')), Number(given(values, 'shard'))))
    },
  },
  move_table: {
    parameters: [
      { name: 'table_name', type: 'text' },
      { name: 'shard', type: 'integer' },
    ],
    gives: 'value',
    acts: true,
    run: async (values, session) => {
      const table = await singleOf(given(values, 'table_name'), session)
      return number(await moveTable(session.services.admin, session.database, table, Number(given(values, 'shard'))))
    },
  },
  pause_moves: wish('paused'),
  resume_moves: wish('done'),
  cancel_moves: wish('undone'),
  undo_move: {
    parameters: [{ name: 'id', type: 'bigint' }],
    gives: 'value',
    acts: true,
    run: async (values, session) => number(await undoMove(session.services.admin, session.database, Number(given(values, 'id')))),
  },
  wait_for_moves: {
    parameters: [],
    gives: 'value',
    acts: true,
    run: async (_values, session) => {
      await waitForMoves(session)
      return nothing
    },
  },
}

/** Until no bucket is on its way. Throws 55000 when what is left is paused, and what has cancelled the statement. */
export async function waitForMoves(session: Session): Promise<void> {
  const { services, database, transaction } = session
  for (;;) {
    const moves = await unfinishedMoves(services.admin, database)
    if (moves.length === 0) return
    if (moves.every(isResting)) throw new SqlError('55000', `${moves.length} moves are paused`, { hint: 'pgherd.resume_moves() lets them go on, pgherd.cancel_moves() undoes them.' })
    await services.clock.sleep(limits.movePollMs)
    if (transaction.cancelled !== undefined) throw transaction.cancelled
  }
}

function wish(wanted: MoveWish): OperatorCall {
  return {
    parameters: [anyId],
    gives: 'value',
    acts: true,
    run: async (values, session) => {
      const id = values.get('id')
      return number(await wishForMoves(session.services.admin, session.database, id === undefined ? undefined : Number(id), wanted))
    },
  }
}

const planColumns = { table_group: 'integer', tables: 'text', bucket: 'integer', source: 'integer', target: 'integer', bytes: 'bigint', estimated: 'interval' }

function planRows({ moves }: MovesPlan) {
  const rows = moves.map(({ group, tables, bucket, source, target, bytes, ms }) => ({ table_group: group, tables: tables.join(', '), bucket, source, target, bytes, estimated: `${Math.round(ms)} ms` }))
  return { kind: 'rows', columns: planColumns, rows } as const
}

function given(values: ReadonlyMap<string, string | undefined>, name: string): string {
  const value = values.get(name)
  if (value === undefined) throw new SqlError('22004', `${name} cannot be NULL`)
  return value
}

/** Of the number of a table group, or the name of one of its tables. */
async function groupOf(text: string, session: Session): Promise<number> {
  const snapshot = await session.services.store.newest(session.database)
  if (/^\d+$/.test(text)) {
    if (snapshot.groups.has(Number(text))) return Number(text)
    throw new SqlError('42704', `table group ${text} does not exist`, { hint: 'SELECT * FROM pgherd.tables shows them.' })
  }
  const group = tableNamed(text, snapshot, session).table?.group
  if (group === undefined) throw new SqlError('42809', `"${text}" is not a distributed table: it has no buckets`, { hint: 'pgherd.move_table() moves a single table.' })
  return group
}

/** Its number in pgherd.placement. */
async function singleOf(text: string, session: Session): Promise<number> {
  const { table } = tableNamed(text, await session.services.store.newest(session.database), session)
  if (table?.kind === 'single') return table.id
  throw new SqlError('42809', `"${text}" is not a single table`, { hint: table?.kind === 'distributed' ? 'pgherd.move_bucket() moves a bucket of a distributed table.' : undefined })
}

function tableNamed(text: string, snapshot: Snapshot, session: Session): Relation {
  const { RangeVar: range } = ((parseOne(`SELECT FROM ${text}`).SelectStmt?.fromClause ?? [])[0] ?? {}) as AnyNode
  const resolved = resolveName(session.nameContext(snapshot, []), range?.schemaname, range?.relname ?? '')
  if (resolved.kind !== 'relation') throw new SqlError('42P01', `relation "${text}" does not exist`)
  return resolved.relation
}

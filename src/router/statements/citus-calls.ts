/** What users of Citus call: the same as pgherd's own functions, under the names and with the columns that they know. */
import { unfinishedMoves, wishForMoves } from '../../admin/moves.ts'
import type { BalanceBy } from '../../admin/plan-moves.ts'
import { planMoves } from '../../admin/plan-moves.ts'
import { startRebalance } from '../../admin/rebalance.ts'
import { refuse, SqlError } from '../../base/errors.ts'
import type { Move } from '../../rebalance/move.ts'
import type { Session } from '../session.ts'
import type { Parameter } from './call-arguments.ts'
import { waitForMoves } from './move-calls.ts'
import type { OperatorCalls } from './operator-call.ts'
import { nothing, number } from './operator-call.ts'
import { citusShardCalls } from './shard-calls.ts'

const optional = (name: string, type: Parameter['type']): Parameter => ({ name, type, isOptional: true })
const [strategy, drainOnly, mode] = [optional('rebalance_strategy', 'text'), optional('drain_only', 'boolean'), optional('shard_transfer_mode', 'text')]
const which = [optional('relation', 'text'), optional('threshold', 'real'), optional('max_shard_moves', 'integer'), optional('excluded_shard_list', 'text')]

export const citusCalls: OperatorCalls = {
  ...citusShardCalls,
  rebalance_table_shards: {
    parameters: [...which, mode, drainOnly, strategy],
    gives: 'value',
    acts: true,
    run: async (values, session) => {
      const { id } = await startRebalance(session.services.admin, session.database, balanceBy(values))
      if (id === undefined) session.notice('00000', 'no moves are needed')
      else await waitForMoves(session)
      return nothing
    },
  },
  citus_rebalance_start: {
    parameters: [strategy, drainOnly, mode],
    gives: 'value',
    acts: true,
    run: async (values, session) => {
      const { id, moves } = await startRebalance(session.services.admin, session.database, balanceBy(values))
      session.notice('00000', id === undefined ? 'no moves are needed' : `${moves.length} moves are scheduled as rebalance ${id}`)
      return number(id)
    },
  },
  citus_rebalance_stop: {
    parameters: [],
    gives: 'value',
    acts: true,
    run: async (_values, session) => {
      await wishForMoves(session.services.admin, session.database, undefined, 'undone')
      return nothing
    },
  },
  citus_rebalance_wait: {
    parameters: [],
    gives: 'value',
    acts: true,
    run: async (_values, session) => {
      await waitForMoves(session)
      return nothing
    },
  },
  get_rebalance_table_shards_plan: {
    parameters: [...which, drainOnly, strategy],
    gives: 'rows',
    acts: false,
    run: async (values, session) => {
      const { moves } = await planMoves(session.services.admin, session.database, balanceBy(values))
      const rows = moves.map(({ tables, bucket, source, target, bytes }) => ({ table_name: tables.join(', '), shardid: bucket, shard_size: bytes, ...nodes(source, target, session) }))
      return { kind: 'rows', columns: { table_name: 'text', shardid: 'bigint', shard_size: 'bigint', ...nodeColumns }, rows }
    },
  },
  get_rebalance_progress: {
    parameters: [],
    gives: 'rows',
    acts: false,
    run: async (_values, session) => {
      const moves = await unfinishedMoves(session.services.admin, session.database)
      const { relations } = await session.currentSnapshot()
      const tablesOf = ({ group, table: single }: Move) => [...relations.values()].filter(({ table }) => (single === undefined ? table?.group === group : table?.id === single)).map(({ name }) => name)
      const rows = moves.map((move) => ({ ...move, tables: tablesOf(move) })).map(({ id, tables, bucket, source, target, stage, bytes, bytesTotal }) => ({
        sessionid: id,
        table_name: tables.join(', '),
        shardid: bucket,
        shard_size: bytesTotal,
        ...nodes(source, target, session),
        progress: stage === 'waiting' ? 0 : stage === 'cleaning' ? 2 : 1,
        source_shard_size: bytesTotal,
        target_shard_size: bytes,
        operation_type: 'move',
        status: stage,
      }))
      const sizes = { progress: 'bigint', source_shard_size: 'bigint', target_shard_size: 'bigint', operation_type: 'text', status: 'text' }
      return { kind: 'rows', columns: { sessionid: 'integer', table_name: 'text', shardid: 'bigint', shard_size: 'bigint', ...nodeColumns, ...sizes }, rows }
    },
  },
}

/** By what is refused, what to call instead. */
export const citusRefusals: Readonly<Record<string, string>> = {
  citus_move_shard_placement: 'Buckets have no shard ids here: call pgherd.move_bucket(table, bucket, shard).',
  master_move_shard_placement: 'Buckets have no shard ids here: call pgherd.move_bucket(table, bucket, shard).',
  citus_copy_shard_placement: 'A bucket is on one shard; replicas are of whole shards.',
  citus_drain_node: 'SELECT pgherd.drain_shard(name), then pgherd.rebalance() in each database.',
  citus_rebalance_status: 'SELECT * FROM pgherd.moves, or get_rebalance_progress().',
}

const nodeColumns = { sourcename: 'text', sourceport: 'integer', targetname: 'text', targetport: 'integer' }

function nodes(source: number, target: number, session: Session) {
  const address = (id: number) => session.services.store.shards.find((shard) => shard.id === id)
  return { sourcename: address(source)?.host, sourceport: address(source)?.port, targetname: address(target)?.host, targetport: address(target)?.port }
}

function balanceBy(values: ReadonlyMap<string, string | undefined>): BalanceBy {
  const limited = which.find(({ name }) => values.get(name) !== undefined)
  if (limited !== undefined) throw refuse(`${limited.name} is not supported: a rebalance is of all tables`, 'pgherd.move_bucket() moves a single bucket.')
  if (values.get('drain_only') === 'true') throw refuse('drain_only is not supported', 'Drain a shard: its buckets move away with the next rebalance.')
  if (values.get('shard_transfer_mode') === 'block_writes') throw refuse("shard_transfer_mode 'block_writes' is not supported", 'Moves keep no writer waiting: leave it out.')
  const strategy = values.get('rebalance_strategy') ?? 'by_shard_count'
  if (strategy === 'by_shard_count') return 'buckets'
  if (strategy === 'by_disk_size') return 'bytes'
  throw new SqlError('22023', `could not find rebalance strategy with name ${strategy}`, { hint: 'It is by_shard_count or by_disk_size.' })
}

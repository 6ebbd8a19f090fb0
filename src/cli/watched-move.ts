/** A row of pgherd.moves as commands show it. */
import { bytesText, timeText } from './units.ts'

export interface WatchedMove {
  readonly id: number
  readonly tables: string | undefined
  /** Undefined for a move of single tables. */
  readonly bucket: number | undefined
  readonly source: number
  readonly target: number
  readonly stage: string
  readonly wanted: string
  readonly bytes: number
  readonly bytesTotal: number
  readonly bytesPerSecond: number | undefined
  readonly lagBytes: number | undefined
  readonly leftMs: number | undefined
  /** Since it was begun; of one that is over, in all. */
  readonly takenMs: number | undefined
  readonly heldMs: number | undefined
  readonly rows: number | undefined
  readonly error: string | undefined
}

type Nullable<T> = { [Key in keyof T]: T[Key] extends infer V ? (undefined extends V ? Exclude<V, undefined> | null : V) : never }
export type WatchedRow = Nullable<WatchedMove>

export const watchedColumns = `id::float8 AS id, tables, bucket, source, target, stage, wanted, bytes::float8 AS bytes, bytes_total::float8 AS "bytesTotal",
  bytes_per_second::float8 AS "bytesPerSecond", lag_bytes::float8 AS "lagBytes", (1000 * extract(epoch FROM time_left))::float8 AS "leftMs",
  (1000 * extract(epoch FROM coalesce(ended_at, clock_timestamp()) - started_at))::float8 AS "takenMs", held_ms AS "heldMs", rows::float8 AS rows, error`

export function asWatched(row: WatchedRow): WatchedMove {
  return Object.fromEntries(Object.entries(row).map(([key, value]) => [key, value ?? undefined])) as unknown as WatchedMove
}

export const isOver = ({ stage }: Pick<WatchedMove, 'stage'>): boolean => stage === 'done' || stage === 'undone'

/** It stands still until somebody resumes it. */
export const isResting = ({ stage, wanted }: WatchedMove): boolean => wanted === 'paused' && (stage === 'waiting' || stage === 'catching-up')

export function nameOf({ id, bucket, tables, source, target }: WatchedMove): string {
  return `move ${id}: ${bucket === undefined ? '' : `bucket ${bucket} of `}${tables ?? 'no tables'}, shard ${source} -> ${target}`
}

/** Where it is, and how fast. */
export function stateOf(move: WatchedMove): string {
  const { stage, wanted, bytes, bytesTotal, bytesPerSecond, lagBytes, leftMs, error } = move
  const parts = [isResting(move) ? `${stage} (paused)` : wanted === 'paused' ? `${stage} (to be paused)` : stage]
  if (stage === 'copying') parts.push(`${bytesText(bytes)} of ${bytesText(bytesTotal)}`)
  else if (stage !== 'waiting') parts.push(bytesText(bytes))
  if (bytesPerSecond !== undefined) parts.push(`${bytesText(bytesPerSecond)}/s`)
  if (lagBytes !== undefined && stage !== 'copying') parts.push(`lag ${bytesText(lagBytes)}`)
  if (leftMs !== undefined) parts.push(`${timeText(leftMs)} left`)
  if (error !== undefined) parts.push(`held up: ${error}`)
  return parts.join(', ')
}

export function outcomeOf({ stage, bytes, takenMs, rows, heldMs, error }: WatchedMove): string {
  const parts = [takenMs === undefined ? stage : `${stage} in ${timeText(takenMs)}`]
  if (stage === 'undone') return error === undefined ? parts.join('') : `${parts.join('')}: ${error}`
  parts.push(bytesText(bytes))
  if (rows !== undefined) parts.push(`${rows} rows compared`)
  if (heldMs !== undefined) parts.push(`writes held for ${heldMs} ms at most`)
  return parts.join(', ')
}

/** How far it is, from 0 to 1: the copy is nearly all of it. */
export function shareDone({ stage, bytes, bytesTotal }: WatchedMove): number {
  if (stage === 'copying') return 0.9 * Math.min(1, bytesTotal === 0 ? 0 : bytes / bytesTotal)
  return { waiting: 0, 'catching-up': 0.9, 'cutting-over': 0.95, cleaning: 0.98, done: 1 }[stage] ?? 0
}

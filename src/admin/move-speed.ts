/** How long moves take: what those that are done have taken, as a fixed time and so many bytes a second. */
import type pg from 'pg'
import { limits } from '../base/limits.ts'

export interface MoveSpeed {
  readonly fixedMs: number
  readonly bytesPerSecond: number
}

export interface MoveSample {
  readonly bytes: number
  readonly ms: number
}

export const msOf = (bytes: number, { fixedMs, bytesPerSecond }: MoveSpeed): number => fixedMs + (1000 * bytes) / bytesPerSecond

/** The line that fits best, where there are moves of different sizes; before there are any, a guess. */
export function speedOf(samples: readonly MoveSample[]): MoveSpeed {
  const guessed = { fixedMs: limits.moveGuessMs, bytesPerSecond: limits.moveGuessBytesPerSecond }
  if (samples.length === 0) return guessed
  const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  const [bytes, ms] = [meanOf(samples.map((one) => one.bytes)), meanOf(samples.map((one) => one.ms))]
  const spread = meanOf(samples.map((one) => (one.bytes - bytes) ** 2))
  const common = meanOf(samples.map((one) => (one.bytes - bytes) * (one.ms - ms)))
  const slope = spread > (bytes / 4) ** 2 ? common / spread : 0
  // Moves of about one size, or which chance has made look the quicker the larger they are, tell their time and no more.
  const msPerByte = slope > 0 ? slope : 1000 / guessed.bytesPerSecond
  return { fixedMs: Math.max(0, ms - bytes * msPerByte), bytesPerSecond: 1000 / msPerByte }
}

/** Of the last moves of the database; what was paused or copied again on its way tells nothing. */
export async function readSpeed(client: pg.Client): Promise<MoveSpeed> {
  const { rows } = await client.query<MoveSample>(
    `SELECT bytes::float8 AS bytes, (1000 * extract(epoch FROM ended_at - started_at))::float8 AS ms FROM pgherd.move
     WHERE stage = 'done' AND copying_at - started_at < interval '1 s' AND NOT was_paused ORDER BY id DESC LIMIT ${limits.moveSamplesMax}`,
  )
  return speedOf(rows)
}

export interface TimedMove {
  readonly source: number
  readonly target: number
  readonly ms: number
}

/** How long all of them take, when each begins as soon as its shards are free, in their order, as movers do. */
export function msOfAll(moves: readonly TimedMove[]): number {
  const freeAt = new Map<number, number>()
  const waiting = [...moves]
  let [now, end] = [0, 0]
  while (waiting.length > 0) {
    const isFree = (shard: number) => (freeAt.get(shard) ?? 0) <= now
    const at = waiting.findIndex(({ source, target }) => isFree(source) && isFree(target))
    const [move] = at < 0 ? [] : waiting.splice(at, 1)
    if (move === undefined) {
      now = Math.min(...[...freeAt.values()].filter((time) => time > now))
      continue
    }
    for (const shard of [move.source, move.target]) freeAt.set(shard, now + move.ms)
    end = Math.max(end, now + move.ms)
  }
  return end
}

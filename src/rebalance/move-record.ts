/** The row of pgherd.move that one mover works on. It shows the fence of its lock with whatever it writes. */
import type pg from 'pg'
import { limits } from '../base/limits.ts'
import type { MoveStage, MoveWish } from './move.ts'

/** Another mover has the move: whatever this one knows of it is old. */
export class MoveTaken extends Error {
  constructor(id: number) {
    super(`move ${id} is another router's by now`)
  }
}

export interface MoveState {
  readonly stage: MoveStage
  readonly wanted: MoveWish
  readonly definition: string | undefined
  readonly subscription: number | undefined
}

/** By the columns of pgherd.move. */
export interface MoveNotes {
  readonly definition?: string
  readonly subscription?: number
  readonly bytes?: number
  readonly bytes_total?: number
  readonly lag_bytes?: number
  readonly rows?: number
  readonly verified?: 'held' | 'before'
  readonly error?: string | null
}

const none: readonly string[] = []

/** What a stage's beginning tells of time, beside its own. */
const times: Readonly<Record<MoveStage, readonly string[]>> = {
  waiting: none,
  copying: ['copying_at = clock_timestamp()', 'copied_at = NULL'],
  'catching-up': ['copied_at = coalesce(copied_at, clock_timestamp())'],
  'cutting-over': none,
  cleaning: none,
  done: ['ended_at = clock_timestamp()'],
  undoing: none,
  undone: ['ended_at = clock_timestamp()'],
}

export class MoveRecord {
  readonly id: number
  readonly fence: number
  private readonly client: pg.Client

  constructor(client: pg.Client, id: number, fence: number) {
    this.client = client
    this.id = id
    this.fence = fence
  }

  /**
   * From now on nobody with an older fence writes to the row, which is left alone while another mover is at work: where routers do not share
   * their locks, they would take it from each other for ever. Waits for the commit of a cut-over that is under way, so what it gives is
   * what has become of it. Throws MoveTaken when it is another's.
   */
  async claim(): Promise<MoveState> {
    const { rows } = await this.client.query<{ stage: MoveStage; wanted: MoveWish; definition: string | null; subscription: number | null }>(
      `UPDATE pgherd.move SET fence = $2, worked_at = clock_timestamp()
       WHERE id = $1 AND (fence = $2 OR fence < $2 AND coalesce(worked_at < clock_timestamp() - $3 * interval '1 ms', true)) RETURNING stage, wanted, definition, subscription::int8::float8 AS subscription`,
      [this.id, this.fence, limits.moverSilenceMsMax],
    )
    const [row] = rows
    if (row === undefined) throw new MoveTaken(this.id)
    return { ...row, definition: row.definition ?? undefined, subscription: row.subscription ?? undefined }
  }

  /** The next stage is stored before it begins; routers are told where a move begins or ends, since they prepare for buckets that may be gone (Snapshot.isMoving). */
  async to(stage: MoveStage, notes: MoveNotes = {}): Promise<void> {
    const isNews = stage === 'copying' || stage === 'undoing' || stage === 'done' || stage === 'undone'
    await this.write([`stage = '${stage}'`, 'changed_at = clock_timestamp()', 'started_at = coalesce(started_at, clock_timestamp())', ...times[stage]], notes, isNews)
  }

  async note(notes: MoveNotes): Promise<void> {
    await this.write([], notes)
  }

  /** Its mover is at work, or (false) not any more. Nothing happens when it is another's. */
  async beat(isAtWork: boolean): Promise<void> {
    await this.client.query(`UPDATE pgherd.move SET worked_at = ${isAtWork ? 'clock_timestamp()' : 'NULL'} WHERE id = $1 AND fence = $2`, [this.id, this.fence])
  }

  /** A cut-over was tried, and has held writes for so long. */
  async noteAttempt(heldMs: number): Promise<void> {
    await this.client.query('UPDATE pgherd.move SET cutovers = cutovers + 1, held_ms = greatest(held_ms, $3) WHERE id = $1 AND fence = $2', [this.id, this.fence, Math.round(heldMs)])
  }

  private async write(fixed: readonly string[], notes: MoveNotes, isNews = false): Promise<void> {
    const entries = Object.entries(notes)
    const sets = [...fixed, ...entries.map(([column], i) => `${column} = $${i + 3}`)]
    const { rowCount } = await this.client.query(
      `UPDATE pgherd.move SET ${sets.join(', ')} WHERE id = $1 AND fence = $2 RETURNING ${isNews ? `pg_notify('pgherd_schema', '')` : '1'}`,
      [this.id, this.fence, ...entries.map(([, value]) => value as unknown)],
    )
    if (rowCount !== 1) throw new MoveTaken(this.id)
  }
}

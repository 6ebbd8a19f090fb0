/**
 * Takes one move through its stages, from wherever it is.
 *
 * A stage is stored before it begins; each may be begun again from its start, so it first takes away, or finds, what an earlier mover has left.
 */
import { limits } from '../base/limits.ts'
import { unreachable } from '../base/errors.ts'
import { addForeignKeys, bytesOf, copyIsCaughtUp, copyState, lagBytes, makeLeaves, publish, subscribe } from './copy-bucket.ts'
import type { MovedTables } from './moved-tables.ts'
import { readMovedTables, refuseIncomparable } from './moved-tables.ts'
import { removeSource, undoCopy } from './clean-up.ts'
import { compareCopies } from './compare-copies.ts'
import type { CutOverOptions } from './cut-over.ts'
import { cutOver, isCutOver } from './cut-over.ts'
import type { MoveJob } from './move-job.ts'
import { MoveImpossible } from './move-job.ts'
import type { MoveState } from './move-record.ts'

/** Returns when the move is over, or paused. Throws when it cannot go on now. */
export async function runMove(job: MoveJob): Promise<void> {
  for (;;) {
    job.signal.throwIfAborted()
    const state = await job.record.claim()
    if (state.wanted === 'undone' && mayBeUndone.has(state.stage)) await job.record.to('undoing')
    else if (await runStage(job, state)) return
  }
}

const mayBeUndone: ReadonlySet<string> = new Set(['waiting', 'copying', 'catching-up', 'cutting-over'])

/** True when there is nothing more to do. */
async function runStage(job: MoveJob, state: MoveState): Promise<boolean> {
  const { record } = job
  job.onStep(state.stage)
  switch (state.stage) {
    case 'waiting':
      if (state.wanted === 'paused') return true
      await record.to('copying')
      return false
    case 'copying':
      await copy(job, state).catch(async (error: unknown) => {
        if (!(error instanceof MoveImpossible)) throw error
        await record.to('undoing', { error: error.message })
      })
      return false
    case 'catching-up':
      return catchUp(job, state)
    case 'cutting-over': // its mover is gone, or has failed: as `claim` has waited for a commit under way, there was none
      await record.to('catching-up')
      return false
    case 'cleaning':
      await removeSource(job, state.subscription)
      await record.to('done', { error: null })
      return false
    case 'undoing':
      await undoCopy(job, state.subscription)
      await record.to('undone')
      return false
    case 'done':
    case 'undone':
      return true
    default:
      return unreachable(state.stage)
  }
}

/** Stored before the copy begins, the tables' digest tells later whether they have changed since. */
async function copy(job: MoveJob, { subscription }: MoveState): Promise<void> {
  const { record, clock, signal } = job
  await undoCopy(job, subscription)
  const bucket = await readMovedTables(job)
  refuseIncomparable(bucket)
  const source = await job.sessions.on(job.source)
  const target = await job.sessions.on(job.target)
  await record.note({ definition: bucket.digest, bytes: 0, bytes_total: await bytesOf(bucket.tables, source) })
  if (bucket.tables.length > 0) {
    job.onStep('leaves')
    await makeLeaves(job, bucket)
    job.onStep('identity')
    await publish(job, bucket)
    job.onStep('subscription')
    await subscribe(job)
  }
  for (;;) {
    signal.throwIfAborted()
    const { isAlive, isCopied } = await copyState(job)
    if (bucket.tables.length === 0 || (isAlive && isCopied)) break
    if (!isAlive) throw new Error(`the copy on ${job.target.name} failed: its server's log says why`)
    await record.note({ bytes: await bytesOf(bucket.tables, target) })
    if ((await record.claim()).wanted === 'undone') return
    await clock.sleep(limits.movePollMs)
  }
  await record.to('catching-up', { bytes: await bytesOf(bucket.tables, target), error: null })
}

/** True when it is paused. */
async function catchUp(job: MoveJob, { definition }: MoveState): Promise<boolean> {
  const { record, clock, signal } = job
  const bucket = await readMovedTables(job).catch((error: unknown) => {
    if (error instanceof MoveImpossible) return undefined // which the copy finds too, and ends the move
    throw error
  })
  if (bucket === undefined || bucket.digest !== definition) return again(job, 'the schema was changed, or a replica promoted')
  const isEmpty = bucket.tables.length === 0
  if (!isEmpty && !(await copyState(job)).isAlive) return again(job, 'the copy did not follow')
  job.onStep('foreign keys')
  await addForeignKeys(job, bucket)
  const target = await job.sessions.on(job.target)
  for (const { leaf } of bucket.tables) await target.query(`ANALYZE ${leaf}`)
  let compared: Compared | undefined
  let lockMs: number = 2 * limits.cutoverLockMsMin
  let atOnce = false
  let attempt = 0
  for (let pauseMs: number = limits.cutoverRetryMsMin; ; ) {
    signal.throwIfAborted()
    const { wanted, stage } = await record.claim()
    if (wanted === 'undone' || stage !== 'catching-up') return false
    if (wanted === 'paused') return true
    if (!isEmpty && !(await copyState(job)).isAlive) return again(job, 'the copy did not follow')
    const lag = isEmpty ? 0 : await lagBytes(job)
    await record.note(lag === undefined ? {} : { lag_bytes: lag })
    if (!copyIsCaughtUp(lag)) {
      await clock.sleep(limits.movePollMs)
      continue
    }
    job.onStep('compare')
    compared ??= await compare(job, bucket)
    if (compared === undefined) return again(job, 'the copies were found to differ')
    const reason = await tryCutOver(job, compared, { digest: bucket.digest, compareHeld: compared.again, lockMs, atOnce, quietly: attempt % 3 !== 0 })
    if (reason === undefined) return false
    if (reason.copyAgain) return again(job, reason.reason)
    await clock.sleep(pauseMs)
    pauseMs = Math.min(2 * pauseMs, limits.cutoverRetryMsMax)
    lockMs = Math.min(2 * lockMs, limits.cutoverLockMsMax)
    atOnce = !atOnce
    attempt++
  }
}

async function again(job: MoveJob, error: string): Promise<false> {
  job.log.info(`move ${job.id}: copied again, since ${error}`)
  await job.record.to('copying', { error })
  return false
}

interface Compared {
  readonly rows: number
  /** Short enough to be done again while writes are held. */
  readonly again: boolean
}

async function compare(job: MoveJob, { tables }: MovedTables): Promise<Compared | undefined> {
  const compared = await compareCopies(job, tables)
  return compared && { rows: compared.rows, again: compared.ms <= limits.compareHeldMsMax }
}

/** Undefined when the bucket is the target's. */
async function tryCutOver(job: MoveJob, compared: Compared, options: CutOverOptions): Promise<{ reason: string; copyAgain: boolean } | undefined> {
  const { record, log } = job
  await record.to('cutting-over')
  const outcome = await cutOver(job, options)
  if (!isCutOver(outcome)) {
    log.info(`move ${job.id}: not cut over, after ${outcome.heldMs} ms: ${outcome.reason}`)
    await record.to('catching-up', { error: outcome.reason })
    await record.noteAttempt(outcome.heldMs)
    return outcome
  }
  await record.note({ rows: outcome.rows ?? compared.rows, verified: outcome.rows === undefined ? 'before' : 'held' })
  await record.noteAttempt(outcome.heldMs)
  return undefined
}

/**
 * Commit over several servers.
 *
 * One writer: its COMMIT decides. Several: all but one PREPARE TRANSACTION, in parallel; then the last one, the *decider*,
 * inserts the transaction's id into its table of decisions and commits, and that commit is the decision; then the others
 * COMMIT PREPARED. What a crash leaves prepared, recovery finishes by asking the decider (recovery.ts).
 *
 * One of those that prepare, the *gate holder*, also passes the gate (commit-gate.ts has the other side) and is finished last, so
 * that who holds the gates of all servers finds the transaction visible everywhere or nowhere. A transaction that wrote on one server and read
 * on others passes the gate there: what it has read must not be missing from a snapshot that shows what it wrote.
 */
import { SqlError } from '../base/errors.ts'
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import { catalogId } from '../catalog/server-address.ts'
import type { Logger } from '../observability/logger.ts'
import type { Branch, FinishVerb } from './branch.ts'
import { preparedName } from './branch.ts'
import type { Outcome, TransactionServer } from './transaction-server.ts'

export interface CommitContext {
  readonly clusterId: string
  readonly clock: Clock
  readonly log: Logger
  /** Ids of transactions that this router is committing now: recovery leaves them alone. */
  readonly inFlight: Set<string>
  readonly servers: readonly TransactionServer[]
}

export interface EndingTransaction {
  readonly id: string
  readonly database: string
  /** Its client has asked for the id: what became of it is written down even where one COMMIT would do. */
  readonly isAsked: boolean
}

/** A new id: it begins with the time at which the transaction began, so that ids compare by age. */
export function newTransactionId(clock: Clock, beganAt = clock.now()): string {
  return beganAt.toString(16).padStart(12, '0') + clock.randomHex(9)
}

/** Throws when nothing was committed, and SqlError 08007 when that is not known. Connections end idle or lost. */
export async function commitBranches(branches: readonly Branch[], transaction: EndingTransaction, context: CommitContext): Promise<void> {
  const writers = branches.filter((branch) => branch.wrote)
  const readers = branches.filter((branch) => !branch.wrote)
  if (writers.length > 1) await commitInTwoPhases(writers, transaction, context)
  else if (writers[0] !== undefined) await commitAlone(writers[0], branches.length > 1, transaction)
  else return commitReaders(readers, transaction)
  // Not before: rows that they have locked may protect what was written.
  await Promise.all(readers.map((reader) => reader.end()))
}

async function commitReaders([first, ...rest]: readonly Branch[], transaction: EndingTransaction): Promise<void> {
  if (first === undefined) return
  await commitAlone(first, false, transaction)
  await Promise.all(rest.map((reader) => reader.end()))
}

async function commitAlone(branch: Branch, throughGate: boolean, { id, isAsked }: EndingTransaction): Promise<void> {
  const decision = isAsked ? { id, others: [], isAsked } : undefined
  await branch.commit({ throughGate, decision }).catch((error: SqlError) => {
    throw isUnknown(error) ? unknownOutcome(branch) : (ofDecision(error) ?? error)
  })
}

const isUnknown = (error: SqlError) => error.code.startsWith('08')

function unknownOutcome({ server }: Branch): SqlError {
  return new SqlError('08007', `the connection to ${server.name} broke while committing: the transaction is committed on all servers or on none`)
}

async function commitInTwoPhases(writers: readonly Branch[], transaction: EndingTransaction, context: CommitContext): Promise<void> {
  const decider = chooseDecider(writers)
  const others = writers.filter((writer) => writer !== decider)
  const { id } = transaction
  const name = preparedName(context.clusterId, id, decider.server.id)
  const [gateHolder, ...rest] = others as [Branch, ...Branch[]]
  const part = { name, transaction, context }
  context.inFlight.add(id)
  try {
    await prepareAll(others, gateHolder, part) // an error here: nothing has been decided, roll back
    await decide(decider, others, part) // from this line on it is committed
    const isFinished = await finishAll(rest, 'COMMIT', part)
    if (isFinished) await finishAll([gateHolder], 'COMMIT', part) // recovery repeats what fails here, in the same order
  } finally {
    context.inFlight.delete(id)
  }
}

/** The part of the commit that all its steps know. */
interface Part {
  readonly name: string
  readonly transaction: EndingTransaction
  readonly context: CommitContext
}

/** What cannot be prepared must decide; else the catalog, else the first that wrote. */
function chooseDecider(writers: readonly Branch[]): Branch {
  const unpreparable = writers.filter((writer) => writer.cannotPrepare)
  if (unpreparable.length > 1) {
    throw new SqlError('0A000', 'cannot commit: temporary tables or notifications on two servers, and writes on others', {
      hint: 'Use transactions of their own.',
    })
  }
  return (unpreparable[0] ?? writers.find((writer) => writer.server.id === catalogId) ?? writers[0]) as Branch
}

async function prepareAll(others: readonly Branch[], gateHolder: Branch, part: Part): Promise<void> {
  const results = await Promise.allSettled(others.map((other) => other.prepare(part.name, other === gateHolder)))
  const failure = results.find((result) => result.status === 'rejected')
  if (failure === undefined) return
  await rollbackAll(others, part)
  throw failure.reason as SqlError
}

async function decide(decider: Branch, others: readonly Branch[], part: Part): Promise<void> {
  const { id, isAsked } = part.transaction
  const sentAt = part.context.clock.ticks()
  try {
    await decider.commit({ throughGate: false, decision: { id, others: others.map((other) => other.server.id), isAsked } })
  } catch (error) {
    const outcome = isUnknown(error as SqlError) ? await askDecider(decider, sentAt, part) : 'aborted'
    if (outcome === 'committed') return
    if (outcome === undefined) throw unknownOutcome(decider)
    await rollbackAll(others, part)
    throw ofDecision(error as SqlError) ?? error
  }
}

/** Somebody has decided otherwise before: recovery, which took this router for dead, or who asked what became of the transaction. */
function ofDecision({ code, fields }: SqlError): SqlError | undefined {
  if (code !== '23505' || fields.schema !== 'pgherd' || fields.table !== 'decision') return undefined
  return new SqlError('40001', 'could not serialize access: the commit took so long that it was given up', { hint: 'Try the transaction again.' })
}

/**
 * The connection broke on the way to the decision: its server can say whether it has made it, and never makes it after it has said no. Undefined when it
 * cannot be asked, or only after so long (this process was asleep) that it may have forgotten.
 */
async function askDecider(decider: Branch, sentAt: number, { transaction, context }: Part): Promise<Outcome | undefined> {
  const server = context.servers.find(({ id }) => id === decider.server.id)
  const answer = await repeat(context, async () => server?.settle(transaction.database, transaction.id))
  return context.clock.ticks() - sentAt < limits.decisionKeepMs / 2 ? answer?.outcome : undefined
}

async function rollbackAll(others: readonly Branch[], { name }: Part): Promise<void> {
  await Promise.all(others.map((other) => other.finish(name, 'ROLLBACK').catch(() => undefined))) // recovery does what fails here
}

const alreadyFinished = '42704' // another router's recovery was there first

/** False when some are left to recovery. The client is told after this, so that it finds what it wrote on every server. */
async function finishAll(others: readonly Branch[], verb: FinishVerb, part: Part): Promise<boolean> {
  const finished = await Promise.all(others.map((other) => finishOne(other, verb, part)))
  return !finished.includes(false)
}

async function finishOne(other: Branch, verb: FinishVerb, { name, transaction, context }: Part): Promise<boolean> {
  try {
    await other.finish(name, verb)
    return true
  } catch (error) {
    if ((error as SqlError).code === alreadyFinished) return true
  }
  const server = context.servers.find(({ id }) => id === other.server.id)
  const isDone = await repeat(context, async () => {
    await server?.finish(transaction.database, name, verb)
    return server !== undefined
  })
  if (isDone !== true) context.log.warn(`${verb} PREPARED '${name}' on ${other.server.name} is left to recovery`)
  return isDone === true
}

/** Tries until it succeeds or time is up; undefined then. */
async function repeat<T>({ clock }: CommitContext, attempt: () => Promise<T>): Promise<T | undefined> {
  const until = clock.ticks() + limits.finishMsMax
  for (let pauseMs: number = limits.finishRetryMsMin; ; pauseMs = Math.min(2 * pauseMs, limits.finishRetryMsMax)) {
    try {
      return await attempt()
    } catch {
      if (clock.ticks() + pauseMs > until) return undefined
    }
    await clock.sleep(pauseMs)
  }
}

/**
 * Commit over several servers.
 *
 * One writer: its COMMIT decides. Several: all but one PREPARE TRANSACTION, in parallel; then the last one, the *decider*,
 * inserts the transaction's id into its table of decisions and commits, and that commit is the decision; then the others
 * COMMIT PREPARED. What a crash leaves prepared, recovery finishes by asking the decider (recovery.ts).
 */
import { SqlError } from '../base/errors.ts'
import type { Clock } from '../base/clock.ts'
import { catalogId } from '../catalog/server-address.ts'
import type { Logger } from '../observability/logger.ts'
import { query } from '../shard/query.ts'
import type { Participant } from './transaction.ts'

export interface CommitContext {
  readonly clusterId: string
  readonly clock: Clock
  readonly log: Logger
  /** Ids of transactions that this router is committing now: recovery leaves them alone. */
  readonly inFlight: Set<string>
}

/** The name of a prepared transaction says whose it is and who decides: pgherd:<cluster>:<transaction>:<decider's server> */
export function preparedName(clusterId: string, transaction: string, decider: number): string {
  return `pgherd:${clusterId}:${transaction}:${decider}`
}

/** Throws when nothing was committed, and SqlError 08007 when that is not known. Connections end idle or lost. */
export async function commitParticipants(participants: readonly Participant[], context: CommitContext): Promise<void> {
  const writers = participants.filter((participant) => participant.wrote)
  const readers = participants.filter((participant) => !participant.wrote)
  if (writers.length > 1) await commitInTwoPhases(writers, context)
  else if (writers[0] !== undefined) await commitAlone(writers[0])
  await Promise.all(readers.map((reader) => (writers.length === 0 ? commitAlone(reader) : query(reader.connection, 'COMMIT').catch(() => reader.connection.close()))))
}

async function commitAlone({ connection, server }: Participant): Promise<void> {
  const { tag } = await query(connection, 'COMMIT').catch((error: SqlError) => {
    throw error.code.startsWith('08') ? unknownOutcome(server.name) : error
  })
  if (tag !== 'COMMIT') throw notCommitted(server.name, tag)
}

/** A server whose transaction had failed answers COMMIT with ROLLBACK, without an error. */
function notCommitted(server: string, tag: string): SqlError {
  return new SqlError('40000', `the transaction was rolled back on ${server} (it answered ${tag})`)
}

function unknownOutcome(server: string): SqlError {
  return new SqlError('08007', `the connection to ${server} broke while committing: the transaction is committed on all servers or on none`)
}

async function commitInTwoPhases(writers: readonly Participant[], context: CommitContext): Promise<void> {
  const decider = chooseDecider(writers)
  const others = writers.filter((writer) => writer !== decider)
  const id = context.clock.randomHex(12)
  const name = preparedName(context.clusterId, id, decider.server.id)
  context.inFlight.add(id)
  try {
    await prepareAll(others, name) // an error here: nothing has been decided, roll back
    await decide(decider, id, others, name) // from this line on it is committed
    await finish(others, `COMMIT PREPARED '${name}'`, context) // recovery repeats what fails here
  } finally {
    context.inFlight.delete(id)
  }
}

/** What cannot be prepared must decide; else the catalog, else the first that wrote. */
function chooseDecider(writers: readonly Participant[]): Participant {
  const unpreparable = writers.filter((writer) => writer.cannotPrepare)
  if (unpreparable.length > 1) {
    throw new SqlError('0A000', 'cannot commit: temporary tables or notifications on two servers, and writes on others', {
      hint: 'Use transactions of their own.',
    })
  }
  return (unpreparable[0] ?? writers.find((writer) => writer.server.id === catalogId) ?? writers[0]) as Participant
}

async function prepareAll(others: readonly Participant[], name: string): Promise<void> {
  const results = await Promise.allSettled(others.map(async ({ connection, server }) => {
        const { tag } = await query(connection, `PREPARE TRANSACTION '${name}'`)
        if (tag !== 'PREPARE TRANSACTION') throw notCommitted(server.name, tag)
      }))
  const failure = results.find((result) => result.status === 'rejected')
  if (failure === undefined) return
  await rollbackPrepared(others, name)
  throw failure.reason as SqlError
}

async function decide(decider: Participant, id: string, others: readonly Participant[], name: string): Promise<void> {
  try {
    await query(decider.connection, `SELECT pgherd.decide('${id}'); COMMIT`)
  } catch (error) {
    // A lost connection may have committed: only recovery can tell, by the decider's table.
    if ((error as SqlError).code.startsWith('08')) throw unknownOutcome(decider.server.name)
    await rollbackPrepared(others, name)
    throw error
  }
}

async function rollbackPrepared(others: readonly Participant[], name: string): Promise<void> {
  await Promise.all(others.map(({ connection }) => query(connection, `ROLLBACK PREPARED '${name}'`).catch(() => undefined)))
}

const alreadyFinished = '42704' // another router's recovery was there first

async function finish(others: readonly Participant[], text: string, context: CommitContext): Promise<void> {
  await Promise.all(
    others.map(({ connection, server }) =>
      query(connection, text).catch((error: SqlError) => {
        if (error.code !== alreadyFinished) context.log.warn(`${text} on ${server.name} is left to recovery: ${error.message}`)
      }),
    ),
  )
}

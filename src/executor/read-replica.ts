/**
 * A statement of a read on a replica of its shard, or not at all: what fails there before a row has gone out runs on the primary, whose
 * answer is the true one.
 */
import type { ServerAddress } from '../catalog/server-address.ts'
import type { ReplicaChoice } from '../coordination/replica-watch.ts'
import { positionText } from '../coordination/log-position.ts'
import type { Lease, Participant } from '../transaction/transaction.ts'
import type { ExecutionContext } from './context.ts'
import type { StatementEnd } from './statement-exchange.ts'
import { StatementFailure } from './statement-exchange.ts'

/** Of one session. */
export interface ReplicaReads {
  /** Undefined when the primary has to do. */
  choose(primary: ServerAddress): Promise<ReplicaChoice | undefined>
  /** Whether the block may go on without what it has on this replica. */
  mayLeave(participant: Participant): boolean
}

const canceled = '57014'

/** Undefined: nothing has come of it, and the primary has to do. Throws StatementFailure. `run` runs the statement on a lease. */
export async function readOnReplica(primary: ServerAddress, run: (lease: Lease) => Promise<StatementEnd>, context: ExecutionContext): Promise<StatementEnd | undefined> {
  const lease = await leaseReplica(primary, context)
  if (lease === undefined) return undefined
  const { transaction } = context
  try {
    return await run(lease)
  } catch (failure) {
    if (!(failure instanceof StatementFailure) || failure.sentRows || failure.error.code === canceled) throw failure
    const { participant } = lease
    const mayLeave = participant === undefined || participant.fresh || (lease.connection.isLost && context.replicas?.mayLeave(participant) === true)
    if (!mayLeave) throw failure
    if (lease.participant !== undefined) await transaction.dropFresh(lease.participant)
    return undefined
  } finally {
    if (lease.participant !== undefined) lease.participant.fresh = false
    transaction.release(lease)
  }
}

/** A transaction stays with the server that it began on. */
async function leaseReplica(primary: ServerAddress, { transaction, replicas }: ExecutionContext): Promise<Lease | undefined> {
  const known = transaction.participants.get(primary.id)
  if (known !== undefined) return known.connection.server.isReplica === true ? transaction.lease(known.connection.server) : undefined
  const choice = await replicas?.choose(primary)
  if (choice === undefined) return undefined
  const lease = await transaction.lease(choice.address).catch(() => undefined) // it cannot be reached
  return lease && { ...lease, prelude: [...lease.prelude, `SELECT pgherd.must_have_replayed('${positionText(choice.position)}')`] }
}

/**
 * Finishes what dead coordinators left prepared. Any router may do it, at any time, several at once: the lock that a pass
 * has (coordination/duty.ts) saves the work of many, and without Redis there is none.
 *
 * For each prepared transaction whose coordinator is gone: insert its id as 'aborted' at its decider. PostgreSQL's unique
 * index settles it. The insert waits for a decider still in flight; if it fails, the decider had committed: COMMIT
 * PREPARED. If it succeeds, the decider can never commit any more: ROLLBACK PREPARED. Taking a living coordinator for a
 * dead one costs that transaction, never atomicity.
 *
 * The one that holds the gate (commit.ts) is committed last, once all others are known to be.
 */
import { limits } from '../base/limits.ts'
import { settleAll } from '../base/settle-all.ts'
import { isStaleFence } from '../coordination/fences.ts'
import type { Lease } from '../coordination/locks.ts'
import { preparedPrefix, readPreparedName } from './branch.ts'
import type { CommitContext } from './commit.ts'
import type { DecisionRow, PreparedTransaction, TransactionServer } from './transaction-server.ts'

interface Left extends PreparedTransaction {
  readonly server: TransactionServer
  readonly id: string
  readonly decider: number
}

/** Throws `staleFence` when the lease is another's by now. */
export interface FenceCheck {
  check(lease: Lease): Promise<void>
}

export class Recovery {
  private readonly fences: FenceCheck
  private readonly context: CommitContext

  constructor(fences: FenceCheck, context: CommitContext) {
    this.fences = fences
    this.context = context
  }

  /**
   * One pass over all servers. What one has prepared does not wait for another's answer; servers that give none are left for the next pass.
   * False when there were such. Throws when the lease is another's by now.
   */
  async run(lease: Lease | undefined): Promise<boolean> {
    const { servers, log } = this.context
    let fence: Promise<void> | undefined
    let areAllThere = true
    await settleAll(
      servers.map(async (server) => {
        const left = await this.leftOn(server)
        if (left === undefined) areAllThere = false
        if (left === undefined || left.length === 0) return
        if (lease !== undefined) await (fence ??= this.assertNewest(lease))
        await Promise.all(left.map((one) => this.finish(one, lease).catch((error: Error) => log.warn(`recovery of ${one.name} on ${server.name}: ${error.message}`))))
      }),
    )
    return areAllThere
  }

  /** A catalog that does not answer keeps nobody from finishing what is on the shards: the decider's index makes it right. */
  private async assertNewest(lease: Lease): Promise<void> {
    await this.fences.check(lease).catch((error: Error) => {
      if (isStaleFence(error)) throw error
      this.context.log.debug(`recovery: fence not checked: ${error.message}`)
    })
  }

  /** Undefined when the server does not answer. */
  private async leftOn(server: TransactionServer): Promise<Left[] | undefined> {
    const { clusterId, inFlight } = this.context
    const prepared = await server.prepared(preparedPrefix(clusterId), limits.recoveryAgeMsMin).catch(() => undefined)
    return prepared?.flatMap((one) => {
      const read = readPreparedName(clusterId, one.name)
      return read === undefined || inFlight.has(read.id) ? [] : [{ ...one, ...read, server }]
    })
  }

  private async finish({ server, id, decider, database, name }: Left, lease: Lease | undefined): Promise<void> {
    lease?.lost.throwIfAborted()
    const decision = await this.server(decider).settle(database, id)
    const verb = decision.outcome === 'committed' ? 'COMMIT' : 'ROLLBACK'
    if (verb === 'COMMIT' && decision.others?.[0] === server.id) await this.othersFinished(decision, name)
    await server.finish(database, name, verb)
    this.context.log.info(`recovery: ${verb} PREPARED of ${id} on ${server.name}`)
  }

  /** They are being finished at the same time; one that does not answer leaves the gate's holder to the next pass. */
  private async othersFinished({ others = [] }: DecisionRow, name: string): Promise<void> {
    for (const id of others.slice(1)) {
      const other = this.server(id)
      const isPrepared = async () => (await other.prepared(name, 0)).some((one) => one.name === name)
      for (let asked = 1; await isPrepared(); asked++) {
        if (asked === limits.gateAskTimesMax) throw new Error(`${other.name} is to be finished first`)
        await this.context.clock.sleep(limits.finishRetryMsMin)
      }
    }
  }

  private server(id: number): TransactionServer {
    const server = this.context.servers.find((candidate) => candidate.id === id)
    if (server === undefined) throw new Error(`server ${id} is not known`)
    return server
  }
}

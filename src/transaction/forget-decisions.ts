/**
 * Takes decisions away that nobody can ask for any more. What is 'committed' is asked for by servers that have the transaction prepared; what is 'aborted'
 * keeps its decider from committing, as long as the transaction may be open there.
 */
import type { CommitContext } from './commit.ts'
import { limits } from '../base/limits.ts'
import { preparedPrefix, readPreparedName } from './branch.ts'
import type { DecisionRow, TransactionServer } from './transaction-server.ts'

/**
 * One pass over all servers and databases. A server that does not answer keeps its decisions, and those of transactions that it was part of; so does one that this router
 * does not know. `removed` are shards that have left the cluster, with nothing prepared.
 */
export async function forgetDecisions(context: CommitContext, removed: ReadonlySet<number> = new Set()): Promise<void> {
  for (const server of context.servers) {
    const databases = await server.databases().catch((): [] => [])
    for (const database of databases) await forgetIn(database, server, context, removed).catch((error: Error) => context.log.debug(`decisions of ${server.name}: ${error.message}`))
  }
}

async function forgetIn(database: string, server: TransactionServer, context: CommitContext, removed: ReadonlySet<number>): Promise<void> {
  // Who could still come to a decision that recovery has made had begun before it.
  const abortedBefore = await server.openSince()
  const old = await server.oldDecisions(database, { ageMs: limits.decisionKeepMs, askedAgeMs: limits.askedDecisionKeepMs, abortedBefore })
  if (old.length === 0) return
  // Asked after the rows were read: who had prepared by the time of a decision and has not now never will have again.
  const pending = new Map(await Promise.all(context.servers.map(async (other) => [other.id, await preparedOn(other, context)] as const)))
  const isOver = ({ id, others }: DecisionRow) => (others ?? [...pending.keys()]).every((other) => removed.has(other) || pending.get(other)?.has(id) === false)
  const over = old.filter((row) => row.outcome === 'aborted' || isOver(row))
  if (over.length > 0) await server.forget(database, over.map(({ id }) => id))
}

/** The ids of what a server has prepared; undefined when it does not answer. */
async function preparedOn(server: TransactionServer, { clusterId }: CommitContext): Promise<ReadonlySet<string> | undefined> {
  const prepared = await server.prepared(preparedPrefix(clusterId), 0).catch(() => undefined)
  return prepared && new Set(prepared.flatMap(({ name }) => readPreparedName(clusterId, name)?.id ?? []))
}

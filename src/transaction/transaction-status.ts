/**
 * What became of a transaction whose client knows its id: asked by a client whose connection broke in COMMIT, of any router.
 *
 * Whoever decided it has a row that says so. Where none has and the transaction is not open any more, its commit may still be on its way to
 * a server: so every server is made to say that it will never be. A no is believed for half of the time for which decisions are kept: the clock that
 * gave the id its time, this router's and the servers' may differ by as much as the other half.
 */
import { SqlError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import type { CommitContext } from './commit.ts'
import type { Outcome } from './transaction-server.ts'

/** Undefined when it is too long ago to know. `isOpen` says whether some session is still in the transaction. Throws 22023 for what is no id, 08006 when a server does not answer. */
export async function transactionStatus(id: string, database: string, isOpen: () => Promise<boolean>, context: CommitContext): Promise<Outcome | 'in progress' | undefined> {
  const begunAt = /^[0-9a-f]{30}$/.test(id) ? Number.parseInt(id.slice(0, 12), 16) : undefined
  if (begunAt === undefined) throw new SqlError('22023', `"${id}" is not the id of a transaction`, { hint: 'SELECT pgherd.transaction_id() gives the id of the transaction that it is in.' })
  const { clock } = context
  const askedAt = clock.ticks()
  const ageMs = clock.now() - begunAt
  const mayBeForgotten = () => ageMs + clock.ticks() - askedAt > limits.askedDecisionKeepMs / 2
  const answers = await Promise.allSettled(context.servers.map((server) => server.decision(database, id)))
  if (answers.some((answer) => answer.status === 'fulfilled' && answer.value?.outcome === 'committed')) return 'committed'
  if (mayBeForgotten()) return undefined
  if (context.inFlight.has(id) || (await isOpen())) return 'in progress'
  const outcomes = await Promise.all(
    context.servers.map((server) =>
      server.settle(database, id).catch((error: Error) => {
        throw new SqlError('08006', `what became of the transaction is not known: ${server.name} does not answer (${error.message})`, { hint: 'Ask again.' })
      }),
    ),
  )
  if (outcomes.some(({ outcome }) => outcome === 'committed')) return 'committed'
  // This process may have been asleep meanwhile.
  return mayBeForgotten() ? undefined : 'aborted'
}

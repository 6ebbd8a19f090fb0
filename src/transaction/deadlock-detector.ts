/**
 * Finds deadlocks that no single server can see: transactions that wait for each other on different shards.
 *
 * Each server says which of its backends wait for which (pg_blocking_pids). Backends are joined to this router's transactions;
 * a cycle of transactions is a deadlock. It is asked for twice, since the servers answer at different moments, and only what
 * both answers show counts. The youngest of the cycle is cancelled, and its client gets 40P01.
 */
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import { withAdmin } from '../coordination/admin-client.ts'
import type { Logger } from '../observability/logger.ts'
import type { Transaction } from './transaction.ts'

type Edge = readonly [waiting: Transaction, blocking: Transaction]

export class DeadlockDetector {
  private readonly servers: readonly ServerAddress[]
  private readonly credentials: Credentials
  private readonly transactions: ReadonlySet<Transaction>
  private readonly log: Logger
  private running = false

  constructor(servers: readonly ServerAddress[], credentials: Credentials, transactions: ReadonlySet<Transaction>, log: Logger) {
    this.servers = servers
    this.credentials = credentials
    this.transactions = transactions
    this.log = log
  }

  /** One pass. Costs nothing while fewer than two transactions over several servers have something under way. */
  async run(): Promise<void> {
    const suspects = [...this.transactions].filter((one) => one.participants.size + one.asks.size > 1 && one.isBusy)
    if (this.running || suspects.length < 2) return
    this.running = true
    try {
      const first = await this.edges()
      if (findCycle(first) === undefined) return
      const second = await this.edges()
      const both = second.filter(([waiting, blocking]) => first.some((edge) => edge[0] === waiting && edge[1] === blocking))
      const cycle = findCycle(both)
      if (cycle === undefined) return
      const youngest = cycle.reduce((a, b) => (a.serial > b.serial ? a : b))
      this.log.info(`deadlock across shards: cancelling one of ${cycle.length} transactions`)
      youngest.cancelAsVictim()
    } catch (error) {
      this.log.debug(`deadlocks: ${(error as Error).message}`)
    } finally {
      this.running = false
    }
  }

  private async edges(): Promise<Edge[]> {
    const owners = new Map<string, Transaction>()
    for (const transaction of this.transactions) {
      for (const { server, connection } of transaction.participants.values()) owners.set(`${server.id}:${connection.backendPid}`, transaction)
      for (const connection of transaction.asks) owners.set(`${connection.server.id}:${connection.backendPid}`, transaction)
    }
    const answers = await Promise.all(
      this.servers.map((server) =>
        withAdmin(server, 'postgres', this.credentials, async (client) => {
          const { rows } = await client.query<{ pid: number; blocking: number[] }>(
            `SELECT pid, pg_blocking_pids(pid) AS blocking FROM pg_stat_activity WHERE wait_event_type = 'Lock'`,
          )
          return rows.flatMap(({ pid, blocking }): Edge[] => {
            const waiting = owners.get(`${server.id}:${pid}`)
            return blocking.flatMap((other): Edge[] => {
              const holder = owners.get(`${server.id}:${other}`)
              return waiting === undefined || holder === undefined || waiting === holder ? [] : [[waiting, holder]]
            })
          })
        }).catch((): Edge[] => []),
      ),
    )
    return answers.flat()
  }
}

/** The members of some cycle, or undefined. */
export function findCycle<T>(edges: readonly (readonly [T, T])[]): T[] | undefined {
  const next = new Map<T, T[]>()
  for (const [from, to] of edges) next.set(from, [...(next.get(from) ?? []), to])
  const done = new Set<T>()
  const visit = (node: T, path: readonly T[]): T[] | undefined => {
    const at = path.indexOf(node)
    if (at >= 0) return path.slice(at)
    if (done.has(node)) return undefined
    for (const other of next.get(node) ?? []) {
      const cycle = visit(other, [...path, node])
      if (cycle !== undefined) return cycle
    }
    done.add(node)
    return undefined
  }
  for (const node of next.keys()) {
    const cycle = visit(node, [])
    if (cycle !== undefined) return cycle
  }
  return undefined
}

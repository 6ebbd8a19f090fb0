/**
 * Finds deadlocks that no single server can see: sessions that wait for each other on different servers, through any routers.
 *
 * A *suspect* is a transaction of this router on more than one connection that has had something under way for a while. A pass with suspects:
 * ask their servers whether they wait for a lock; tell the other routers of those who do, and hear of theirs; if all of
 * them may be in a cycle, ask all their servers who waits for whom (wait-graph.ts finds the cycles). A victim of a cycle counts when two
 * more looks show that all its waits were there at one moment. Its own router cancels it, and its client gets 40P01.
 * A pass without suspects asks nobody.
 */
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import type { Logger } from '../observability/logger.ts'
import { ServerWaits } from './server-waits.ts'
import { Suspect } from './suspect.ts'
import { ToldWaits } from './told-waits.ts'
import type { Transaction } from './transaction.ts'
import type { ServerProcess, Victim, Wait, WaitingTransaction } from './wait-graph.ts'
import { findVictims, lastingWaits, mayBeDeadlocked, processNode } from './wait-graph.ts'

interface DetectorOptions {
  readonly catalog: ServerAddress
  /** Which there are now. */
  readonly shards: () => readonly ServerAddress[]
  readonly clusterId: string
  readonly credentials: Credentials
  readonly transactions: ReadonlySet<Transaction>
  readonly clock: Clock
  readonly log: Logger
}

/** A suspect that waits for a lock, and what others are told of it. */
interface Waiter {
  readonly suspect: Suspect
  readonly told: WaitingTransaction
}

export class DeadlockDetector {
  private readonly options: DetectorOptions
  private readonly servers = new Map<string, ServerWaits>()
  private readonly others: ToldWaits
  private running: Promise<void> | undefined
  private suspectedAt = 0

  constructor(options: DetectorOptions) {
    const { catalog, credentials, clock } = options
    this.options = options
    this.others = new ToldWaits(catalog, credentials, clock)
  }

  /** One pass. Does not fail. */
  run(): Promise<void> {
    this.running ??= this.pass()
      .catch((error: Error) => this.options.log.warn(`deadlocks: ${error.message}`))
      .finally(() => (this.running = undefined))
    return this.running
  }

  async stop(): Promise<void> {
    await this.running
    await this.exchange([])
    this.closeConnections()
  }

  private async pass(): Promise<void> {
    const { transactions, clock } = this.options
    const suspects = [...transactions].flatMap((transaction) => Suspect.of(transaction, clock) ?? [])
    if (suspects.length === 0) return this.rest()
    this.suspectedAt = clock.ticks()
    const own = await this.waiters(suspects)
    const others = await this.exchange(own)
    const known = [...own.map(({ told }) => told), ...others]
    if (own.length > 0 && mayBeDeadlocked(known)) await this.endDeadlocks(own, known)
  }

  private async endDeadlocks(own: readonly Waiter[], known: readonly WaitingTransaction[]): Promise<void> {
    const ids = new Set(own.map(({ told }) => told.id))
    const victimsOf = (waits: readonly Wait[]) => findVictims(known, waits).filter(({ id }) => ids.has(id))
    const first = await this.observe(known)
    if (victimsOf(first).length === 0) return
    const middle = await this.observe(known)
    const last = await this.observe(known)
    const repeated = new Set(known.flatMap(({ waits }) => waits.filter(({ since }) => since === undefined).map(processNode)))
    for (const victim of victimsOf(lastingWaits(first, middle, last, repeated))) this.cancel(victim, own)
  }

  /** What has moved on in the meantime is left alone. */
  private cancel({ id, cycle }: Victim, own: readonly Waiter[]): void {
    const suspect = own.find(({ told }) => told.id === id)?.suspect
    if (suspect?.isUnchanged !== true) return
    this.options.log.info(`deadlock over several servers: cancelling transaction ${id} (${cycle.join(' waits for ')})`)
    suspect.cancel()
  }

  private async waiters(suspects: readonly Suspect[]): Promise<Waiter[]> {
    const pids = pidsByServer(suspects.flatMap(({ processes }) => processes))
    const observed = await this.askServers(pids.keys(), (server) => server.behind(pids.get(server.id) ?? []))
    const byNode = new Map(observed.map((wait) => [processNode(wait), wait]))
    return suspects.flatMap((suspect) => {
      const told = suspect.isUnchanged ? suspect.waiting(byNode) : undefined
      return told === undefined ? [] : [{ suspect, told }]
    })
  }

  /** Waits that begin again and again mean something to their own router alone. Without the catalog this router knows of its own. */
  private async exchange(own: readonly Waiter[]): Promise<readonly WaitingTransaction[]> {
    try {
      await this.others.tell(own.filter(({ suspect }) => !suspect.repeats).map(({ told }) => told))
      return own.length === 0 ? [] : await this.others.read()
    } catch (error) {
      this.options.log.debug(`waits of other routers: ${(error as Error).message}`)
      return []
    }
  }

  private observe(known: readonly WaitingTransaction[]): Promise<Wait[]> {
    return this.askServers(pidsByServer(known.flatMap(({ waits, keeps }) => [...waits, ...keeps])).keys(), (server) => server.all())
  }

  /** Of a server that does not answer no wait is known; the others' are. */
  private async askServers(ids: Iterable<number>, ask: (server: ServerWaits) => Promise<readonly Wait[]>): Promise<Wait[]> {
    const { catalog, shards } = this.options
    const wanted = new Set(ids)
    const servers = [catalog, ...shards()].filter(({ id }) => wanted.has(id))
    const answers = await Promise.all(servers.map((server) => ask(this.waitsOf(server)).catch(() => [])))
    return answers.flat()
  }

  private waitsOf(server: ServerAddress): ServerWaits {
    const { clusterId, credentials, clock } = this.options
    const place = `${server.id} ${server.host}:${server.port}`
    const known = this.servers.get(place) ?? new ServerWaits(server, clusterId, credentials, clock)
    this.servers.set(place, known)
    return known
  }

  private async rest(): Promise<void> {
    await this.exchange([])
    if (this.options.clock.ticks() - this.suspectedAt > limits.deadlockIdleMs) this.closeConnections()
  }

  private closeConnections(): void {
    for (const server of this.servers.values()) server.close()
    this.servers.clear()
    this.others.close()
  }
}

function pidsByServer(processes: readonly ServerProcess[]): Map<number, number[]> {
  const pids = new Map<number, number[]>()
  for (const { server, pid } of processes) pids.set(server, [...(pids.get(server) ?? []), pid])
  return pids
}

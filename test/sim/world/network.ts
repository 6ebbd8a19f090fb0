/**
 * Messages between processes. The order within a connection is kept; a message may be late, and a connection may be cut before or
 * after any of them. Each end learns of a cut by itself, some time later.
 */
import { connectionLost } from '../../../src/base/errors.ts'
import type { Random } from '../../support/random.ts'
import type { Process } from './process.ts'
import type { Scheduler } from './scheduler.ts'
import type { Trace } from './trace.ts'

/** In how many of a thousand messages. */
export interface NetworkFaults {
  cutPerMille: number
  latePerMille: number
  lateMsMax: number
}

/** Something happens to a process as it sends a message: the one after `left` others that begin so. */
export interface Trap {
  readonly process: Process
  readonly of: string
  left: number
  readonly isCut: boolean
  readonly spring: () => void
}

/** What listens at the other end of a connection. */
export interface Peer {
  readonly process: Process
  /** False while nobody listens there. */
  readonly isUp: boolean
}

/** The server's end of one connection. */
export interface Endpoint {
  /** Nobody is there to get what is still on its way. */
  readonly isGone: boolean
  close(): void
}

export class Network {
  faults: NetworkFaults = { cutPerMille: 0, latePerMille: 0, lateMsMax: 0 }
  private readonly scheduler: Scheduler
  private readonly random: Random
  private readonly trace: Trace
  private trap: Trap | undefined
  private readonly blocked = new Map<string, number>()
  private readonly connections = new Map<Process, Set<Wire>>()

  constructor(scheduler: Scheduler, random: Random, trace: Trace) {
    this.scheduler = scheduler
    this.random = random
    this.trace = trace
  }

  connect<E extends Endpoint>(client: Process, peer: Peer, accept: () => E): Connection<E> {
    const connection = new Connection(this, client, peer, accept)
    for (const process of [client, peer.process]) {
      const known = this.connections.get(process) ?? new Set()
      this.connections.set(process, known.add(connection))
    }
    return connection
  }

  /** For so long no message comes through between the two. */
  block(a: Process, b: Process, ms: number): void {
    this.blocked.set(`${a.name} ${b.name}`, this.scheduler.now + ms)
  }

  setTrap(trap: Trap | undefined): void {
    this.trap = trap
  }

  heal(): void {
    this.blocked.clear()
    this.faults = { cutPerMille: 0, latePerMille: 0, lateMsMax: 0 }
  }

  /** The process is gone: its connections break. */
  breakAll(process: Process): void {
    for (const connection of this.connections.get(process) ?? []) connection.cut()
    this.connections.delete(process)
  }

  delayMs(from: Process, to: Process): number {
    const { latePerMille, lateMsMax } = this.faults
    let ms = 0.1 + this.random.below(1000) / 500
    if (latePerMille > 0 && this.random.below(1000) < latePerMille) ms += this.random.below(lateMsMax)
    const until = Math.max(this.blocked.get(`${from.name} ${to.name}`) ?? 0, this.blocked.get(`${to.name} ${from.name}`) ?? 0)
    return Math.max(ms, until - this.scheduler.now + ms)
  }

  /** How long an end goes on not knowing that its connection is cut. */
  noticeMs(): number {
    return this.random.chance(80) ? this.random.below(10) : this.random.below(2_000)
  }

  /** How long a message is on its way that outlives its connection. */
  stuckMs(): number {
    return this.random.chance(30) ? this.random.below(1_000) : 0
  }

  /** Before the request is delivered, while it is on its way and arrives all the same, or before the reply is. */
  drawCut(): 'before' | 'during' | 'after' | undefined {
    const { cutPerMille } = this.faults
    if (cutPerMille === 0 || this.random.below(1000) >= cutPerMille) return undefined
    return this.random.pick(['before', 'during', 'after'] as const)
  }

  /** The trap that this message is caught in. */
  spring(process: Process, label: string): 'after' | 'sent' | undefined {
    const { trap } = this
    if (trap?.process !== process || !label.startsWith(trap.of) || trap.left-- > 0) return undefined
    this.trap = undefined
    trap.spring()
    return trap.isCut ? 'after' : 'sent'
  }

  get time(): number {
    return this.scheduler.now
  }

  log(line: () => string): void {
    this.trace.add(line)
  }

  forget(connection: Wire, ...processes: readonly Process[]): void {
    for (const process of processes) this.connections.get(process)?.delete(connection)
  }
}

export interface Wire {
  cut(): void
}

/** One connection of a client process: one request at a time. */
export class Connection<E extends Endpoint> implements Wire {
  /** The client's end knows that it is gone. */
  isLost = false
  private isCut = false
  private readonly network: Network
  private readonly client: Process
  private readonly peer: Peer
  private readonly accept: () => E
  private endpoint: E | undefined
  private fail: ((error: Error) => void) | undefined
  private sentUntil = 0

  constructor(network: Network, client: Process, peer: Peer, accept: () => E) {
    this.network = network
    this.client = client
    this.peer = peer
    this.accept = accept
  }

  /** Throws what the work throws, and 08006 when the connection breaks. */
  request<T>(label: string, work: (endpoint: E) => Promise<T>): Promise<T> {
    const { network, client, peer } = this
    if (this.isLost || this.isCut) return this.isLost ? Promise.reject(this.error()) : new Promise((_, reject) => (this.fail = reject))
    return new Promise<T>((resolve, reject) => {
      this.fail = reject
      network.log(() => `${client.name} -> ${peer.process.name}: ${label}`)
      const cut = network.spring(client, label) ?? network.drawCut()
      if (cut === 'before') {
        network.log(() => `cut: ${client.name} -> ${peer.process.name} before ${label} was delivered`)
        this.cut()
        return
      }
      const arrived = () => {
        if (!peer.isUp) return this.cut()
        if (this.endpoint === undefined ? this.isCut : this.endpoint.isGone) return this.cut()
        const endpoint = (this.endpoint ??= this.accept())
        const reply = (settle: () => void) => {
          if (this.isCut) return
          if (cut === 'after') {
            network.log(() => `cut: ${client.name} -> ${peer.process.name}, the reply to ${label} is lost`)
            return this.cut()
          }
          client.after(this.inOrder(network.delayMs(peer.process, client)), () => !this.isLost && settle())
        }
        work(endpoint).then(
          (value) => reply(() => resolve(value)),
          (error: Error) => {
            network.log(() => `${peer.process.name}: ${label} of ${client.name}: ${error.message}`)
            reply(() => reject(error))
          },
        )
      }
      const delay = network.delayMs(client, peer.process) + (cut === 'during' ? network.stuckMs() : 0)
      peer.process.after(this.inOrder(delay), arrived)
      if (cut !== 'during') return
      network.log(() => `cut: ${client.name} -> ${peer.process.name}, and ${label} is on its way`)
      this.cut()
    })
  }

  /** The client closes it; the server hears of it later. */
  close(): void {
    this.cut()
    this.lose()
  }

  /** Nothing is open on it, and nobody will use it again. */
  leave(): void {
    this.network.forget(this, this.client, this.peer.process)
  }

  cut(): void {
    if (this.isCut) return
    this.isCut = true
    const { network, client, peer } = this
    network.forget(this, client, peer.process)
    client.after(network.noticeMs(), () => this.lose())
    peer.process.after(this.inOrder(network.noticeMs()), () => this.endpoint?.close())
  }

  private lose(): void {
    this.isLost = true
    this.fail?.(this.error())
  }

  private error() {
    return connectionLost(this.peer.process.name, 'it was cut')
  }

  /** No message overtakes an earlier one. */
  private inOrder(ms: number): number {
    this.sentUntil = Math.max(this.sentUntil, this.network.time + ms)
    return this.sentUntil - this.network.time
  }
}

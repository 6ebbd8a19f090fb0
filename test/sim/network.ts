/**
 * Messages between processes and servers: each takes its time; a connection may break before a request arrives, or before its answer does; a process may
 * not reach a server for a while. Who waits for an answer that does not come is told that the connection is broken (08006).
 */
import type { SimProcess } from './node-process.ts'
import type { Scheduler } from './scheduler.ts'

/** Of a connection, or of one question of the control plane. */
export class SimConnection {
  /** Of the server that it is to. */
  life: number | undefined
  isBroken = false
  /** The server has noticed. */
  isClosed = false
}

export interface SimServer {
  readonly isUp: boolean
  readonly life: number
  disconnect(session: object): void
}

export interface NetworkOptions {
  readonly delayMsMax: number
  /** Of a hundred requests so many are lost with their connection, and so many answers. */
  readonly cutBefore: number
  readonly cutAfter: number
}

export class ConnectionBroken extends Error {
  readonly code = '08006'
  readonly fields = { code: '08006' }
}

export class Network {
  private readonly scheduler: Scheduler
  private options: NetworkOptions
  private readonly unreachable = new Set<string>()
  private readonly waiting = new Map<SimServer, Set<() => void>>()

  constructor(scheduler: Scheduler, options: NetworkOptions) {
    this.scheduler = scheduler
    this.options = options
  }

  /** Faults are over. */
  heal(): void {
    this.options = { ...this.options, cutBefore: 0, cutAfter: 0 }
    this.unreachable.clear()
  }

  part(process: SimProcess, server: number, ms: number): void {
    const key = `${process.name} ${server}`
    this.unreachable.add(key)
    this.scheduler.after(ms, () => this.unreachable.delete(key))
  }

  /** Everybody who waits for the server hears in time that it is gone. */
  serverDied(server: SimServer): void {
    for (const broken of this.waiting.get(server) ?? []) this.scheduler.after(this.delay(), broken)
    this.waiting.delete(server)
  }

  async call<T>(process: SimProcess, id: number, server: SimServer, connection: SimConnection, request: () => Promise<T> | T): Promise<T> {
    const { scheduler } = this
    return new Promise((resolve, reject) => {
      let isOver = false
      const over = (act: () => void) => {
        if (isOver) return
        isOver = true
        this.waiting.get(server)?.delete(broken)
        process.deliver(act)
      }
      const broken = () => {
        connection.isBroken = true
        over(() => reject(new ConnectionBroken('the connection is broken')))
      }
      /** The server notices that nobody is there. */
      const close = () => {
        if (connection.isClosed) return
        connection.isClosed = true
        if (server.isUp) server.disconnect(connection)
      }
      const breakSoon = () => {
        scheduler.after(this.delay(), close)
        scheduler.after(this.delay(), broken)
      }
      process.whenEnded(() => scheduler.after(this.delay(), close))
      if (connection.isBroken || this.unreachable.has(`${process.name} ${id}`) || scheduler.random.below(1000) < this.options.cutBefore * 10) return breakSoon()
      const losesAnswer = scheduler.random.below(1000) < this.options.cutAfter * 10
      scheduler.after(this.delay(), () => {
        connection.life ??= server.life
        if (!server.isUp || connection.isClosed || connection.life !== server.life) return void scheduler.after(this.delay(), broken)
        const set = this.waiting.get(server) ?? new Set()
        this.waiting.set(server, set.add(broken))
        const answer = (act: () => void) => {
          if (losesAnswer) breakSoon()
          else scheduler.after(this.delay(), () => over(act))
        }
        void (async () => request())().then(
          (result) => answer(() => resolve(result)),
          (error: unknown) => answer(() => reject(error as Error)),
        )
      })
    })
  }

  private delay(): number {
    return this.scheduler.between(0.05, this.options.delayMsMax)
  }
}

/**
 * A TCP proxy between a router and a server that knows the protocol: at a chosen message, in either direction, it cuts the
 * connection, holds it, or drops what follows. It can also keep the server away from everybody.
 */
import net from 'node:net'
import type { FaultPlan } from './fault.ts'
import { ArmedFault } from './fault.ts'
import { ProxiedConnection } from './proxied-connection.ts'
import type { Message } from './read-message.ts'

export interface Recording {
  readonly messages: readonly Message[]
}

export class FaultProxy {
  readonly port: number
  private readonly listener: net.Server
  private readonly connections = new Set<ProxiedConnection>()
  private readonly faults = new Set<ArmedFault>()
  private readonly recorders = new Set<(message: Message, connection: object) => void>()
  private isAway = false

  private constructor(listener: net.Server, port: number) {
    this.listener = listener
    this.port = port
  }

  /** Listens on a free port of 127.0.0.1. */
  static async start(serverPort: number): Promise<FaultProxy> {
    const listener = net.createServer((client) => proxy.serve(client, serverPort))
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
    const proxy: FaultProxy = new FaultProxy(listener, (listener.address() as net.AddressInfo).port)
    return proxy
  }

  arm(plan: FaultPlan): ArmedFault {
    const fault = new ArmedFault(plan)
    this.faults.add(fault)
    return fault
  }

  disarm(fault: ArmedFault): void {
    this.faults.delete(fault)
  }

  /** Messages of the connection on which the marker is sent, from there on, until `stop` is called; if it is sent again on another, then of that one. */
  record(marker: string): Recording & { stop(): void } {
    const messages: Message[] = []
    let marked: object | undefined
    const recorder = (message: Message, connection: object) => {
      if (marked === connection) messages.push(message)
      else if (message.direction === 'frontend' && message.text.includes(marker)) marked = connection
    }
    this.recorders.add(recorder)
    return { messages, stop: () => void this.recorders.delete(recorder) }
  }

  /** All connections break, and nobody gets a new one until `comeBack`. */
  goAway(): void {
    this.isAway = true
    for (const connection of this.connections) connection.cut()
  }

  comeBack(): void {
    this.isAway = false
  }

  stop(): void {
    this.listener.close()
    this.faults.clear()
    for (const connection of this.connections) connection.cut()
  }

  private serve(client: net.Socket, serverPort: number): void {
    if (this.isAway) {
      client.on('error', () => undefined)
      client.destroy()
      return
    }
    const connection: ProxiedConnection = new ProxiedConnection(
      client,
      serverPort,
      (message, victim) => {
        for (const recorder of this.recorders) recorder(message, victim)
        const fault = [...this.faults].find((one) => one.isAt(message, victim))
        if (fault !== undefined) this.faults.delete(fault)
        return fault
      },
      () => this.connections.delete(connection),
    )
    this.connections.add(connection)
  }
}

/**
 * A TCP proxy in front of a server that stops at a chosen text: before the server gets it, or after it has done it and before
 * the router hears of it. Whoever waits for that can then kill the router, or the server, exactly there.
 */
import net from 'node:net'

export type When = 'before' | 'after'

interface Hold {
  readonly text: string
  readonly when: When
  readonly reached: () => void
}

export class HoldingProxy {
  readonly port: number
  private readonly server: net.Server
  private readonly sockets = new Set<net.Socket>()
  private readonly holds = new Set<Hold>()

  private constructor(server: net.Server, port: number) {
    this.server = server
    this.port = port
  }

  static async start(target: number): Promise<HoldingProxy> {
    const server = net.createServer((client) => proxy.serve(client, target))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const proxy: HoldingProxy = new HoldingProxy(server, (server.address() as net.AddressInfo).port)
    return proxy
  }

  /** Resolves when a client's message with this text has come. Nothing goes on on that connection from there. */
  hold(text: string, when: When): Promise<void> {
    return new Promise((reached) => this.holds.add({ text, when, reached }))
  }

  release(): void {
    this.holds.clear()
  }

  stop(): void {
    this.server.close()
    for (const socket of this.sockets) socket.destroy()
  }

  private serve(client: net.Socket, target: number): void {
    const upstream = net.connect(target, '127.0.0.1')
    for (const [socket, other] of [[client, upstream], [upstream, client]] as const) {
      this.sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => other.destroy())
      socket.on('close', () => {
        this.sockets.delete(socket)
        other.destroy()
      })
    }
    let held: When | undefined
    let tail = ''
    client.on('data', (chunk) => {
      if (held !== undefined) return
      // A text may come in two parts; one that had come whole before does not count.
      const seen = tail + chunk.toString('latin1')
      const before = tail.length
      tail = seen.slice(-200)
      const hold = [...this.holds].find((one) => seen.includes(one.text, Math.max(0, before - one.text.length + 1)))
      if (hold === undefined) {
        upstream.write(chunk)
        return
      }
      this.holds.delete(hold)
      held = hold.when
      if (held === 'before') hold.reached()
      else {
        upstream.once('data', () => hold.reached())
        upstream.write(chunk)
      }
    })
    upstream.on('data', (chunk) => {
      if (held === undefined) client.write(chunk)
    })
  }
}

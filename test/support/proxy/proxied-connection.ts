/**
 * One connection through the fault proxy: two sockets, each read frame by frame, so that a fault falls between two messages and
 * never into one.
 */
import net from 'node:net'
import { FrameReader } from '../../../src/protocol/frame-reader.ts'
import type { ArmedFault, Victim } from './fault.ts'
import type { Direction, Message } from './read-message.ts'
import { readMessage } from './read-message.ts'
import { StartupReader } from './startup-reader.ts'

const frameBytesMax = 2 ** 30

/** Gives the fault that is to happen at this message. */
export type Watcher = (message: Message, connection: Victim) => ArmedFault | undefined

export class ProxiedConnection implements Victim {
  private readonly client: net.Socket
  private readonly server: net.Socket
  private readonly watcher: Watcher
  private state: 'open' | 'held' | 'lost' = 'open'
  /** While it is held: what is to be done when it is released, in order. */
  private waiting: (() => void)[] = []

  constructor(client: net.Socket, serverPort: number, watcher: Watcher, onClosed: () => void) {
    this.client = client
    this.server = net.connect(serverPort, '127.0.0.1')
    this.watcher = watcher
    const start = new StartupReader()
    const frontend = this.reader('frontend')
    const backend = this.reader('backend')
    client.on('data', (chunk) => {
      const { raw, frames } = start.frontend(chunk)
      if (raw.length > 0) this.go(() => this.server.write(raw))
      if (frames.length > 0) frontend.push(frames)
    })
    this.server.on('data', (chunk) => {
      const { raw, frames } = start.backend(chunk)
      if (raw.length > 0) this.go(() => this.client.write(raw))
      if (frames.length > 0) backend.push(frames)
    })
    let open = 2
    for (const [socket, other] of [[client, this.server], [this.server, client]] as const) {
      socket.setNoDelay(true)
      socket.on('error', () => undefined) // 'close' follows
      socket.on('close', () => {
        if (--open === 0) onClosed()
        this.go(() => other.destroySoon())
      })
    }
  }

  /** What was held goes on, in its order; a fault among it happens. */
  release(): void {
    if (this.state !== 'held') return
    this.state = 'open'
    const waiting = this.waiting
    this.waiting = []
    for (const step of waiting) this.go(step)
  }

  cut(): void {
    this.state = 'lost'
    this.waiting = []
    // What has been passed on is still delivered.
    this.client.destroySoon()
    this.server.destroySoon()
  }

  private reader(direction: Direction): FrameReader {
    return new FrameReader((type, buffer, start, end) => {
      const frame = Buffer.from(buffer.subarray(start - 5, end)) // the reader's buffer is used again
      const message = readMessage(direction, type, frame.subarray(5))
      this.go(() => this.pass(message, frame))
    }, frameBytesMax)
  }

  private go(step: () => void): void {
    if (this.state === 'open') step()
    else if (this.state === 'held') this.waiting.push(step)
  }

  private pass(message: Message, frame: Buffer): void {
    const forward = () => void (message.direction === 'frontend' ? this.server : this.client).write(frame)
    const fault = this.watcher(message, this)
    if (fault === undefined) return forward()
    if (fault.plan.when === 'after') forward()
    this.suffer(fault)
    if (fault.plan.when === 'before') this.go(forward)
    fault.happen(this)
  }

  private suffer({ plan }: ArmedFault): void {
    if (plan.action === 'cut') this.cut()
    else this.state = plan.action === 'hold' ? 'held' : 'lost'
  }
}

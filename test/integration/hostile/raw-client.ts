/**
 * A client that sends whatever bytes a test wants, and checks that what comes back are whole messages of the protocol.
 *
 * It waits for messages or for the end, never for a time: a wait that is never fulfilled fails by the test's own limit.
 */
import net from 'node:net'
import { startUp } from './messages.ts'

export interface Answer {
  readonly type: string
  readonly payload: Buffer
}

/** All that a server may send after the start-up exchange, COPY included. */
const backendTypes = '123ACDEGHIKNRSTVWZcdnstv'

export class RawClient {
  readonly socket: net.Socket
  answers: Answer[] = []
  /** Why the answers so far are not the protocol; undefined while they are. */
  violation: string | undefined
  closed = false
  private buffer: Buffer = Buffer.alloc(0)
  private readonly watchers = new Set<() => void>()

  private constructor(socket: net.Socket) {
    this.socket = socket
    socket.on('data', (chunk) => this.receive(chunk))
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.closed = true
      this.wake()
    })
  }

  /** A socket, and nothing sent. */
  static open(port: number): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
      socket.once('error', reject)
      socket.once('connect', () => resolve(new RawClient(socket)))
    })
  }

  /** Logged in, the answers to that already taken. Throws what the server said if it did not let us in. */
  static async logIn(port: number, database: string, options: Readonly<Record<string, string>> = {}): Promise<RawClient> {
    const client = await RawClient.open(port)
    client.send(startUp(database, options))
    const answers = await client.untilReady()
    const refusal = answers.find(({ type }) => type === 'E')
    if (refusal !== undefined || client.closed) throw new Error(refusal === undefined ? 'closed at log-in' : errorField(refusal, 'M'))
    return client
  }

  send(...messages: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(messages))
  }

  /** Resolves once `condition` holds of what has come; it is looked at again after each arrival, and after the end. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (!condition()) return
        this.watchers.delete(look)
        resolve()
      }
      this.watchers.add(look)
      look()
    })
  }

  untilClosed(): Promise<void> {
    return this.until(() => this.closed)
  }

  /** Takes the answers up to ReadyForQuery, or all there are when the connection ends before. */
  async untilReady(): Promise<Answer[]> {
    await this.until(() => this.closed || this.answers.some(({ type }) => type === 'Z'))
    const at = this.answers.findIndex(({ type }) => type === 'Z')
    return this.answers.splice(0, at < 0 ? this.answers.length : at + 1)
  }

  /** Takes the answers up to one of this type. */
  async untilType(wanted: string): Promise<Answer[]> {
    await this.until(() => this.closed || this.answers.some(({ type }) => type === wanted))
    return this.answers.splice(0, this.answers.findIndex(({ type }) => type === wanted) + 1)
  }

  /** The one byte that answers an SSLRequest or GSSENCRequest, which is no message. */
  async untilByte(): Promise<string> {
    await this.until(() => this.closed || this.buffer.length > 0)
    const byte = this.buffer.toString('latin1', 0, 1)
    this.buffer = this.buffer.subarray(1)
    return byte
  }

  ask(...messages: readonly Buffer[]): Promise<Answer[]> {
    this.send(...messages)
    return this.untilReady()
  }

  /** Breaks the connection off with a reset, as a crash of the client's machine would. */
  destroy(): void {
    this.socket.resetAndDestroy()
  }

  private receive(chunk: Buffer): void {
    this.buffer = this.buffer.length === 0 ? chunk : Buffer.concat([this.buffer, chunk])
    let at = 0
    while (this.buffer.length - at >= 5) {
      const type = this.buffer.toString('latin1', at, at + 1)
      const length = this.buffer.readInt32BE(at + 1)
      if (!backendTypes.includes(type) || length < 4) {
        this.violation ??= `${JSON.stringify(type)} with length ${length}`
        this.socket.destroy()
        return
      }
      if (this.buffer.length - at < length + 1) break
      this.answers.push({ type, payload: Buffer.from(this.buffer.subarray(at + 5, at + 1 + length)) })
      at += length + 1
    }
    this.buffer = this.buffer.subarray(at)
    this.wake()
  }

  private wake(): void {
    for (const look of this.watchers) look()
  }
}

/** A field of an ErrorResponse: S severity, C code, M message. */
export function errorField(answer: Answer, field: string): string {
  const part = answer.payload.toString().split('\0').find((one) => one.startsWith(field))
  return part?.slice(1) ?? ''
}

export const types = (answers: readonly Answer[]): string => answers.map(({ type }) => type).join('')

/** The codes of the errors among the answers. */
export const codes = (answers: readonly Answer[]): string[] => answers.filter(({ type }) => type === 'E').map((answer) => errorField(answer, 'C'))

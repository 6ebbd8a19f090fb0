/**
 * One connection to one PostgreSQL server: a queue of exchanges over a socket.
 *
 * Bytes come in through one preallocated buffer per connection (`onread`), and everything that is sent in one turn of the
 * event loop goes out as one write.
 */
import net from 'node:net'
import type { Clock } from '../base/clock.ts'
import { flushAtEndOfTurn } from '../base/end-of-turn.ts'
import { connectionLost, SqlError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import { readServerError } from './server-error.ts'
import { FrameReader } from '../protocol/frame-reader.ts'
import { MessageWriter } from '../protocol/message-writer.ts'
import { Backend } from '../protocol/message-types.ts'
import type { FieldDescription } from '../protocol/row-description.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import { md5Password, ScramClient } from './authentication.ts'
import type { Exchange } from './exchange.ts'
import { txIdle } from './exchange.ts'

export interface ConnectOptions {
  readonly server: ServerAddress
  readonly user: string
  readonly database: string
  readonly password?: string | undefined
  readonly parameters?: Readonly<Record<string, string>>
  readonly clock: Clock
  /** Connecting and logging in take no longer. */
  readonly answerMsMax?: number | undefined
}

export interface RequestWriter {
  write(writer: MessageWriter): void
}

/** A statement that a connection holds. */
export interface PreparedOnServer {
  readonly name: string
  /** Of its rows, once the server has told: while it holds the statement it gives no others (PostgreSQL fails instead). */
  columns: readonly FieldDescription[] | undefined
}

export class Connection {
  readonly server: ServerAddress
  /** Values that the server reports (ParameterStatus). */
  readonly reported = new Map<string, string>()
  /** Statements prepared here, by their keys. Oldest first. */
  readonly prepared = new Map<string, PreparedOnServer>()
  /** The settings applied here, as SET statements by name; undefined when that is not known. */
  settings: ReadonlyMap<string, string> | undefined = new Map()
  backendPid = 0
  secret = Buffer.alloc(0)
  txStatus = txIdle
  /** A cancel request on its way: what runs next here must wait for it, or it would be what is cancelled. */
  cancelling: Promise<void> | undefined
  /** Called when the connection ends, for whatever reason. */
  onClosed: (() => void) | undefined
  /** NotificationResponse frames go here, with their payload. */
  onNotification: ((payload: Buffer) => void) | undefined

  private readonly socket: net.Socket
  private readonly writer = new MessageWriter(4096)
  private readonly queue: (Exchange | undefined)[] = []
  private head = 0
  private flushing = false
  private lost: SqlError | undefined
  private nextStatement = 1

  private readonly clock: Clock
  /** When the server last completed an answer, or got a request while it had nothing to do. */
  progressAt = 0

  private constructor(server: ServerAddress, socket: net.Socket, clock: Clock) {
    this.server = server
    this.socket = socket
    this.clock = clock
  }

  /** Connects and logs in. Throws SqlError: the server's own, or 08006. */
  static connect(options: ConnectOptions): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const inBuffer = Buffer.allocUnsafe(64 * 1024)
      const reader = new FrameReader((type, buffer, start, end) => connection.onFrame(type, buffer, start, end), limits.messageBytesMax)
      const socket = net.connect({
        host: options.server.host,
        port: options.server.port,
        onread: {
          buffer: inBuffer,
          callback: (bytes: number) => {
            try {
              reader.push(inBuffer.subarray(0, bytes))
            } catch (error) {
              connection.fail(`${(error as Error).message}`)
            }
            return true
          },
        },
      })
      const connection: Connection = new Connection(options.server, socket, options.clock)
      const timer = setTimeout(() => connection.fail('no answer in time'), options.answerMsMax ?? limits.connectMsMax)
      socket.setNoDelay(true)
      // A server, or a network, that has gone without a word would be waited for without end.
      socket.setKeepAlive(true, limits.keepAliveMs)
      socket.on('connect', () => connection.startUp(options))
      socket.on('error', (error) => connection.fail(error.message))
      socket.on('close', () => connection.fail('closed by the server'))
      connection.queue.push(
        new StartUp(connection, options, (error) => {
          clearTimeout(timer)
          if (error === undefined) return resolve(connection)
          connection.close()
          reject(error)
        }),
      )
    })
  }

  get isLost(): boolean {
    return this.lost !== undefined
  }

  /** Exchanges whose answer is not complete. */
  get pendingExchanges(): number {
    return this.queue.length - this.head
  }

  /** True when the server is at work on this exchange, or just about to be. */
  isAtWorkOn(exchange: Exchange): boolean {
    return this.queue[this.head] === exchange
  }

  /** Those whose turn has not come leave, if they can: the one before them takes long. */
  letWaitingLeave(): void {
    for (const exchange of this.queue.slice(this.head + 1)) exchange?.leave?.()
  }

  /** Queues a request. `request` puts its frames into the writer; they must end with exactly one Sync or Query. */
  send(exchange: Exchange, request: RequestWriter): void {
    if (this.lost !== undefined) {
      exchange.onLost(this.lost)
      return
    }
    if (this.head === this.queue.length) this.progressAt = this.clock.ticks()
    this.queue.push(exchange)
    request.write(this.writer)
    this.scheduleFlush()
  }

  /** More bytes for the exchange under way (COPY data, a Sync that was held back). Resolves when the socket wants more. */
  sendMore(write: (writer: MessageWriter) => void): void {
    if (this.lost !== undefined) return
    write(this.writer)
    this.scheduleFlush()
  }

  /** True while so much is unsent that the producer should wait for `drained`. */
  get isCongested(): boolean {
    return this.socket.writableLength + this.writer.size > limits.clientBacklogBytesMax
  }

  drained(): Promise<void> {
    this.flush()
    if (!this.socket.writableNeedDrain || this.lost !== undefined) return Promise.resolve()
    return new Promise((resolve) => {
      const done = () => {
        this.socket.off('drain', done)
        this.socket.off('close', done)
        resolve()
      }
      this.socket.on('drain', done)
      this.socket.on('close', done)
    })
  }

  /** Stops reading, so that the server stops sending. */
  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }

  /** A fresh name for a prepared statement of this connection. */
  newStatementName(): string {
    return `h${this.nextStatement++}`
  }

  close(): void {
    if (this.lost === undefined && this.socket.writable) this.socket.end(Buffer.from([0x58, 0, 0, 0, 4]))
    this.fail('closed')
  }

  /** Asks the server to cancel what this connection is doing, over a connection of its own (CancelRequest). */
  cancel(): Promise<void> {
    const sent = this.sendCancel().then(() => {
      if (this.cancelling === sent) this.cancelling = undefined
    })
    this.cancelling = sent
    return sent
  }

  /** The number of the server's process. */
  get pid(): number {
    return this.backendPid
  }

  private sendCancel(): Promise<void> {
    return new Promise((resolve) => {
      const socket = net.connect(this.server.port, this.server.host)
      const message = Buffer.alloc(12 + this.secret.length)
      message.writeInt32BE(message.length, 0)
      message.writeInt32BE(80877102, 4)
      message.writeInt32BE(this.backendPid, 8)
      this.secret.copy(message, 12)
      socket.on('connect', () => socket.end(message))
      socket.on('error', () => resolve())
      socket.on('close', () => resolve())
    })
  }

  private startUp(options: ConnectOptions): void {
    const pairs = { user: options.user, database: options.database, client_encoding: 'UTF8', ...options.parameters }
    const body = Buffer.from(`${Object.entries(pairs).map(([name, value]) => `${name}\0${value}\0`).join('')}\0`)
    const message = Buffer.alloc(8)
    message.writeInt32BE(body.length + 8, 0)
    message.writeInt32BE(196608, 4)
    this.socket.write(Buffer.concat([message, body]))
  }

  private scheduleFlush(): void {
    if (this.flushing) return
    this.flushing = true
    flushAtEndOfTurn(this)
  }

  flush(): void {
    this.flushing = false
    if (this.writer.size > 0 && this.lost === undefined) this.writer.flushTo(this.writeBytes)
  }

  /** True when the kernel has taken all of it. */
  private readonly writeBytes = (bytes: Buffer): boolean => {
    this.socket.write(bytes)
    return this.socket.writableLength === 0
  }

  private onFrame(type: number, buffer: Buffer, start: number, end: number): void {
    if (this.lost !== undefined) return
    if (type === Backend.parameterStatus) {
      const stop = buffer.indexOf(0, start)
      this.reported.set(buffer.toString('utf8', start, stop), buffer.toString('utf8', stop + 1, end - 1))
    } else if (type === Backend.notificationResponse) {
      this.onNotification?.(Buffer.from(buffer.subarray(start, end)))
      return
    } else if (type === Backend.backendKeyData) {
      this.backendPid = buffer.readInt32BE(start)
      this.secret = Buffer.from(buffer.subarray(start + 4, end))
      return
    }
    const exchange = this.queue[this.head]
    if (exchange === undefined) {
      // Outside any exchange a server speaks only to say goodbye (shutdown, terminated by an administrator).
      if (type === Backend.errorResponse) this.fail(readServerError(buffer, start, end).message)
      return
    }
    if (type !== Backend.readyForQuery) {
      exchange.onFrame(type, buffer, start, end)
      return
    }
    this.txStatus = buffer[start] as number
    this.progressAt = this.clock.ticks()
    // The slot is emptied: what is done must not be kept alive.
    this.queue[this.head] = undefined
    this.head++
    if (this.head === this.queue.length) {
      this.queue.length = 0
      this.head = 0
    } else if (this.head > 64 && this.head * 2 > this.queue.length) {
      this.queue.splice(0, this.head)
      this.head = 0
    }
    exchange.onReady(this.txStatus)
  }

  private fail(reason: string): void {
    if (this.lost !== undefined) return
    this.lost = connectionLost(this.server.name, reason)
    this.socket.destroySoon()
    const waiting = this.queue.splice(0).slice(this.head)
    this.head = 0
    for (const exchange of waiting) exchange?.onLost(this.lost)
    this.onClosed?.()
  }

  /** Used by the start-up exchange alone: its messages are not frames that a queue knows. */
  writeNow(type: string, body: string | Buffer): void {
    this.writer.begin(type)
    if (typeof body === 'string') this.writer.cstring(body)
    else this.writer.bytes(body)
    this.writer.end()
    this.flush()
  }
}

/** The first exchange of a connection: authentication, up to the first ReadyForQuery. */
class StartUp implements Exchange {
  private readonly connection: Connection
  private readonly options: ConnectOptions
  private readonly done: (error?: SqlError) => void
  private scram: ScramClient | undefined
  private error: SqlError | undefined

  constructor(connection: Connection, options: ConnectOptions, done: (error?: SqlError) => void) {
    this.connection = connection
    this.options = options
    this.done = done
  }

  onFrame(type: number, buffer: Buffer, start: number, end: number): void {
    if (type === Backend.errorResponse) {
      this.error = readServerError(buffer, start, end)
      this.done(this.error)
    } else if (type === Backend.authentication) {
      try {
        this.authenticate(buffer.readInt32BE(start), buffer.subarray(start + 4, end))
      } catch (error) {
        this.onLost(new SqlError('28000', `cannot log in to ${this.connection.server.name}: ${(error as Error).message}`))
      }
    }
  }

  private authenticate(method: number, data: Buffer): void {
    const { user, password } = this.options
    if (method === 0) return
    if (password === undefined) throw new Error(`the server wants a password for role ${user}`)
    if (method === 3) this.connection.writeNow('p', password)
    else if (method === 5) this.connection.writeNow('p', md5Password(user, password, data))
    else if (method === 10) {
      this.scram = new ScramClient(password)
      const first = Buffer.from(this.scram.first())
      const length = Buffer.alloc(4)
      length.writeInt32BE(first.length, 0)
      this.connection.writeNow('p', Buffer.concat([Buffer.from('SCRAM-SHA-256\0'), length, first]))
    } else if (method === 11 && this.scram !== undefined) {
      this.connection.writeNow('p', Buffer.from(this.scram.final(data.toString())))
    } else if (method === 12 && this.scram !== undefined) this.scram.verify(data.toString())
    else throw new Error(`authentication method ${method} is not supported`)
  }

  onReady(): void {
    this.done()
  }

  onLost(error: SqlError): void {
    if (this.error === undefined) this.done(error)
  }
}

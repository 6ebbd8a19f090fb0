/**
 * The router's side of one client's socket: messages come out of a bounded queue, answers gather into one write a turn.
 */
import type net from 'node:net'
import { flushAtEndOfTurn } from '../base/end-of-turn.ts'
import { SqlError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import { FrameReader } from '../protocol/frame-reader.ts'
import { MessageWriter } from '../protocol/message-writer.ts'

export interface ClientMessage {
  readonly type: number
  readonly payload: Buffer
}

export class ClientStream {
  readonly out = new MessageWriter(8192)
  private readonly socket: net.Socket
  private readonly reader: FrameReader
  private queue: ClientMessage[] = []
  private head = 0
  private queuedBytes = 0
  private waiting: ((message: ClientMessage | undefined) => void) | undefined
  private flushing = false
  private ended = false
  onEnd: (() => void) | undefined

  constructor(socket: net.Socket) {
    this.socket = socket
    this.reader = new FrameReader((type, buffer, start, end) => this.arrive(type, buffer.subarray(start, end)), limits.messageBytesMax)
    socket.on('error', () => this.end())
    socket.on('close', () => this.end())
    socket.on('end', () => this.end())
  }

  /** Bytes from the socket, valid during the call only. A length that cannot be ends the stream with a protocol error. */
  push(chunk: Buffer): void {
    try {
      this.reader.push(Buffer.from(chunk))
    } catch (error) {
      this.reader.stop()
      this.arrive(0, Buffer.from((error as Error).message))
    }
  }

  private arrive(type: number, payload: Buffer): void {
    const message = { type, payload }
    if (this.waiting !== undefined && this.head === this.queue.length) {
      const { waiting } = this
      this.waiting = undefined
      waiting(message)
      return
    }
    this.queue.push(message)
    this.queuedBytes += payload.length
    if (this.queue.length - this.head > limits.clientQueueMessagesMax || this.queuedBytes > limits.clientQueueBytesMax) this.socket.pause()
  }

  /** The next message if it has come already; it stays in the queue. */
  peekNow(): ClientMessage | undefined {
    return this.queue[this.head]
  }

  /** The next message, waited for; it stays in the queue. Undefined when the client is gone. */
  async peek(): Promise<ClientMessage | undefined> {
    const known = this.queue[this.head]
    if (known !== undefined) return known
    const message = await this.next()
    if (message !== undefined) {
      // Back to the front: nothing else takes messages while one peeks.
      this.queue = [message, ...this.queue.slice(this.head)]
      this.head = 0
      this.queuedBytes += message.payload.length
    }
    return message
  }

  /**
   * The next message; undefined when the client is gone. A client that does not read its answers has to wait with what it sends:
   * else the answers to all that it has sent ahead would gather here.
   */
  next(): Promise<ClientMessage | undefined> | ClientMessage | undefined {
    if (this.isCongested) return new Promise<void>((resolve) => this.whenDrained(resolve)).then(() => this.next())
    const message = this.queue[this.head]
    if (message === undefined) {
      if (this.ended) return undefined
      this.flush()
      return new Promise((resolve) => (this.waiting = resolve))
    }
    this.head++
    this.queuedBytes -= message.payload.length
    if (this.head === this.queue.length) {
      this.queue = []
      this.head = 0
    }
    if (this.socket.isPaused() && this.queuedBytes < limits.clientQueueBytesMax / 2) this.socket.resume()
    return message
  }

  /** Writes what has gathered at the end of this turn. */
  scheduleFlush(): void {
    if (this.flushing) return
    this.flushing = true
    flushAtEndOfTurn(this)
  }

  flush(): void {
    this.flushing = false
    if (this.out.size > 0) this.out.flushTo(this.writeBytes)
  }

  /** True when nobody needs the bytes any more. */
  private readonly writeBytes = (bytes: Buffer): boolean => {
    if (this.ended) return true
    this.socket.write(bytes)
    return this.socket.writableLength === 0
  }

  get isCongested(): boolean {
    return !this.ended && this.socket.writableLength + this.out.size > limits.clientBacklogBytesMax
  }

  /** Calls back once the client has taken what was written, or is gone. */
  whenDrained(resume: () => void): void {
    this.flush()
    if (this.ended || !this.socket.writableNeedDrain) {
      setImmediate(resume)
      return
    }
    const done = () => {
      this.socket.off('drain', done)
      this.socket.off('close', done)
      resume()
    }
    this.socket.on('drain', done)
    this.socket.on('close', done)
  }

  get isEnded(): boolean {
    return this.ended
  }

  close(): void {
    this.flush()
    this.socket.end()
    this.socket.destroySoon()
    this.end()
  }

  private end(): void {
    if (this.ended) return
    this.ended = true
    this.onEnd?.()
    this.waiting?.(undefined)
    this.waiting = undefined
  }
}

/** A message of type 0 stands for bytes that were no message. */
export function checkGarbage(message: ClientMessage): void {
  if (message.type === 0) throw new SqlError('08P01', message.payload.toString(), { severity: 'FATAL' })
}

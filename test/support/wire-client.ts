/**
 * A client of the PostgreSQL protocol that hides nothing: simple queries only, every answer as the server sent it.
 *
 * It shares no code with the router on purpose, so that a mistake in the router's codec cannot cancel itself out.
 */
import net from 'node:net'

export interface Column {
  readonly name: string
  readonly typeOid: number
  readonly typeModifier: number
}

export interface ErrorFields {
  readonly sqlstate: string
  readonly message: string
  readonly fields: Readonly<Record<string, string>>
}

export interface Result {
  /** Of the last RowDescription; undefined when there was none. */
  readonly columns: readonly Column[] | undefined
  readonly rows: readonly (readonly (string | null)[])[]
  readonly tags: readonly string[]
  readonly error: ErrorFields | undefined
  /** The transaction's status after it: I, T or E; '?' when the connection is gone. */
  readonly status: string
}

export interface ConnectOptions {
  readonly port: number
  readonly database: string
  readonly user?: string
  /** More of the start-up packet. */
  readonly parameters?: Readonly<Record<string, string>>
}

const queryMsMax = 30_000

export class WireClient {
  private readonly socket: net.Socket
  private buffer = Buffer.alloc(0)
  private columns: Column[] | undefined
  private rows: (string | null)[][] = []
  private tags: string[] = []
  private error: ErrorFields | undefined
  private waiting: ((result: Result) => void) | undefined
  private broken: string | undefined
  /** What a COPY FROM STDIN gets; undefined: this client fails it. */
  copyData: Buffer | undefined

  private constructor(socket: net.Socket) {
    this.socket = socket
    socket.on('data', (chunk) => this.receive(chunk))
    socket.on('error', (error) => this.lose(error.message))
    socket.on('close', () => this.lose('connection closed'))
  }

  static async connect(options: ConnectOptions): Promise<WireClient> {
    const socket = net.connect(options.port, '127.0.0.1')
    socket.setNoDelay(true)
    const client = new WireClient(socket)
    const words = ['user', options.user ?? 'postgres', 'database', options.database, 'client_encoding', 'UTF8', ...Object.entries(options.parameters ?? {}).flat(), '']
    const payload = Buffer.from(words.map((word) => `${word}\0`).join(''))
    const head = Buffer.alloc(8)
    head.writeInt32BE(payload.length + 8, 0)
    head.writeInt32BE(3 << 16, 4)
    const result = await client.exchange(Buffer.concat([head, payload]))
    if (result.error !== undefined) throw Object.assign(new Error(result.error.message), result.error)
    return client
  }

  /** The connection has ended, whoever ended it. */
  async ended(): Promise<void> {
    if (!this.socket.closed) await new Promise((resolve) => this.socket.once('close', resolve))
  }

  get lost(): boolean {
    return this.broken !== undefined
  }

  query(sql: string): Promise<Result> {
    return this.exchange(message('Q', Buffer.from(`${sql}\0`)))
  }

  /** The same through the extended protocol: unnamed statement and portal, no parameters, all values as text. */
  queryExtended(sql: string): Promise<Result> {
    const describe = message('D', Buffer.from('P\0'))
    const bind = message('B', Buffer.alloc(8))
    const execute = message('E', Buffer.alloc(5))
    return this.exchange(Buffer.concat([message('P', Buffer.from(`\0${sql}\0\0\0`)), bind, describe, execute, message('S', Buffer.alloc(0))]))
  }

  /** The first rows alone, of a portal that is then left. */
  queryInParts(sql: string, rowsMax: number): Promise<Result> {
    const execute = message('E', Buffer.concat([Buffer.from('\0'), int32(rowsMax)]))
    return this.exchange(Buffer.concat([message('P', Buffer.from(`\0${sql}\0\0\0`)), message('B', Buffer.alloc(8)), message('D', Buffer.from('P\0')), execute, message('S', Buffer.alloc(0))]))
  }

  /** The same with parameters; of each the type that the client declares (0 for none), its bytes (undefined for NULL) and format. */
  queryWithParameters(sql: string, parameters: readonly { oid: number; value: Buffer | undefined; binary: boolean }[]): Promise<Result> {
    const parse = Buffer.concat([Buffer.from(`\0${sql}\0`), int16(parameters.length), ...parameters.map(({ oid }) => int32(oid))])
    const formats = [int16(parameters.length), ...parameters.map(({ binary }) => int16(binary ? 1 : 0))]
    const values = parameters.flatMap(({ value }) => (value === undefined ? [int32(-1)] : [int32(value.length), value]))
    const bind = Buffer.concat([Buffer.from('\0\0'), ...formats, int16(parameters.length), ...values, int16(0)])
    const messages = [message('P', parse), message('B', bind), message('D', Buffer.from('P\0')), message('E', Buffer.alloc(5)), message('S', Buffer.alloc(0))]
    return this.exchange(Buffer.concat(messages))
  }

  /** Goes without a word. */
  leave(): void {
    this.socket.destroy()
  }

  close(): void {
    if (this.broken === undefined) this.socket.end(message('X', Buffer.alloc(0)))
  }

  private exchange(bytes: Buffer): Promise<Result> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.lose(`no answer within ${queryMsMax} ms`)
        this.socket.destroy()
      }, queryMsMax)
      this.waiting = (result) => {
        clearTimeout(timer)
        resolve(result)
      }
      if (this.broken === undefined) this.socket.write(bytes)
      else this.finish('?', this.broken)
    })
  }

  private lose(reason: string): void {
    this.broken ??= reason
    if (this.waiting !== undefined) this.finish('?', this.broken)
  }

  /** What is lost is told as an error with a code that no server sends. A FATAL error explains the loss better. */
  private finish(status: string, lostBecause?: string): void {
    const error = this.error ?? (lostBecause === undefined ? undefined : { sqlstate: 'LOST', message: lostBecause, fields: {} })
    const result = { columns: this.columns, rows: this.rows, tags: this.tags, error, status }
    const waiting = this.waiting
    this.columns = undefined
    this.rows = []
    this.tags = []
    this.error = undefined
    this.waiting = undefined
    waiting?.(result)
  }

  private receive(chunk: Buffer): void {
    this.buffer = Buffer.concat([this.buffer, chunk])
    while (this.buffer.length >= 5) {
      const end = 1 + this.buffer.readInt32BE(1)
      if (this.buffer.length < end) return
      this.handle(String.fromCharCode(this.buffer[0] ?? 0), this.buffer.subarray(5, end))
      this.buffer = this.buffer.subarray(end)
    }
  }

  private handle(type: string, payload: Buffer): void {
    if (type === 'T') this.columns = readColumns(payload)
    else if (type === 'D') this.rows.push(readRow(payload))
    else if (type === 'C') this.tags.push(payload.toString('utf8', 0, payload.length - 1))
    else if (type === 'I') this.tags.push('(empty query)')
    else if (type === 'E') this.error = readError(payload)
    else if (type === 'Z') this.finish(payload.toString())
    else if (type === 'G' && this.copyData !== undefined) this.socket.write(Buffer.concat([message('d', this.copyData), message('c', Buffer.alloc(0))]))
    else if (type === 'G') this.socket.write(message('f', Buffer.from('this client cannot copy\0')))
  }
}

function int16(value: number): Buffer {
  const buffer = Buffer.alloc(2)
  buffer.writeInt16BE(value)
  return buffer
}

function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeInt32BE(value)
  return buffer
}

function message(type: string, payload: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeInt32BE(payload.length + 4, 1)
  return Buffer.concat([head, payload])
}

function readColumns(payload: Buffer): Column[] {
  const columns: Column[] = []
  let at = 2
  for (let left = payload.readInt16BE(0); left > 0; left--) {
    const end = payload.indexOf(0, at)
    const rest = end + 1
    columns.push({
      name: payload.toString('utf8', at, end),
      typeOid: payload.readUInt32BE(rest + 6),
      typeModifier: payload.readInt32BE(rest + 12),
    })
    at = rest + 18
  }
  return columns
}

function readRow(payload: Buffer): (string | null)[] {
  const values: (string | null)[] = []
  let at = 2
  for (let left = payload.readInt16BE(0); left > 0; left--) {
    const length = payload.readInt32BE(at)
    at += 4
    values.push(length < 0 ? null : payload.toString('utf8', at, at + length))
    at += Math.max(length, 0)
  }
  return values
}

function readError(payload: Buffer): ErrorFields {
  const fields: Record<string, string> = {}
  for (const part of payload.toString('utf8').split('\0')) if (part !== '') fields[part[0] ?? ''] = part.slice(1)
  return { sqlstate: fields['C'] ?? '', message: fields['M'] ?? '', fields }
}

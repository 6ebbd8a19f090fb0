/** Reads the payloads of what a client sends. A payload that breaks its own format throws SqlError 08P01. */
import { isUtf8 } from 'node:buffer'
import { SqlError } from '../base/errors.ts'

export interface ParseMessage {
  readonly name: string
  readonly text: string
  readonly parameterTypes: readonly number[]
}

export interface BindMessage {
  readonly portal: string
  readonly statement: string
  readonly parameterFormats: readonly number[]
  /** The values as sent, undefined for NULL. */
  readonly values: readonly (Buffer | undefined)[]
  readonly resultFormats: readonly number[]
}

const tooShort = () => new SqlError('08P01', 'insufficient data left in message')

const noNumbers: readonly number[] = Object.freeze([])

/** Names and most texts are: telling so here is faster than the general way for each of them. */
function isAscii(buffer: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if ((buffer[i] as number) > 0x7f) return false
  return true
}

export class PayloadReader {
  private readonly buffer: Buffer
  private at = 0

  constructor(buffer: Buffer) {
    this.buffer = buffer
  }

  cstring(): string {
    const { buffer, at } = this
    const stop = buffer.indexOf(0, at)
    if (stop < 0) throw new SqlError('08P01', 'invalid string in message')
    this.at = stop + 1
    if (stop === at) return ''
    if (isAscii(buffer, at, stop)) return buffer.toString('latin1', at, stop)
    if (!isUtf8(buffer.subarray(at, stop))) throw new SqlError('22021', 'invalid byte sequence for encoding "UTF8"')
    return buffer.toString('utf8', at, stop)
  }

  byte(): number {
    if (this.at >= this.buffer.length) throw tooShort()
    return this.buffer[this.at++] as number
  }

  int16(): number {
    if (this.at + 2 > this.buffer.length) throw tooShort()
    this.at += 2
    return this.buffer.readUInt16BE(this.at - 2)
  }

  int32(): number {
    if (this.at + 4 > this.buffer.length) throw tooShort()
    this.at += 4
    return this.buffer.readInt32BE(this.at - 4)
  }

  bytes(length: number): Buffer {
    if (length < 0 || this.at + length > this.buffer.length) throw tooShort()
    this.at += length
    return this.buffer.subarray(this.at - length, this.at)
  }

  int16s(): readonly number[] {
    const count = this.int16()
    if (count === 0) return noNumbers
    const numbers: number[] = []
    for (let i = 0; i < count; i++) numbers.push(this.int16())
    return numbers
  }

  int32s(): readonly number[] {
    const count = this.int16()
    if (count === 0) return noNumbers
    const numbers: number[] = []
    for (let i = 0; i < count; i++) numbers.push(this.int32())
    return numbers
  }

  /** Values by their length, undefined for NULL. */
  values(): (Buffer | undefined)[] {
    const count = this.int16()
    const values: (Buffer | undefined)[] = []
    for (let i = 0; i < count; i++) {
      const length = this.int32()
      values.push(length === -1 ? undefined : this.bytes(length))
    }
    return values
  }

  end(): void {
    if (this.at !== this.buffer.length) throw new SqlError('08P01', 'invalid message format')
  }
}

export function readParse(payload: Buffer): ParseMessage {
  const reader = new PayloadReader(payload)
  const message = { name: reader.cstring(), text: reader.cstring(), parameterTypes: reader.int32s() }
  reader.end()
  return message
}

export function readBind(payload: Buffer): BindMessage {
  const reader = new PayloadReader(payload)
  const portal = reader.cstring()
  const statement = reader.cstring()
  const parameterFormats = reader.int16s()
  const values = reader.values()
  if (parameterFormats.length > 1 && parameterFormats.length !== values.length) {
    throw new SqlError('08P01', `bind message has ${parameterFormats.length} parameter formats but ${values.length} parameters`)
  }
  const resultFormats = reader.int16s()
  reader.end()
  return { portal, statement, parameterFormats, values, resultFormats }
}

/** Describe and Close: 'S' or 'P', and a name. */
export function readTarget(payload: Buffer, message: 'DESCRIBE' | 'CLOSE'): { kind: 'S' | 'P'; name: string } {
  const reader = new PayloadReader(payload)
  const kind = String.fromCharCode(reader.byte())
  const name = reader.cstring()
  reader.end()
  if (kind !== 'S' && kind !== 'P') throw new SqlError('08P01', `invalid ${message} message subtype ${kind.charCodeAt(0)}`)
  return { kind, name }
}

export function readExecute(payload: Buffer): { portal: string; rowsMax: number } {
  const reader = new PayloadReader(payload)
  const message = { portal: reader.cstring(), rowsMax: reader.int32() }
  reader.end()
  return message
}

export function readQuery(payload: Buffer): string {
  const reader = new PayloadReader(payload)
  const text = reader.cstring()
  reader.end()
  return text
}

/** The format (0 text, 1 binary) of parameter `index`. */
export function formatOf(formats: readonly number[], index: number): number {
  return formats.length === 0 ? 0 : formats.length === 1 ? (formats[0] as number) : (formats[index] ?? 0)
}

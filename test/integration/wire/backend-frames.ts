/**
 * What a server answered, one line a message, without what two servers cannot have in common: process ids and keys, OIDs of
 * the users' tables and types, and where in a server's source an error was raised.
 */
import type { Answer } from '../hostile/raw-client.ts'

const firstUserOid = 16384

class Fields {
  private readonly buffer: Buffer
  private at = 0

  constructor(buffer: Buffer) {
    this.buffer = buffer
  }

  get rest(): Buffer {
    return this.buffer.subarray(this.at)
  }

  int16(): number {
    this.at += 2
    return this.buffer.readInt16BE(this.at - 2)
  }

  int32(): number {
    this.at += 4
    return this.buffer.readInt32BE(this.at - 4)
  }

  cstring(): string {
    const end = this.buffer.indexOf(0, this.at)
    const text = this.buffer.toString('utf8', this.at, end)
    this.at = end + 1
    return text
  }

  value(): string {
    const length = this.int32()
    if (length < 0) return 'null'
    this.at += length
    return shown(this.buffer.subarray(this.at - length, this.at))
  }

  list(read: () => string): string[] {
    return Array.from({ length: this.int16() }, read)
  }
}

/** Text as a JSON string; what is no text in hexadecimal. */
function shown(bytes: Buffer): string {
  const text = bytes.toString('utf8')
  return Buffer.from(text).equals(bytes) && !/[\0-\x08\x0b-\x1f]/.test(text) ? JSON.stringify(text) : `{"hex": "${bytes.toString('hex')}"}`
}

const oid = (value: number): string => (value >= firstUserOid ? 'user' : String(value))

function column(fields: Fields): string {
  const name = fields.cstring()
  const table = fields.int32()
  const number = fields.int16()
  const [type, size, modifier, format] = [fields.int32(), fields.int16(), fields.int32(), fields.int16()]
  const from = table === 0 ? '' : ` of ${oid(table)}.${number}`
  return `${JSON.stringify(name)} ${oid(type)} size ${size} mod ${modifier} format ${format}${from}`
}

const fieldNames: Readonly<Record<string, string>> = { D: 'detail', H: 'hint', P: 'position', p: 'internal position', q: 'internal query', W: 'where', s: 'schema', t: 'table', c: 'column', d: 'type', n: 'constraint' }

function error(fields: Fields): string {
  const values = new Map<string, string>()
  for (let part = fields.cstring(); part !== ''; part = fields.cstring()) values.set(part.slice(0, 1), part.slice(1))
  const more = Object.entries(fieldNames).flatMap(([letter, name]) => (values.has(letter) ? [` ${name} ${JSON.stringify(values.get(letter))}`] : []))
  return `${values.get('V')} ${values.get('C')} ${JSON.stringify(values.get('M'))}${more.join('')}`
}

const copyResponse = (fields: Fields): string => {
  const overall = fields.rest[0]
  const formats = new Fields(fields.rest.subarray(1))
  return `format ${overall} columns [${formats.list(() => String(formats.int16())).join(', ')}]`
}

const decoders: Readonly<Record<string, readonly [string, (fields: Fields) => string]>> = {
  R: ['Authentication', (fields) => String(fields.int32())],
  K: ['BackendKeyData', (fields) => `${fields.rest.length - 4} bytes`],
  '2': ['BindComplete', () => ''],
  '3': ['CloseComplete', () => ''],
  C: ['CommandComplete', (fields) => JSON.stringify(fields.cstring())],
  d: ['CopyData', (fields) => shown(fields.rest)],
  c: ['CopyDone', () => ''],
  G: ['CopyInResponse', copyResponse],
  H: ['CopyOutResponse', copyResponse],
  D: ['DataRow', (fields) => fields.list(() => fields.value()).join(', ')],
  I: ['EmptyQueryResponse', () => ''],
  E: ['ErrorResponse', error],
  V: ['FunctionCallResponse', (fields) => fields.value()],
  v: ['NegotiateProtocolVersion', (fields) => `${fields.int32()} [${Array.from({ length: fields.int32() }, () => fields.cstring()).join(', ')}]`],
  n: ['NoData', () => ''],
  N: ['NoticeResponse', error],
  A: ['NotificationResponse', (fields) => (fields.int32(), `${JSON.stringify(fields.cstring())} ${JSON.stringify(fields.cstring())}`)],
  t: ['ParameterDescription', (fields) => `[${fields.list(() => oid(fields.int32())).join(', ')}]`],
  S: ['ParameterStatus', (fields) => `${fields.cstring()} = ${JSON.stringify(fields.cstring())}`],
  '1': ['ParseComplete', () => ''],
  s: ['PortalSuspended', () => ''],
  Z: ['ReadyForQuery', (fields) => fields.rest.toString()],
  T: ['RowDescription', (fields) => fields.list(() => column(fields)).join(', ')],
}

export function backendLine({ type, payload }: Answer): string {
  const decoder = decoders[type]
  if (decoder === undefined) throw new Error(`no such message: ${type}`)
  const [name, decode] = decoder
  return `${name} ${decode(new Fields(payload))}`.trimEnd()
}

/** The type byte of a message by its name. */
export function backendType(name: string): string {
  const found = Object.entries(decoders).find(([, [known]]) => known === name)
  if (found === undefined) throw new Error(`no such message: ${name}`)
  return found[0]
}

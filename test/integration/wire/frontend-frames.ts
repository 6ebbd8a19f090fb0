/**
 * The messages of a wire script as bytes. A line is the name that the manual gives the message, and its fields as JSON:
 * `Bind "portal", "statement", [parameter formats], [values], [result formats]`. A value is a string, null, or {"hex": "..."}.
 */
import { int32, message } from '../hostile/messages.ts'

type Value = string | null | { readonly hex: string }
type Encoder = (...fields: never[]) => Buffer

const cstring = (text: string): Buffer => Buffer.from(`${text}\0`)
const bytesOf = (value: Value): Buffer => (typeof value === 'string' ? Buffer.from(value) : Buffer.from(value?.hex ?? '', 'hex'))
const valueOf = (value: Value): Buffer => (value === null ? int32(-1) : Buffer.concat([int32(bytesOf(value).length), bytesOf(value)]))

function int16(value: number): Buffer {
  const buffer = Buffer.alloc(2)
  buffer.writeUInt16BE(value)
  return buffer
}

const list = <T>(items: readonly T[], encode: (item: T) => Buffer): Buffer => Buffer.concat([int16(items.length), ...items.map(encode)])

function startUp(major: number, minor: number, parameters: Readonly<Record<string, string>>): Buffer {
  const pairs = Object.entries(parameters).map(([name, value]) => Buffer.concat([cstring(name), cstring(value)]))
  const payload = Buffer.concat([int32(major * 65536 + minor), ...pairs, Buffer.alloc(1)])
  return Buffer.concat([int32(payload.length + 4), payload])
}

const encoders: Readonly<Record<string, Encoder>> = {
  Query: (text: string) => message('Q', cstring(text)),
  Parse: (name: string, text: string, types: readonly number[] = []) => message('P', Buffer.concat([cstring(name), cstring(text), list(types, int32)])),
  Bind: (portal: string, statement: string, formats: readonly number[] = [], values: readonly Value[] = [], results: readonly number[] = []) =>
    message('B', Buffer.concat([cstring(portal), cstring(statement), list(formats, int16), list(values, valueOf), list(results, int16)])),
  Describe: (kind: string, name: string) => message('D', cstring(kind + name)),
  Execute: (portal: string, rowsMax = 0) => message('E', Buffer.concat([cstring(portal), int32(rowsMax)])),
  Close: (kind: string, name: string) => message('C', cstring(kind + name)),
  Flush: () => message('H'),
  Sync: () => message('S'),
  Terminate: () => message('X'),
  CopyData: (data: Value) => message('d', bytesOf(data)),
  CopyDone: () => message('c'),
  CopyFail: (reason: string) => message('f', cstring(reason)),
  FunctionCall: (oid: number, formats: readonly number[], values: readonly Value[], result = 0) =>
    message('F', Buffer.concat([int32(oid), list(formats, int16), list(values, valueOf), int16(result)])),
  StartUp: startUp,
  SSLRequest: () => Buffer.concat([int32(8), int32(80877103)]),
  GSSENCRequest: () => Buffer.concat([int32(8), int32(80877104)]),
  /** Any message, well-formed or not: its type and its payload. */
  Message: (type: string, payload: Value) => message(type, bytesOf(payload)),
}

/** The bytes of one line. */
export function frontendFrame(line: string): Buffer {
  const [, name = '', fields = ''] = /^(\w+)\s*(.*)$/s.exec(line) ?? []
  const encode = encoders[name]
  if (encode === undefined) throw new Error(`no such message: ${line}`)
  return encode(...(JSON.parse(`[${fields}]`) as never[]))
}

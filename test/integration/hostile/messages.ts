/** The frontend's messages as bytes, well-formed: what is hostile about them is for the tests to do. */

export function message(type: string, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(5)
  head.write(type, 'latin1')
  head.writeInt32BE(payload.length + 4, 1)
  return Buffer.concat([head, payload])
}

export function startUp(database: string, options: Readonly<Record<string, string>> = {}): Buffer {
  const pairs = Object.entries({ user: 'postgres', database, ...options })
  const payload = Buffer.from(`${pairs.map(([name, value]) => `${name}\0${value}\0`).join('')}\0`)
  return Buffer.concat([int32(payload.length + 8), int32(3 << 16), payload])
}

export const query = (sql: string): Buffer => message('Q', text(sql))

export const parse = (name: string, sql: string): Buffer => message('P', Buffer.concat([text(name), text(sql), int16(0)]))

export function bind(portal: string, statement: string, values: readonly (string | null)[] = []): Buffer {
  const fields = values.map((value) => (value === null ? int32(-1) : Buffer.concat([int32(Buffer.byteLength(value)), Buffer.from(value)])))
  return message('B', Buffer.concat([text(portal), text(statement), int16(0), int16(values.length), ...fields, int16(0)]))
}

export const describePortal = (name: string): Buffer => message('D', text(`P${name}`))

export const describeStatement = (name: string): Buffer => message('D', text(`S${name}`))

export const execute = (portal: string, rowsMax = 0): Buffer => message('E', Buffer.concat([text(portal), int32(rowsMax)]))

export const closeStatement = (name: string): Buffer => message('C', text(`S${name}`))

export const copyData = (data: string): Buffer => message('d', Buffer.from(data))

export const copyDone: Buffer = message('c')

export const flush: Buffer = message('H')

export const sync: Buffer = message('S')

export const terminate: Buffer = message('X')

const text = (value: string): Buffer => Buffer.from(`${value}\0`)

function int16(value: number): Buffer {
  const buffer = Buffer.alloc(2)
  buffer.writeInt16BE(value)
  return buffer
}

export function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeInt32BE(value)
  return buffer
}

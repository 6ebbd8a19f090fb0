import type { MessageWriter } from './message-writer.ts'

/** One column of a RowDescription. */
export interface FieldDescription {
  readonly name: string
  readonly tableOid: number
  readonly columnNumber: number
  readonly typeOid: number
  readonly typeSize: number
  readonly typeModifier: number
  readonly format: number
}

export function readRowDescription(buffer: Buffer, start: number): FieldDescription[] {
  const count = buffer.readUInt16BE(start)
  const fields: FieldDescription[] = []
  let at = start + 2
  for (let i = 0; i < count; i++) {
    const stop = buffer.indexOf(0, at)
    const name = buffer.toString('utf8', at, stop)
    at = stop + 1
    fields.push({
      name,
      tableOid: buffer.readUInt32BE(at),
      columnNumber: buffer.readInt16BE(at + 4),
      typeOid: buffer.readUInt32BE(at + 6),
      typeSize: buffer.readInt16BE(at + 10),
      typeModifier: buffer.readInt32BE(at + 12),
      format: buffer.readInt16BE(at + 16),
    })
    at += 18
  }
  return fields
}

export function writeRowDescription(writer: MessageWriter, fields: readonly FieldDescription[]): void {
  writer.begin('T').int16(fields.length)
  for (const field of fields) {
    writer.cstring(field.name)
    writer.int32(field.tableOid).int16(field.columnNumber).int32(field.typeOid)
    writer.int16(field.typeSize).int32(field.typeModifier).int16(field.format)
  }
  writer.end()
}

/** True when rows with the one description may be read by the other. */
export function hasSameColumns(one: readonly FieldDescription[], other: readonly FieldDescription[]): boolean {
  return one === other || (one.length === other.length && one.every(({ name, typeOid }, i) => typeOid === other[i]?.typeOid && name === other[i].name))
}

/** A text column as the router itself makes them (EXPLAIN, SHOW of its own settings). */
export function textField(name: string): FieldDescription {
  return { name, tableOid: 0, columnNumber: 0, typeOid: 25, typeSize: -1, typeModifier: -1, format: 0 }
}

export function writeTextRow(writer: MessageWriter, values: readonly (string | undefined)[]): void {
  writer.begin('D').int16(values.length)
  for (const value of values) {
    if (value === undefined) writer.int32(-1)
    else writer.int32(Buffer.byteLength(value)).string(value)
  }
  writer.end()
}

/** The values of a DataRow, undefined for NULL. */
export function readDataRow(buffer: Buffer, start: number): (Buffer | undefined)[] {
  const count = buffer.readUInt16BE(start)
  const values: (Buffer | undefined)[] = []
  let at = start + 2
  for (let i = 0; i < count; i++) {
    const length = buffer.readInt32BE(at)
    at += 4
    if (length < 0) {
      values.push(undefined)
      continue
    }
    values.push(buffer.subarray(at, at + length))
    at += length
  }
  return values
}

/** Constants and parameters in the many ways that PostgreSQL lets people write them. */
import type { Writing } from './expressions.ts'
import { quoted } from './schema.ts'
import type { SqlType } from './types.ts'

/** A constant that says its own type, or a parameter. */
export function literal(writing: Writing, type: SqlType): string {
  const { random } = writing
  const value = random.pick(type.values)
  if (random.chance(4)) return `NULL::${type.cast}`
  if (writing.parameters !== undefined && random.chance(35)) return `${parameter(writing, type, value)}::${type.cast}`
  if (type.family === 'int' && random.chance(70)) return value.startsWith('-') ? `(${value})` : value
  if (type.family === 'text' && random.chance(80)) return textLiteral(writing, value)
  return random.chance(50) ? `${quoted(value)}::${type.cast}` : `CAST(${quoted(value)} AS ${type.cast})`
}

/** A constant that takes its type from what it is compared with. */
export function comparand(writing: Writing, type: SqlType): string {
  const { random } = writing
  const value = random.pick(type.values)
  if (random.chance(3)) return 'NULL'
  if (writing.parameters !== undefined && random.chance(50)) return parameter(writing, type, value)
  switch (type.family) {
    case 'int':
    case 'bigKey':
      return integerSpelling(writing, value)
    case 'text':
    case 'posixText':
    case 'icuText':
    case 'looseText':
      // A name has a collation of its own, which another that is not the default contradicts.
      return random.chance(85) ? textLiteral(writing, value) : `${quoted(value)}::${random.pick(['text', 'varchar', 'varchar(20)', 'char(6)', type.family === 'text' ? 'name' : 'text'])}`
    case 'uuid':
      return uuidSpelling(writing, value)
    case 'bpchar':
      return quoted(random.chance(50) ? value : `${value}  `)
    default:
      return random.chance(60) ? quoted(value) : `${quoted(value)}::${type.cast}`
  }
}

function integerSpelling({ random }: Writing, value: string): string {
  const plain = value.startsWith('-') ? `(${value})` : value
  if (random.chance(45)) return plain
  const digits = value.replace('-', '')
  const sign = value.startsWith('-') ? '-' : ''
  return random.pick([
    `'${value}'`,
    `' ${value} '`,
    `'${sign}0${digits}'`,
    `${plain}::int8`,
    `'${value}'::bigint`,
    `CAST('${value}' AS int8)`,
    `int8 '${value}'`,
    `${plain}.0`.replace(').0', '.0)'),
    `'${value}'::numeric`,
    `${plain}::float8`,
    `${plain} + 0`,
    `+ ${plain}`,
    `'${sign}0x${BigInt(digits).toString(16)}'`,
    `${sign}0x${BigInt(digits).toString(16)}`,
  ])
}

export function textLiteral({ random }: Writing, value: string): string {
  if (random.chance(60)) return quoted(value)
  const escaped = value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")
  const points = [...value].map((one) => (/[a-z ]/i.test(one) ? one : `\\+${(one.codePointAt(0) ?? 0).toString(16).padStart(6, '0')}`)).join('')
  return random.pick([`E'${escaped}'`, `U&'${points}'`, `$q$${value}$q$`, `'${value.replaceAll("'", "''")}' /* '${'*'} */`, `$$${value}$$`])
}

function uuidSpelling({ random }: Writing, value: string): string {
  return quoted(random.pick([value, value, value.toUpperCase(), `{${value}}`, value.replaceAll('-', ''), value.replace(/-/g, '').replace(/(.{4})(?=.)/g, '$1-')]))
}

const binaryWidths: Readonly<Record<number, number>> = { 21: 2, 23: 4, 20: 8 }

function parameter(writing: Writing, type: SqlType, value: string): string {
  const { random } = writing
  const parameters = writing.parameters ?? []
  const oid = random.chance(50) ? type.oid : 0
  if (random.chance(4)) parameters.push({ text: undefined, oid, value: undefined, binary: false })
  else {
    const encoded = type.oid === oid && random.chance(50) ? binary(type, value) : undefined
    parameters.push({ text: value, oid, value: encoded ?? Buffer.from(value), binary: encoded !== undefined })
  }
  return `$${parameters.length}`
}

/** Undefined for types that are sent as text. */
function binary(type: SqlType, value: string): Buffer | undefined {
  const width = binaryWidths[type.oid]
  if (width !== undefined) {
    const buffer = Buffer.alloc(width)
    if (width === 8) buffer.writeBigInt64BE(BigInt(value))
    else buffer.writeIntBE(Number(value), 0, width)
    return buffer
  }
  if (type.oid === 25 || type.oid === 1043) return Buffer.from(value)
  if (type.oid === 2950) return Buffer.from(value.replaceAll('-', ''), 'hex')
  if (type.oid === 16) return Buffer.from([value === 'true' ? 1 : 0])
  return undefined
}

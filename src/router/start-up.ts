/** The start-up exchange: encryption requests, cancel requests, versions, parameters (manual, "Start-up"). */
import { SqlError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import { quoteLiteral } from '../base/quote.ts'
import { checkValue } from './statements/settings.ts'
import { PayloadReader } from '../protocol/frontend-reader.ts'

export type StartUpRequest =
  | { readonly kind: 'encryption'; readonly method: 'tls' | 'gssapi' }
  | { readonly kind: 'cancel'; readonly pid: number; readonly secret: Buffer }
  | { readonly kind: 'start'; readonly minor: number; readonly parameters: ReadonlyMap<string, string> }

/** The newest minor version of protocol 3 that the router speaks (PostgreSQL 18). */
export const newestMinor = 2

const sslRequest = 80877103
const gssRequest = 80877104
const cancelRequest = 80877102

/** The first packet of a connection if it is whole; each kind of encryption is asked for once. Throws SqlError for what no client sends. */
export function readStartUp(buffer: Buffer, declined: ReadonlySet<'tls' | 'gssapi'>): { request: StartUpRequest; length: number } | undefined {
  if (buffer.length < 4) return undefined
  const length = buffer.readInt32BE(0)
  if (length < 8 || length > limits.startupBytesMax) throw new SqlError('08P01', 'invalid length of startup packet', { severity: 'FATAL' })
  if (buffer.length < length) return undefined
  const code = buffer.readInt32BE(4)
  const rest = buffer.subarray(8, length)
  const asked = code === sslRequest ? 'tls' : code === gssRequest ? 'gssapi' : undefined
  if (asked !== undefined && !declined.has(asked)) return { request: { kind: 'encryption', method: asked }, length }
  if (code === cancelRequest) {
    if (rest.length < 8) throw new SqlError('08P01', 'invalid cancel request', { severity: 'FATAL' })
    return { request: { kind: 'cancel', pid: rest.readInt32BE(0), secret: Buffer.from(rest.subarray(4)) }, length }
  }
  if (code >> 16 !== 3) {
    throw new SqlError('0A000', `unsupported frontend protocol ${code >> 16}.${code & 0xffff}: server supports 3.0 to 3.${newestMinor}`, { severity: 'FATAL' })
  }
  const reader = new PayloadReader(rest)
  const parameters = new Map<string, string>()
  for (let name = reader.cstring(); name !== ''; name = reader.cstring()) parameters.set(name, reader.cstring())
  return { request: { kind: 'start', minor: code & 0xffff, parameters }, length }
}

/** Parameters of the start-up packet that are settings, as SET statements by name; `options` may hold -c name=value. */
export function startUpSettings(parameters: ReadonlyMap<string, string>): Map<string, string> {
  const settings = new Map<string, string>()
  const add = (name: string, value: string) => settings.set(name.toLowerCase(), setStatement(name.toLowerCase(), value))
  for (const [name, value] of parameters) {
    if (name === 'user' || name === 'database' || name === 'replication' || name.startsWith('_pq_.')) continue
    if (name === 'client_encoding') {
      // SQL_ASCII is what libpq calls a terminal without a locale: bytes go through as they are.
      if (!/^'?(utf-?8|unicode|sql_ascii)'?$/i.test(value)) throw new SqlError('0A000', `client_encoding ${value} is not supported`, { hint: 'Use UTF8.', severity: 'FATAL' })
    } else if (name === 'options') {
      for (const [, option, optionValue] of value.matchAll(/(?:-c\s*|--)([A-Za-z_.]+)=((?:\\.|[^\s\\])*)/g)) {
        if (option !== undefined) add(option.replaceAll('-', '_'), (optionValue ?? '').replace(/\\(.)/g, '$1'))
      }
    } else add(name, value)
  }
  return settings
}

function setStatement(name: string, value: string): string {
  checkValue(name, value)
  const quoted = name
    .split('.')
    .map((part) => `"${part.replaceAll('"', '""')}"`)
    .join('.')
  const list = name === 'search_path' || name === 'datestyle'
  const parts = list ? value.split(',').map((part) => part.trim()) : [value]
  return `SET ${quoted} = ${parts.map((part) => (part.startsWith('"') ? part : quoteLiteral(part))).join(', ')}`
}

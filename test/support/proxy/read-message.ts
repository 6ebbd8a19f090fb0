/** A frame of the protocol as the fault proxy shows it: who sent it, its letter, and the text in it. */
import { Backend, Frontend } from '../../../src/protocol/message-types.ts'

export type Direction = 'frontend' | 'backend'

export interface Message {
  readonly direction: Direction
  /** The type byte as a letter. */
  readonly type: string
  /** SQL of a Query or Parse, tag of a CommandComplete, else the payload, each byte a character. */
  readonly text: string
}

export function readMessage(direction: Direction, type: number, payload: Buffer): Message {
  return { direction, type: String.fromCharCode(type), text: direction === 'frontend' ? frontendText(type, payload) : backendText(type, payload) }
}

function frontendText(type: number, payload: Buffer): string {
  if (type === Frontend.query) return cstring(payload, 0)
  if (type === Frontend.parse) return cstring(payload, payload.indexOf(0) + 1)
  return payload.toString('latin1')
}

function backendText(type: number, payload: Buffer): string {
  return type === Backend.commandComplete ? cstring(payload, 0) : payload.toString('latin1')
}

function cstring(payload: Buffer, start: number): string {
  const end = payload.indexOf(0, start)
  return payload.toString('utf8', start, end < 0 ? payload.length : end)
}

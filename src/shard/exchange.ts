import type { SqlError } from '../base/errors.ts'

/**
 * One request to a server and its answer: everything from the request's first byte to the ReadyForQuery that ends it.
 *
 * A connection is a queue of exchanges. Their requests go out in order and the answers come back in the same order, so
 * several may be under way at once; who holds a connection alone (a transaction) is simply the only one who queues.
 */
export interface Exchange {
  /** A frame of the answer, in [start, end) of a buffer that is valid during the call only. */
  onFrame(type: number, buffer: Buffer, start: number, end: number): void
  /** The answer is complete; `status` is 'I' (idle), 'T' (in a transaction) or 'E' (in a failed one), as a byte. */
  onReady(status: number): void
  /** It need not wait any longer for its turn; its request stays in the queue, and nobody wants the answer. */
  leave?(): void
  /** The connection broke before the answer was complete. What the server did with the request is not known. */
  onLost(error: SqlError): void
}

export const txIdle = 0x49
export const txActive = 0x54
export const txFailed = 0x45

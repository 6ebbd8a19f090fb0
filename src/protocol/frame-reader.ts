/**
 * Splits a stream of bytes into PostgreSQL's frames: one type byte, an Int32 length that counts itself, a payload.
 *
 * The chunk given to `push` may be reused by the caller as soon as `push` returns: what must last is copied. A frame that
 * lies whole in the chunk is handed on without a copy.
 */
export type FrameHandler = (type: number, buffer: Buffer, start: number, end: number) => void

export class FrameReader {
  private pending: Buffer | undefined
  private pendingLength = 0
  private readonly onFrame: FrameHandler
  private readonly bytesMax: number
  private stopped = false

  /** `onFrame` gets the type, and where the payload stands: [start, end) of a buffer valid during the call only. */
  constructor(onFrame: FrameHandler, bytesMax: number) {
    this.onFrame = onFrame
    this.bytesMax = bytesMax
  }

  /** Makes the rest of the bytes be ignored. */
  stop(): void {
    this.stopped = true
    this.pending = undefined
    this.pendingLength = 0
  }

  /** Throws RangeError when a length is impossible. */
  push(chunk: Buffer): void {
    let offset = 0
    if (this.pendingLength > 0) {
      offset = this.fill(chunk)
      if (offset < 0) return
    }
    while (!this.stopped && offset < chunk.length) {
      if (chunk.length - offset < 5) break
      const end = offset + 1 + this.lengthAt(chunk, offset)
      if (end > chunk.length) break
      this.onFrame(chunk[offset] as number, chunk, offset + 5, end)
      offset = end
    }
    if (!this.stopped && offset < chunk.length) this.keep(chunk, offset)
  }

  private lengthAt(buffer: Buffer, at: number): number {
    const length = buffer.readInt32BE(at + 1)
    if (length < 4 || length > this.bytesMax) throw new RangeError(`invalid message length ${length}`)
    return length
  }

  private keep(chunk: Buffer, offset: number): void {
    const rest = chunk.length - offset
    this.reserve(Math.max(rest, 16))
    chunk.copy(this.pending as Buffer, 0, offset)
    this.pendingLength = rest
  }

  /** Room grows with the bytes that came, never with the length that a peer claims. */
  private reserve(bytes: number): void {
    if (this.pending !== undefined && this.pending.length >= bytes) return
    const grown = Buffer.allocUnsafe(Math.max(bytes, (this.pending?.length ?? 0) * 2))
    this.pending?.copy(grown, 0, 0, this.pendingLength)
    this.pending = grown
  }

  /** Completes the frame that began in earlier chunks; gives how much of this chunk it took, -1 if it wants more. */
  private fill(chunk: Buffer): number {
    let taken = 0
    if (this.pendingLength < 5) {
      taken = Math.min(5 - this.pendingLength, chunk.length)
      this.reserve(this.pendingLength + taken)
      chunk.copy(this.pending as Buffer, this.pendingLength, 0, taken)
      this.pendingLength += taken
      if (this.pendingLength < 5) return -1
    }
    const total = 1 + this.lengthAt(this.pending as Buffer, 0)
    const want = Math.min(total - this.pendingLength, chunk.length - taken)
    this.reserve(this.pendingLength + want)
    const buffer = this.pending as Buffer
    chunk.copy(buffer, this.pendingLength, taken, taken + want)
    this.pendingLength += want
    if (this.pendingLength < total) return -1
    this.pending = undefined
    this.pendingLength = 0
    this.onFrame(buffer[0] as number, buffer, 5, total)
    return taken + want
  }
}

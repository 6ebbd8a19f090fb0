/** Writes frames one after the other into one growing buffer, so that a turn of the event loop is one write. */
/** A larger buffer is not kept: its bytes are wanted back once a large answer is gone. */
const reusedBytesMax = 65536

export class MessageWriter {
  private buffer: Buffer
  private length = 0
  private frameStart = 0

  constructor(initialBytes = 1024) {
    this.buffer = Buffer.allocUnsafe(initialBytes)
  }

  get size(): number {
    return this.length
  }

  private room(bytes: number): void {
    const need = this.length + bytes
    if (need <= this.buffer.length) return
    const grown = Buffer.allocUnsafe(Math.max(need, this.buffer.length * 2))
    this.buffer.copy(grown, 0, 0, this.length)
    this.buffer = grown
  }

  begin(type: string): this {
    this.room(5)
    this.buffer[this.length] = type.charCodeAt(0)
    this.frameStart = this.length + 1
    this.length += 5
    return this
  }

  end(): this {
    this.buffer.writeInt32BE(this.length - this.frameStart, this.frameStart)
    return this
  }

  byte(value: number): this {
    this.room(1)
    this.buffer[this.length++] = value
    return this
  }

  int16(value: number): this {
    this.room(2)
    this.buffer.writeUInt16BE(value & 0xffff, this.length)
    this.length += 2
    return this
  }

  int32(value: number): this {
    this.room(4)
    this.buffer.writeInt32BE(value | 0, this.length)
    this.length += 4
    return this
  }

  cstring(value: string): this {
    this.string(value)
    return this.byte(0)
  }

  string(value: string): this {
    const bytes = Buffer.byteLength(value)
    this.room(bytes)
    this.buffer.write(value, this.length)
    this.length += bytes
    return this
  }

  bytes(value: Buffer, start = 0, end = value.length): this {
    this.room(end - start)
    value.copy(this.buffer, this.length, start, end)
    this.length += end - start
    return this
  }

  /** A whole frame whose payload is already there. */
  frame(type: number, payload: Buffer, start: number, end: number): this {
    this.room(5 + end - start)
    this.buffer[this.length] = type
    this.buffer.writeInt32BE(4 + end - start, this.length + 1)
    payload.copy(this.buffer, this.length + 5, start, end)
    this.length += 5 + end - start
    return this
  }

  /** Everything written so far; the writer starts anew with a buffer of its own. */
  take(): Buffer {
    const taken = this.buffer.subarray(0, this.length)
    this.buffer = Buffer.allocUnsafe(1024)
    this.length = 0
    return taken
  }

  /**
   * Gives everything written so far to `write`, which says whether it is done with the bytes when it returns: then the buffer
   * is used again.
   */
  flushTo(write: (bytes: Buffer) => boolean): void {
    const bytes = this.buffer.subarray(0, this.length)
    this.length = 0
    if (!write(bytes) || this.buffer.length > reusedBytesMax) this.buffer = Buffer.allocUnsafe(1024)
  }
}

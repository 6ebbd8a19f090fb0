/**
 * Tells the bytes of a connection's start, which have no type byte, from the frames that follow: start-up packets of the client, and
 * the single byte that answers a request for encryption.
 */
const encryptionRequests: readonly number[] = [80877103, 80877104]

export interface Split {
  /** To be passed on as it is. */
  readonly raw: Buffer
  readonly frames: Buffer
}

const none = Buffer.alloc(0)

export class StartupReader {
  private pending: Buffer = none
  private hasStarted = false
  private answersDue = 0

  frontend(chunk: Buffer): Split {
    if (this.hasStarted) return { raw: none, frames: chunk }
    this.pending = Buffer.concat([this.pending, chunk])
    let at = 0
    while (!this.hasStarted && this.pending.length - at >= 8) {
      const length = this.pending.readInt32BE(at)
      if (this.pending.length - at < length) break
      if (encryptionRequests.includes(this.pending.readInt32BE(at + 4))) this.answersDue++
      else this.hasStarted = true
      at += length
    }
    const raw = this.pending.subarray(0, at)
    const rest = this.pending.subarray(at)
    this.pending = this.hasStarted ? none : rest
    return { raw, frames: this.hasStarted ? rest : none }
  }

  backend(chunk: Buffer): Split {
    const raw = Math.min(this.answersDue, chunk.length)
    this.answersDue -= raw
    return { raw: chunk.subarray(0, raw), frames: chunk.subarray(raw) }
  }
}

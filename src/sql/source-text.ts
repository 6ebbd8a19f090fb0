/**
 * A statement's text, addressed in bytes as the parser's locations are, and edited by splices.
 *
 * Inside, the UTF-8 bytes are held as a string of one character a byte, so that an offset is an index.
 */
export interface Edit {
  /** The bytes [start, end) are replaced. */
  readonly start: number
  readonly end: number
  readonly text: string
}

export class SourceText {
  readonly text: string
  private readonly bytes: string
  private readonly ascii: boolean

  constructor(text: string, bytes?: string) {
    this.text = text
    this.bytes = bytes ?? toBytes(text)
    this.ascii = this.bytes === text
  }

  get length(): number {
    return this.bytes.length
  }

  slice(start: number, end: number): SourceText {
    const raw = this.bytes.slice(start, end)
    const bytes = raw.trimStart()
    return this.ascii ? new SourceText(bytes, bytes) : new SourceText(fromBytes(bytes), bytes)
  }

  /** The text between two offsets. */
  between(start: number, end: number): string {
    const part = this.bytes.slice(start, end)
    return this.ascii ? part : fromBytes(part)
  }

  /** The byte-per-character form, for a scanner. */
  get raw(): string {
    return this.bytes
  }

  /** The text with all edits done; they must not overlap. */
  edited(edits: readonly Edit[]): string {
    const parts = this.pieces(edits)
    return parts.join('')
  }

  /** The text between two offsets with the edits that lie there. */
  editedBetween(start: number, end: number, edits: readonly Edit[]): string {
    const inside = edits.filter((edit) => edit.start >= start && edit.end <= end)
    let out = ''
    let at = start
    for (const edit of [...inside].sort((a, b) => a.start - b.start)) {
      out += this.between(at, edit.start) + edit.text
      at = edit.end
    }
    return out + this.between(at, end)
  }

  /** The texts between and of the edits, alternating: text, edit, text, ... */
  pieces(edits: readonly Edit[]): string[] {
    const parts: string[] = []
    let at = 0
    for (const edit of [...edits].sort((a, b) => a.start - b.start || a.end - b.end)) {
      if (edit.start < at) throw new Error('edits overlap')
      parts.push(this.between(at, edit.start), edit.text)
      at = edit.end
    }
    parts.push(this.between(at, this.bytes.length))
    return parts
  }
}

/** PostgreSQL's positions count characters; a string of JavaScript has two units for those past the basic plane. */
export function characterCount(text: string): number {
  return /[\ud800-\udbff]/.test(text) ? [...text].length : text.length
}

function toBytes(text: string): string {
  // A string without characters past 0x7f is its own byte form.
  return /^[\x00-\x7f]*$/.test(text) ? text : Buffer.from(text).toString('latin1')
}

function fromBytes(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString('utf8')
}

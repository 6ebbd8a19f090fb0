/** Parsed texts, the most recently used kept: what is known of a statement lives as long as it does here. */
import { limits } from '../base/limits.ts'
import { parseStatements } from '../sql/parse.ts'
import type { Statement } from '../sql/parse.ts'

export class ParseCache {
  /** Two generations: what is asked for in the older one moves to the newer, and the older one goes as a whole. */
  private recent = new Map<string, readonly Statement[]>()
  private older = new Map<string, readonly Statement[]>()

  parse(text: string): readonly Statement[] {
    const known = this.recent.get(text)
    if (known !== undefined) return known
    if (text.length > limits.planTextBytesMax) return parseStatements(text)
    const statements = this.older.get(text) ?? parseStatements(text)
    if (this.recent.size >= limits.plansMax / 2) {
      this.older = this.recent
      this.recent = new Map()
    }
    this.recent.set(text, statements)
    return statements
  }
}

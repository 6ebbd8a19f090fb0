/**
 * A text with its literals taken out, so that statements that differ in values alone have one key.
 *
 * Only literals that stand where an expression may stand are taken (behind an operator, a comma, a parenthesis or one of a few
 * keywords), since a number behind LIMIT or in a type means something else than one in a comparison. It is a scanner and knows
 * no grammar: who uses the key proves by the parser that the literals are constants of the statement.
 */

/** i: an integer that fits int4; l: a larger one that fits int8; s: a string without backslashes. */
export type LiteralClass = 'i' | 'l' | 's'

export interface LiteralFree {
  /** The text with a mark in the place of each literal, which tells its class. */
  readonly key: string
  /** The text around the literals: one more than there are literals. */
  readonly parts: readonly string[]
  /** As written, quotes and all. */
  readonly literals: readonly string[]
  readonly classes: readonly LiteralClass[]
}

const textLengthMax = 8192
const literalsMax = 200
const before = new Set(['and', 'or', 'not', 'like', 'ilike', 'between', 'when', 'then', 'else', 'select', 'where', 'limit', 'offset'])

const isDigit = (code: number) => code >= 48 && code <= 57
const isWord = (code: number) => (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || code === 95 || isDigit(code) || code > 127

/** Undefined for what is better parsed: long texts, comments, parameters, escapes, and texts without any literal. */
export function withoutLiterals(text: string): LiteralFree | undefined {
  if (text.length > textLengthMax) return undefined
  const parts: string[] = []
  const literals: string[] = []
  const classes: LiteralClass[] = []
  let key = ''
  let partStart = 0
  let wordStart = -1
  let wordEnd = -1
  let at = 0
  const take = (start: number, end: number, kind: LiteralClass) => {
    const part = text.slice(partStart, start)
    parts.push(part)
    literals.push(text.slice(start, end))
    classes.push(kind)
    key += `${part}\x02${kind}`
    partStart = end
  }
  /** The token before is a word: then it must be one behind which an expression begins. */
  const mayTake = () => wordStart < 0 || before.has(text.slice(wordStart, wordEnd).toLowerCase())
  while (at < text.length) {
    const code = text.charCodeAt(at)
    if (code === 32 || (code >= 9 && code <= 13)) at++
    else if (isDigit(code)) {
      const start = at
      while (isDigit(text.charCodeAt(at))) at++
      const next = text.charCodeAt(at)
      const isPlain = next !== 46 && !isWord(next) && text.charCodeAt(start - 1) !== 46
      while (text.charCodeAt(at) === 46 || isWord(text.charCodeAt(at))) at++
      if (isPlain && at - start <= 18 && mayTake()) take(start, at, at - start < 10 || Number(text.slice(start, at)) <= 0x7fffffff ? 'i' : 'l')
      wordStart = -1
    } else if (isWord(code)) {
      wordStart = at
      while (isWord(text.charCodeAt(at)) || text.charCodeAt(at) === 36) at++
      wordEnd = at
      // A prefix of a string, as in E'...', or of a Unicode name or string, as in U&'...'.
      if (text.charCodeAt(at) === 39 || text.charCodeAt(at) === 38) return undefined
    } else if (code === 39) {
      const end = stringEnd(text, at)
      if (end < 0) return undefined
      if (mayTake()) take(at, end, 's')
      at = end
      // Strings on two lines are one.
      if (/^\s*'/.test(text.slice(at, at + 64))) return undefined
      wordStart = -1
    } else if (code === 34) {
      const end = text.indexOf('"', at + 1)
      if (end < 0) return undefined
      at = end + 1
      wordStart = at - 1
      wordEnd = at
    } else if (code === 36 || code === 92 || code < 32 || (code === 45 && text.charCodeAt(at + 1) === 45) || (code === 47 && text.charCodeAt(at + 1) === 42)) {
      return undefined
    } else {
      wordStart = -1
      at++
    }
    if (literals.length > literalsMax) return undefined
  }
  if (literals.length === 0) return undefined
  const last = text.slice(partStart)
  parts.push(last)
  return { key: key + last, parts, literals, classes }
}

/** Behind the string that begins at `start`; -1 where it does not end, or holds a backslash. */
function stringEnd(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 92 || code < 32) return -1
    if (code !== 39) continue
    if (text.charCodeAt(at + 1) !== 39) return at + 1
    at++
  }
  return -1
}

/** The value that a literal stands for. */
export function literalValue(literal: string): string {
  return literal.startsWith("'") ? literal.slice(1, -1).replaceAll("''", "'") : literal
}

/**
 * A scanner for the few places where the tree does not say where something ends: names, parentheses, keywords.
 *
 * It knows PostgreSQL's lexical structure (manual, chapter 4.1): quoted and Unicode identifiers, all kinds of strings,
 * nested comments. Whatever is cut with its help is parsed again and compared, so a mistake here is an error, never a
 * wrong statement. Offsets are bytes, as in SourceText.raw.
 */
export interface Token {
  readonly kind: 'word' | 'quoted' | 'string' | 'number' | 'parameter' | 'punctuation'
  readonly start: number
  readonly end: number
}

const space = /[\s]/
const wordStart = /[A-Za-z_\x80-\xff]/
const wordPart = /[A-Za-z0-9_$\x80-\xff]/

export function skipSpace(raw: string, from: number): number {
  let at = from
  for (;;) {
    if (at < raw.length && space.test(raw[at] as string)) at++
    else if (raw.startsWith('--', at)) {
      const stop = raw.indexOf('\n', at)
      at = stop < 0 ? raw.length : stop + 1
    } else if (raw.startsWith('/*', at)) at = skipComment(raw, at)
    else return at
  }
}

function skipComment(raw: string, from: number): number {
  let depth = 0
  let at = from
  while (at < raw.length) {
    if (raw.startsWith('/*', at)) {
      depth++
      at += 2
    } else if (raw.startsWith('*/', at)) {
      at += 2
      if (--depth === 0) return at
    } else at++
  }
  return at
}

/** The token that begins at or after `from`, or undefined at the end. */
export function nextToken(raw: string, from: number): Token | undefined {
  const start = skipSpace(raw, from)
  const first = raw[start]
  if (first === undefined) return undefined
  if (first === '"') return { kind: 'quoted', start, end: quotedEnd(raw, start, '"') }
  if (first === "'") return { kind: 'string', start, end: quotedEnd(raw, start, "'") }
  if (first === '$') return dollarToken(raw, start)
  if (/[0-9]/.test(first) || (first === '.' && /[0-9]/.test(raw[start + 1] ?? ''))) {
    let end = start + 1
    while (end < raw.length && (/[0-9A-Za-z_.]/.test(raw[end] as string) || (/[+-]/.test(raw[end] as string) && /[eE]/.test(raw[end - 1] as string)))) end++
    return { kind: 'number', start, end }
  }
  if (wordStart.test(first)) return wordToken(raw, start)
  return { kind: 'punctuation', start, end: start + 1 }
}

function wordToken(raw: string, start: number): Token {
  const prefix = /^(?:[eE]|[uU]&|[bBxXnN])'/.exec(raw.slice(start, start + 3))
  if (prefix !== null) {
    const quote = start + prefix[0].length - 1
    return { kind: 'string', start, end: quotedEnd(raw, quote, "'", /[eE]/.test(prefix[0])) }
  }
  if (/^[uU]&"/.test(raw.slice(start, start + 3))) return { kind: 'quoted', start, end: quotedEnd(raw, start + 2, '"') }
  let end = start + 1
  while (end < raw.length && wordPart.test(raw[end] as string)) end++
  return { kind: 'word', start, end }
}

function dollarToken(raw: string, start: number): Token {
  const parameter = /^\$[0-9]+/.exec(raw.slice(start, start + 12))
  if (parameter !== null) return { kind: 'parameter', start, end: start + parameter[0].length }
  const tag = /^\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$/.exec(raw.slice(start, start + 128))
  if (tag === null) return { kind: 'punctuation', start, end: start + 1 }
  const stop = raw.indexOf(tag[0], start + tag[0].length)
  return { kind: 'string', start, end: stop < 0 ? raw.length : stop + tag[0].length }
}

function quotedEnd(raw: string, start: number, quote: string, escapes = false): number {
  let at = start + 1
  while (at < raw.length) {
    if (escapes && raw[at] === '\\') at += 2
    else if (raw[at] !== quote) at++
    else if (raw[at + 1] === quote) at += 2
    else return at + 1
  }
  return raw.length
}

/** Where the name that begins at `start` ends: `a`, `a.b` or `a.b.c`, quoted or not. */
export function nameEnd(raw: string, start: number): number {
  let end = nextToken(raw, start)?.end ?? start
  for (;;) {
    const dot = nextToken(raw, end)
    if (dot === undefined || raw.slice(dot.start, dot.end) !== '.') return end
    const part = nextToken(raw, dot.end)
    if (part === undefined || (part.kind !== 'word' && part.kind !== 'quoted')) return end
    end = part.end
  }
}

/** All tokens of a text with the depth of parentheses they stand in (the parentheses themselves: the outer depth). */
export function* tokensWithDepth(raw: string, from = 0): Generator<Token & { readonly depth: number; readonly text: string }> {
  let depth = 0
  let at = from
  for (;;) {
    const token = nextToken(raw, at)
    if (token === undefined) return
    const text = raw.slice(token.start, token.end)
    if (text === ')' || text === ']') depth--
    yield { ...token, depth, text }
    if (text === '(' || text === '[') depth++
    at = token.end
  }
}

export interface Span {
  readonly start: number
  readonly end: number
}

/** Where a keyword stands at depth 0, from an offset on; the last one with `last`. */
export function findKeyword(raw: string, keyword: string, from = 0, last = false): Span | undefined {
  let found: Span | undefined
  for (const token of tokensWithDepth(raw, from)) {
    if (token.depth === 0 && token.kind === 'word' && token.text.toLowerCase() === keyword) {
      found = { start: token.start, end: token.end }
      if (!last) return found
    }
  }
  return found
}

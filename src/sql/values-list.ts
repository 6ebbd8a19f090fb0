/**
 * Takes a VALUES list apart: a bulk INSERT has thousands of rows, so this looks at each byte once and makes no tokens.
 *
 * What separates values are commas and parentheses outside of strings, quoted names, dollar quotes and comments. The caller
 * parses what it builds from the pieces and compares, so a mistake here is an error, never a wrong statement.
 */
import type { Span } from './scanner.ts'
import { findKeyword, nextToken, skipSpace } from './scanner.ts'

export interface ValuesList {
  readonly rows: readonly { readonly span: Span; readonly values: readonly Span[] }[]
  readonly keyword: Span
  readonly end: number
}

const [space, quote, doubleQuote, dollar, open, close, comma, minus, slash, openBracket, closeBracket] = [0x20, 0x27, 0x22, 0x24, 0x28, 0x29, 0x2c, 0x2d, 0x2f, 0x5b, 0x5d]

/** The rows of a VALUES list and the expressions in each, without space and comments around them. `from` is before VALUES. */
export function valuesList(raw: string, from: number): ValuesList | undefined {
  const keyword = findKeyword(raw, 'values', from)
  if (keyword === undefined) return undefined
  const rows: { span: Span; values: Span[] }[] = []
  let end = keyword.end
  for (let at = skipSpace(raw, keyword.end); raw.charCodeAt(at) === open; ) {
    const row = readRow(raw, at)
    if (row === undefined) return undefined
    rows.push(row)
    end = row.span.end
    const next = skipSpace(raw, end)
    if (raw.charCodeAt(next) !== comma) break
    at = skipSpace(raw, next + 1)
  }
  return { rows, keyword, end }
}

/** The row whose parenthesis opens at `start`; undefined when it does not close. */
function readRow(raw: string, start: number): { span: Span; values: Span[] } | undefined {
  const values: Span[] = []
  let depth = 0
  /** The first and the end of the last byte of the value that matters; -1 before there is one. */
  let first = -1
  let last = -1
  for (let at = start + 1; at < raw.length; ) {
    const code = raw.charCodeAt(at)
    if (code <= space) {
      at++
      continue
    }
    if ((code === minus && raw.charCodeAt(at + 1) === minus) || (code === slash && raw.startsWith('/*', at))) {
      at = skipSpace(raw, at)
      continue
    }
    if (depth === 0 && (code === comma || code === close)) {
      values.push({ start: first < 0 ? at : first, end: first < 0 ? at : last })
      first = -1
      at++
      if (code === close) return { span: { start, end: at }, values }
      continue
    }
    if (first < 0) first = at
    if (code === quote || code === doubleQuote || code === dollar) at = quotedEnd(raw, at)
    else {
      if (code === open || code === openBracket) depth++
      else if (code === close || code === closeBracket) depth--
      at++
    }
    last = at
  }
  return undefined
}

/** Behind the string, quoted name or parameter at `at`. E'...' has escapes: its letter stands right before it. */
function quotedEnd(raw: string, at: number): number {
  const code = raw.charCodeAt(at)
  const before = raw[at - 1] ?? ''
  // A dollar inside a word is part of it.
  if (code === dollar) return /[A-Za-z0-9_$\x80-\xff]/.test(before) ? at + 1 : (nextToken(raw, at)?.end ?? raw.length)
  if (code === quote && /[eE]/.test(before) && !/[A-Za-z0-9_$\x80-\xff]/.test(raw[at - 2] ?? '')) return nextToken(raw, at - 1)?.end ?? raw.length
  const mark = code === quote ? "'" : '"'
  for (let end = raw.indexOf(mark, at + 1); end >= 0; end = raw.indexOf(mark, end + 2)) {
    if (raw.charCodeAt(end + 1) !== code) return end + 1
  }
  return raw.length
}

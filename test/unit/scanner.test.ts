import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { findKeyword, nameEnd, skipSpace, tokensWithDepth } from '../../src/sql/scanner.ts'
import { SourceText } from '../../src/sql/source-text.ts'
import { letters, word, quoted, token, gap } from '../support/sql-tokens.ts'

const rawOf = (text: string) => new SourceText(text).raw

describe('scanner', () => {
  test('finds the tokens that were written, whatever stands between them', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(token, gap), { maxLength: 12 }), gap, (list, lead) => {
        const raw = rawOf(lead + list.map(([{ text }, after]) => text + after).join(''))
        const found = [...tokensWithDepth(raw)].map(({ kind, text }) => ({ kind, text }))
        expect(found).toEqual(list.map(([{ kind, text }]) => ({ kind, text: rawOf(text) })))
      }),
    )
  })

  test('skips space and comments only', () => {
    fc.assert(
      fc.property(fc.array(gap), word, (gaps, first) => {
        const lead = gaps.join('')
        expect(skipSpace(rawOf(lead + first), 0)).toBe(Buffer.byteLength(lead))
      }),
    )
  })

  test('a name ends after its last part', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(word, quoted), { minLength: 1, maxLength: 3 }), gap, (names, between) => {
        const name = names.join(`${between}.${between}`)
        expect(nameEnd(rawOf(`${name} (x)`), 0)).toBe(Buffer.byteLength(name))
      }),
    )
  })

  test('never fails and never stands still, on any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.oneof(letters, fc.constantFrom("'", '"', '$', 'E', 'U', '&', '\\', '/', '*', '-', '\n', ' ', '(', ')', '1', '.')) }), (text) => {
        const raw = rawOf(text)
        let at = 0
        for (const found of tokensWithDepth(raw)) {
          expect(found.start).toBeGreaterThanOrEqual(at)
          expect(found.end).toBeGreaterThan(found.start)
          expect(found.end).toBeLessThanOrEqual(raw.length)
          at = found.end
        }
      }),
    )
  })

  test('finds keywords outside parentheses, strings and comments', () => {
    const raw = rawOf("SELECT 'from', (SELECT 1 FROM a), \"from\" /* from */ FROM é")
    expect(findKeyword(raw, 'from')).toEqual({ start: raw.lastIndexOf('FROM'), end: raw.lastIndexOf('FROM') + 4 })
    expect(findKeyword(raw, 'where')).toBeUndefined()
  })
})

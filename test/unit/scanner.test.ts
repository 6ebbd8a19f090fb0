import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { findKeyword, nameEnd, skipSpace, tokensWithDepth, valuesSpans } from '../../src/sql/scanner.ts'
import { SourceText } from '../../src/sql/source-text.ts'

const letters = fc.constantFrom('a', 'Z', '_', 'é', 'à', '€', '日', '🐘', '\u00a0')
const inside = fc.string({ unit: fc.oneof(letters, fc.constantFrom(' ', '\n', ';', ',', '(', ')', '--', '/*', '*/', '1', '.')), maxLength: 8 })

const word = fc.tuple(letters, fc.string({ unit: fc.oneof(letters, fc.constantFrom('0', '$')), maxLength: 6 })).map((pair) => pair.join(''))
const quoted = inside.map((body) => `"${body}""x"`)
const tag = fc.string({ unit: fc.constantFrom('a', 'é', '_'), maxLength: 3 })
const string = fc.oneof(
  inside.map((body) => `'${body}'''`),
  inside.map((body) => `E'${body}\\'\\\\'`),
  inside.map((body) => `e'\\'${body}'`),
  inside.map((body) => `U&'${body}'`),
  fc.constantFrom("B'101'", "X'ff'", "N'a'"),
  fc.tuple(tag, inside).map(([name, body]) => `$${name}$${body} $other$ ' $${name}$`),
)
const number = fc.constantFrom('1', '1.5', '.5', '1e10', '1.5e-3', '0xff', '1_000')
const parameter = fc.integer({ min: 1, max: 9999 }).map((n) => `$${n}`)
const punctuation = fc.constantFrom(',', ';', '+', '=', '<', '*', ':')
const unicodeQuoted = inside.map((body) => `U&"${body}"`)

const token = fc.oneof(
  word.map((text) => ({ kind: 'word', text })),
  quoted.map((text) => ({ kind: 'quoted', text })),
  unicodeQuoted.map((text) => ({ kind: 'quoted', text })),
  string.map((text) => ({ kind: 'string', text })),
  number.map((text) => ({ kind: 'number', text })),
  parameter.map((text) => ({ kind: 'parameter', text })),
  punctuation.map((text) => ({ kind: 'punctuation', text })),
)
const gap = fc.oneof(
  fc.constantFrom(' ', '\n', '\t ', ' /**/ ', '/* a /* nested é */ ; */'),
  inside.map((body) => ` --${body.replaceAll('\n', ' ')}\n`),
)

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

  test('finds the rows and values of a VALUES list', () => {
    const value = fc.oneof(string, number, parameter, quoted, inside.map((body) => `f(1, '${body}', ARRAY[2, 3])`))
    const rows = fc.array(fc.array(value, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(rows, gap, (list, space) => {
        const source = new SourceText(`INSERT INTO "é,("${space}(a) VALUES${space}${list.map((row) => `(${row.join(',')})`).join(`${space},`)} ON CONFLICT DO NOTHING`)
        const found = valuesSpans(source.raw, 0)
        expect(found?.rows.map((row) => row.values.map(({ start, end }) => source.between(start, end)))).toEqual(list)
        expect(found?.rows.map(({ span }) => source.between(span.start, span.end))).toEqual(list.map((row) => `(${row.join(',')})`))
      }),
    )
  })
})

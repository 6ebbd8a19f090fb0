import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SourceText } from '../../src/sql/source-text.ts'

/** Text of one, two, three and four byte characters, with many plain ones. */
const text = fc.string({ unit: fc.oneof(fc.constantFrom('a', ' ', '\n', "'", 'é', 'à', '€', '日', '🐘', '\u00a0', '\u3000'), fc.string({ unit: 'binary', minLength: 1, maxLength: 1 })), maxLength: 12 })
const parts = fc.array(fc.record({ old: text, replacement: fc.option(text, { nil: undefined }) }), { maxLength: 10 })

/** The edits that turn the old parts into their replacements, at byte offsets. */
function editsOf(list: readonly { old: string; replacement: string | undefined }[]) {
  let at = 0
  return list.flatMap(({ old, replacement }) => {
    const start = at
    at += Buffer.byteLength(old)
    return replacement === undefined ? [] : [{ start, end: at, text: replacement }]
  })
}

describe('SourceText', () => {
  test('counts bytes', () => {
    fc.assert(fc.property(text, (value) => void expect(new SourceText(value).length).toBe(Buffer.byteLength(value))))
  })

  test('between gives the text of a range of bytes', () => {
    fc.assert(
      fc.property(text, text, text, (before, middle, after) => {
        const start = Buffer.byteLength(before)
        const source = new SourceText(before + middle + after)
        expect(source.between(start, start + Buffer.byteLength(middle))).toBe(middle)
      }),
    )
  })

  test('a slice is the text of its range without the space that leads it, and can be edited in turn', () => {
    fc.assert(
      fc.property(text, text, text, (before, middle, after) => {
        const start = Buffer.byteLength(before)
        const slice = new SourceText(before + middle + after).slice(start, start + Buffer.byteLength(middle))
        const trimmed = middle.replace(/^[ \t\n\v\f\r]+/, '')
        expect(slice.text).toBe(trimmed)
        expect(slice.length).toBe(Buffer.byteLength(trimmed))
        expect(slice.edited([{ start: slice.length, end: slice.length, text: '; é' }])).toBe(`${trimmed}; é`)
      }),
    )
  })

  test('edits replace their ranges and nothing else, in whatever order they come', () => {
    fc.assert(
      fc.property(parts, fc.boolean(), (list, reversed) => {
        const edits = editsOf(list.filter(({ old }) => old !== ''))
        const source = new SourceText(list.map(({ old }) => old).join(''))
        const expected = list.filter(({ old }) => old !== '').map(({ old, replacement }) => replacement ?? old).join('')
        expect(source.edited(reversed ? edits.toReversed() : edits)).toBe(expected)
      }),
    )
  })

  test('pieces alternate between text and edits', () => {
    fc.assert(
      fc.property(parts, (list) => {
        const edits = editsOf(list.filter(({ old }) => old !== ''))
        const pieces = new SourceText(list.map(({ old }) => old).join('')).pieces(edits)
        expect(pieces).toHaveLength(2 * edits.length + 1)
        expect(pieces.filter((_, i) => i % 2 === 1)).toEqual(edits.map((edit) => edit.text))
      }),
    )
  })

  test('refuses edits that overlap', () => {
    const source = new SourceText('SELECT éé')
    expect(() => source.edited([{ start: 0, end: 3, text: '' }, { start: 2, end: 4, text: '' }])).toThrow('overlap')
  })
})

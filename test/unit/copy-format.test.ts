import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { copyField, decodeCopyField, decodeCopyLine, encodeCopyLine } from '../../src/executor/copy-format.ts'

const special = fc.constantFrom('\\', '\t', '\n', '\r', '\b', '\f', '\v', 'N', 'x', '0', '7', '\\N', '\\.', 'é', '🐘')
const value = fc.string({ unit: fc.oneof(special, fc.string({ unit: 'binary', minLength: 1, maxLength: 1 })), maxLength: 12 })
const row = fc.array(fc.option(value, { nil: undefined }), { minLength: 1, maxLength: 8 })

const encode = (values: readonly (string | undefined)[]) => encodeCopyLine(values.map((text) => (text === undefined ? undefined : Buffer.from(text))))

describe("COPY's text format", () => {
  test('a line decodes to what was encoded', () => {
    fc.assert(fc.property(row, (values) => void expect(decodeCopyLine(encode(values).subarray(0, -1))).toEqual(values)))
  })

  test('a line is one line: its only newline is its last byte, and no field looks like the end of data', () => {
    fc.assert(
      fc.property(row, (values) => {
        const line = encode(values)
        expect(line.indexOf(10)).toBe(line.length - 1)
        expect(line.toString('latin1')).not.toBe('\\.\n')
      }),
    )
  })

  test('one field is found without decoding the others', () => {
    fc.assert(
      fc.property(row, (values) => {
        const line = encode(values).subarray(0, -1)
        for (const [i, text] of values.entries()) expect(decodeCopyField(copyField(line, i))).toBe(text)
      }),
    )
  })

  test.each([
    ['\\N', undefined],
    ['\\N ', 'N '],
    ['a\\N', 'aN'],
    ['', ''],
    ['\\101\\x42\\x4', 'AB\u0004'],
    ['\\1011', 'A1'],
    ['\\xg', 'xg'],
    ['\\q\\.', 'q.'],
    ['\\303\\251', 'é'],
    ['\\xc3\\xa9', 'é'],
    ['end\\', 'end\\'],
  ])('decodes %j as PostgreSQL does', (field, expected) => {
    expect(decodeCopyField(Buffer.from(field))).toBe(expected)
  })
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SourceText } from '../../src/sql/source-text.ts'
import { valuesList } from '../../src/sql/values-list.ts'
import { gap, inside, number, parameter, quoted, string, word } from '../support/sql-tokens.ts'

const value = fc.oneof(
  string,
  number,
  parameter,
  quoted,
  word,
  fc.constantFrom('DEFAULT', 'NULL', '-1', 'a - 1', "'a' || $1", 'x$1', 'a[1]', "('a', (2))::t", 'ARRAY[1, 2]'),
  inside.map((body) => `f(1, '${body}', ARRAY[2, 3]) /* ${body.replaceAll('/', '').replaceAll('*', '')} */ + "${body}"`),
)
const rows = fc.array(fc.array(value, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 4 })

describe('valuesList', () => {
  test('finds the rows and values, without space and comments around them', () => {
    fc.assert(
      fc.property(rows, gap, gap, (list, space, around) => {
        const texts = list.map((row) => `(${around}${row.join(`${around},${around}`)}${around})`)
        const source = new SourceText(`INSERT INTO "é,("${space}(a) VALUES${space}${texts.join(`${space},`)} ON CONFLICT (a) DO NOTHING`)
        const found = valuesList(source.raw, 0)
        expect(found?.rows.map((row) => row.values.map(({ start, end }) => source.between(start, end)))).toEqual(list)
        expect(found?.rows.map(({ span }) => source.between(span.start, span.end))).toEqual(texts)
        expect(source.between(found?.end ?? 0, source.length)).toBe(' ON CONFLICT (a) DO NOTHING')
      }),
      { numRuns: 500 },
    )
  })

  test('finds none where there is none, or where a parenthesis stays open', () => {
    expect(valuesList("SELECT 'values (1)' -- values (1)", 0)).toBeUndefined()
    expect(valuesList('VALUES (1, (2)', 0)).toBeUndefined()
  })
})

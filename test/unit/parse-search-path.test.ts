import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseSearchPath } from '../../src/planner/resolve.ts'

const plain = fc.stringMatching(/^[a-z_][a-z0-9_$]{0,10}$/)
const any = fc.string({ unit: fc.oneof(fc.constantFrom('"', ',', ' ', '$', 'A', 'é', '日'), fc.string({ minLength: 1, maxLength: 1 })), minLength: 1, maxLength: 10 })
const quote = (name: string) => `"${name.replaceAll('"', '""')}"`

describe('parseSearchPath', () => {
  test('reads what PostgreSQL shows: plain names bare, others quoted', () => {
    const part = fc.oneof(
      plain.map((name) => ({ name, text: name })),
      any.filter((name) => name !== '$user').map((name) => ({ name, text: quote(name) })),
    )
    fc.assert(
      fc.property(fc.array(part, { maxLength: 6 }), fc.constantFrom(', ', ',', ' , '), (parts, comma) => {
        expect(parseSearchPath(parts.map(({ text }) => text).join(comma), 'me')).toEqual(parts.map(({ name }) => name))
      }),
    )
  })

  test.each([
    ['"$user", public', ['me', 'public']],
    ['$user,public', ['me', 'public']],
    ['Public, "Public"', ['public', 'Public']],
    ['', []],
    ['""', []],
    ['pg_catalog', ['pg_catalog']],
    // PostgreSQL folds ASCII letters only, in a database of UTF8.
    ['ÜBER', ['Über']],
  ])('reads %j', (setting, expected) => {
    expect(parseSearchPath(setting, 'me')).toEqual(expected)
  })
})

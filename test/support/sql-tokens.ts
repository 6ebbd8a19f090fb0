/** Random pieces of SQL for tests of whatever reads it. */
import fc from 'fast-check'

export const letters = fc.constantFrom('a', 'Z', '_', 'é', 'à', '€', '日', '🐘', '\u00a0')
export const inside = fc.string({ unit: fc.oneof(letters, fc.constantFrom(' ', '\n', ';', ',', '(', ')', '--', '/*', '*/', '1', '.')), maxLength: 8 })

export const word = fc.tuple(letters, fc.string({ unit: fc.oneof(letters, fc.constantFrom('0', '$')), maxLength: 6 })).map((pair) => pair.join(''))
export const quoted = inside.map((body) => `"${body}""x"`)
export const tag = fc.string({ unit: fc.constantFrom('a', 'é', '_'), maxLength: 3 })
export const string = fc.oneof(
  inside.map((body) => `'${body}'''`),
  inside.map((body) => `E'${body}\\'\\\\'`),
  inside.map((body) => `e'\\'${body}'`),
  inside.map((body) => `U&'${body}'`),
  fc.constantFrom("B'101'", "X'ff'", "N'a'"),
  fc.tuple(tag, inside).map(([name, body]) => `$${name}$${body} $other$ ' $${name}$`),
)
export const number = fc.constantFrom('1', '1.5', '.5', '1e10', '1.5e-3', '0xff', '1_000')
export const parameter = fc.integer({ min: 1, max: 9999 }).map((n) => `$${n}`)
export const punctuation = fc.constantFrom(',', ';', '+', '=', '<', '*', ':')
export const unicodeQuoted = inside.map((body) => `U&"${body}"`)

export const token = fc.oneof(
  word.map((text) => ({ kind: 'word', text })),
  quoted.map((text) => ({ kind: 'quoted', text })),
  unicodeQuoted.map((text) => ({ kind: 'quoted', text })),
  string.map((text) => ({ kind: 'string', text })),
  number.map((text) => ({ kind: 'number', text })),
  parameter.map((text) => ({ kind: 'parameter', text })),
  punctuation.map((text) => ({ kind: 'punctuation', text })),
)
export const gap = fc.oneof(
  fc.constantFrom(' ', '\n', '\t ', ' /**/ ', '/* a /* nested é */ ; */'),
  inside.map((body) => ` --${body.replaceAll('\n', ' ')}\n`),
)


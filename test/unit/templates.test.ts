/** A text planned through a template must give the plan that it gives by itself. */
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { planStatement } from '../../src/planner/plan-statement.ts'
import type { NameContext } from '../../src/planner/resolve.ts'
import { Templates } from '../../src/router/templates.ts'
import { withoutLiterals } from '../../src/sql/literal-free.ts'
import { parserReady, parseStatements } from '../../src/sql/parse.ts'
import { planSnapshot } from '../support/plan-snapshot.ts'

const context: NameContext = { snapshot: planSnapshot, searchPath: ['public'], temporary: new Set(), parameterTypes: [] }

beforeAll(() => parserReady)

/** `#` stands for a number, `@` for a string. */
const forms = [
  'SELECT * FROM customers WHERE id = #',
  'SELECT name, @ FROM customers c WHERE c.id = # AND country = @ LIMIT #',
  'SELECT * FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.id = # AND o.total > #',
  'SELECT a.name FROM customers a JOIN customers b ON a.id = # AND b.id = #',
  'SELECT * FROM events WHERE key = @ AND payload LIKE @',
  'SELECT (SELECT count(*) FROM orders WHERE customer_id = #) FROM customers WHERE id = #',
  'SELECT id FROM customers WHERE id IN (#, #)',
  'SELECT line FROM log WHERE line = @ ORDER BY line LIMIT #',
  'SELECT name FROM countries WHERE code = @',
  'UPDATE customers SET name = @, country = @ WHERE id = #',
  'UPDATE orders SET total = total + # WHERE customer_id = # RETURNING total, @',
  'DELETE FROM events WHERE key = @',
  'INSERT INTO customers VALUES (#, @, @)',
  'INSERT INTO customers (id, name) VALUES (#, @), (#, @) ON CONFLICT (id) DO UPDATE SET name = @ RETURNING *',
  'INSERT INTO orders (customer_id, total, placed) VALUES (#, #, @)',
  'INSERT INTO events VALUES (@, @)',
  'SELECT name FROM customers WHERE id = # ORDER BY name, #',
]

const number = fc.oneof(fc.nat({ max: 50 }).map(String), fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).map(String))
const string = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 8 }), fc.constantFrom('now', ' NOW ', "it's", '$1', '', '5', '--', '\\')).map((text) => `'${text.replaceAll('\0', '').replaceAll("'", "''")}'`)

describe('a template', () => {
  it.each(forms)('gives the plan of the text itself: %s', (form) => {
    const holes = form.match(/[#@]/g) ?? []
    const values = fc.tuple(...holes.map((hole) => (hole === '#' ? number : string)))
    const fill = (literals: readonly string[]) => literals.reduce((text, literal) => text.replace(/[#@]/, () => literal.replaceAll('#', '\x03').replaceAll('@', '\x04')), form).replaceAll('\x03', '#').replaceAll('\x04', '@')
    fc.assert(
      fc.property(values, values, (first, second) => {
        const templates = new Templates()
        for (let seen = 0; seen < 2; seen++) learn(templates, fill(first))
        const text = fill(second)
        const shape = withoutLiterals(text)
        const template = shape === undefined ? undefined : templates.find(shape, planSnapshot)
        if (shape === undefined || template === undefined) return
        expect(template.fill(shape.literals)).toEqual(planOf(text))
      }),
    )
  })

  it('is made for what comes again', () => {
    const templates = new Templates()
    learn(templates, 'SELECT * FROM customers WHERE id = 1')
    const find = (text: string) => templates.find(withoutLiterals(text) ?? never(), planSnapshot)
    expect(find('SELECT * FROM customers WHERE id = 2')).toBeUndefined()
    learn(templates, 'SELECT * FROM customers WHERE id = 2')
    expect(find('SELECT * FROM customers WHERE id = 3')).toBeDefined()
    expect(find('SELECT * FROM customers WHERE id = 3000000000')).toBeUndefined()
  })

  it('is not made where a number is a position', () => {
    const templates = new Templates()
    for (const text of ['SELECT name, id FROM customers WHERE id = 1 ORDER BY 1, 2', 'SELECT name, id FROM customers WHERE id = 2 ORDER BY 1, 1']) learn(templates, text)
    expect(templates.find(withoutLiterals('SELECT name, id FROM customers WHERE id = 3 ORDER BY 1, 2') ?? never(), planSnapshot)).toBeUndefined()
  })
})

function never(): never {
  throw new Error('no literals were found')
}

function planOf(text: string) {
  const [statement] = parseStatements(text)
  return planStatement(statement ?? never(), context).plan
}

function learn(templates: Templates, text: string): void {
  const shape = withoutLiterals(text)
  if (shape === undefined) return
  const [statement] = parseStatements(text)
  templates.learn(shape, statement ?? never(), context)
}

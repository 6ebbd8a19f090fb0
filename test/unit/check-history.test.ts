/** The checker of histories: each anomaly by a history written by hand, and none where there is none. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { forbiddenAt } from '../support/histories/anomaly.ts'
import type { CheckOptions } from '../support/histories/check-history.ts'
import { checkHistory } from '../support/histories/check-history.ts'
import type { History, Op, Status, Transaction } from '../support/histories/history.ts'

/** `a1` appends 1 to list a; `a:1,2` reads it as [1, 2]; `a:` reads it as empty. */
function op(text: string): Op {
  const key = text.charCodeAt(0)
  if (!text.includes(':')) return { kind: 'append', key, value: Number(text.slice(1)) }
  const rest = text.slice(2)
  return { kind: 'read', key, values: rest === '' ? [] : rest.split(',').map(Number) }
}

function transaction(id: number, ops: string, more: Partial<Transaction> = {}): Transaction {
  return { id, client: id, status: 'committed', ops: ops.split(' ').map(op), began: 0, ended: 1000, ...more }
}

const history = (...ops: (string | readonly [string, Status])[]): History =>
  ops.map((one, i) => (typeof one === 'string' ? transaction(i + 1, one) : transaction(i + 1, one[0], { status: one[1] })))

const kinds = (checked: History, options?: CheckOptions) => [...new Set(checkHistory(checked, options).map(({ kind }) => kind))].sort()

describe('histories written by hand', () => {
  test.each<readonly [string, History, readonly string[]]>([
    ['nothing wrong', history('a1', 'a:1 b2', 'a:1 b:2'), []],
    ['a value that nobody appended', history('a1', 'a:1,9'), ['garbage']],
    ['a value twice', history('a1', 'a:1,1'), ['duplicate']],
    ['two orders', history('a1', 'a2', 'a:1,2', 'a:2,1'), ['incompatible-order']],
    ['a read of an aborted transaction', history(['a1', 'aborted'], 'a:1'), ['G1a']],
    ['a read from inside of a transaction', history('a1 a2', 'a:1', 'a:1,2'), ['G-single', 'G1b']],
    ['an append that its own transaction does not see', history('a1 a:'), ['own-append-missing']],
    ['a list that grew between two reads', history('a:', 'a1', 'a: a:1'), ['G-single', 'unrepeatable']],
    ['own appends between two reads', history('a1', 'a:1 a2 a:1,2 a3 a:1,2,3'), []],
    ['writes in both orders', history('a1 b1', 'a2 b2', 'a:1,2', 'b:2,1'), ['G0']],
    ['information in a circle', history('a1 b:2', 'b2 a:1'), ['G1c']],
    ['writes and information in a circle', history('a1 b:2', 'a2 b2', 'a:1,2'), ['G1c']],
    ['half of a transaction seen', history('a1 b1', 'a:1 b:', 'b:1'), ['G-single']],
    ['a lost update', history('a:', 'a: a1', 'a: a2', 'a:1,2'), ['G-single']],
    ['write skew', history('a: b: a1', 'a: b: b2', 'a:1 b:2'), ['G2-item']],
    // Two readers see two writers in two orders (the long fork).
    ['a long fork', history('a1', 'b2', 'a:1 b:', 'a: b:2', 'a:1 b:2'), ['G-nonadjacent']],
    ['an unknown transaction that nobody saw', history(['a1 b1', 'unknown'], 'a:'), []],
    ['an unknown transaction that was seen by half', history(['a1 b1', 'unknown'], 'a:1 b:', 'b:1'), ['G-single']],
    ['an unknown one seen by an unknown one that was seen', history(['a1 b1', 'unknown'], ['a:1 b: c1', 'unknown'], 'c:1 b:1'), ['G-single']],
    ['an unknown one seen by one that nobody saw', history(['a1 b1', 'unknown'], ['a:1 b: c1', 'unknown'], 'b:1'), []],
  ])('%s', (_name, checked, expected) => expect(kinds(checked)).toEqual(expected))

  test('what was acknowledged and is not there in the end is lost', () => {
    const checked = history('a1', 'a2', ['a3', 'unknown'], ['a4', 'aborted'])
    const final = (...values: number[]) => ({ final: new Map([[op('a:').key, values]]) })
    expect(kinds(checked, final(1, 2))).toEqual([])
    expect(kinds(checked, final(1, 2, 3))).toEqual([])
    expect(kinds(checked, final(2))).toEqual(['lost'])
    expect(kinds(checked, final(1, 2, 4))).toEqual(['G1a'])
  })

  test('a value that is appended twice cannot be checked', () => {
    expect(() => checkHistory(history('a1', 'a1'))).toThrow('appended twice')
  })
})

describe('orders beside the data', () => {
  const stale: History = [transaction(1, 'a1', { client: 1, began: 1, ended: 2 }), transaction(2, 'a:', { client: 1, began: 3, ended: 4 }), transaction(3, 'a:1', { client: 2, began: 5, ended: 6 })]

  test('a read that misses what its own client had written before', () => {
    expect(kinds(stale)).toEqual([])
    expect(kinds(stale, { orders: ['session'] })).toEqual(['G-single-session'])
  })

  test('a read that misses what had been acknowledged before it began', () => {
    expect(kinds(stale, { orders: ['realtime'] })).toEqual(['G-single-realtime'])
    const unknown = stale.map((one) => (one.id === 1 ? { ...one, status: 'unknown' as const } : one))
    expect(kinds(unknown, { orders: ['realtime'] })).toEqual([])
  })

  test('the order of the clock goes over those between', () => {
    const chain: History = [transaction(1, 'a1', { began: 1, ended: 2 }), transaction(2, 'b1', { began: 3, ended: 4 }), transaction(3, 'c1', { began: 5, ended: 6 }), transaction(4, 'a:', { began: 7, ended: 8 }), transaction(5, 'a:1', { began: 9, ended: 10 })]
    expect(kinds(chain, { orders: ['realtime'] })).toEqual(['G-single-realtime'])
  })
})

test('levels forbid what PostgreSQL forbids', () => {
  const skew = checkHistory(history('a: b: a1', 'a: b: b2', 'a:1 b:2'))
  expect(forbiddenAt('repeatable read', skew)).toEqual([])
  expect(forbiddenAt('serializable', skew)).not.toEqual([])
  const half = checkHistory(history('a1 b1', 'a:1 b:', 'b:1'))
  expect(forbiddenAt('read committed', half)).toEqual([])
  expect(forbiddenAt('repeatable read', half)).not.toEqual([])
})

/** Which key, and whether it is read. */
const shape = fc.array(fc.tuple(fc.array(fc.tuple(fc.integer({ min: 0, max: 4 }), fc.boolean()), { minLength: 1, maxLength: 6 }), fc.integer({ min: 0, max: 9 })), { maxLength: 40 })

/** Transactions one after the other; of ten one aborts, one is unknown and did not happen, one is unknown and did. */
function serial(shapes: readonly (readonly [readonly (readonly [number, boolean])[], number])[]): { history: Transaction[]; final: Map<number, readonly number[]> } {
  let lists = new Map<number, readonly number[]>()
  let next = 1
  const done = shapes.map(([steps, chance], i) => {
    const own = new Map(lists)
    const ops = steps.map(([key, reads]): Op => {
      const values = own.get(key) ?? []
      if (reads) return { kind: 'read', key, values }
      own.set(key, [...values, next])
      return { kind: 'append', key, value: next++ }
    })
    const status: Status = chance === 0 ? 'aborted' : chance <= 2 ? 'unknown' : 'committed'
    if (chance >= 2) lists = own
    return { id: i + 1, client: i % 3, status, ops, began: 2 * i, ended: 2 * i + 1 }
  })
  return { history: done, final: lists }
}

describe('any serial history', () => {
  test('has no anomaly', () => {
    fc.assert(
      fc.property(shape, (shapes) => {
        const { history: checked, final } = serial(shapes)
        expect(checkHistory(checked, { final, orders: ['session', 'realtime'] })).toEqual([])
      }),
      { numRuns: 500 },
    )
  })

  test('has one as soon as an acknowledged append is taken out of all reads', () => {
    let tried = 0
    fc.assert(
      fc.property(shape, fc.nat(), (shapes, chosen) => {
        const { history: checked, final } = serial(shapes)
        const appends = checked.filter(({ status }) => status === 'committed').flatMap(({ ops }) => ops.filter((one) => one.kind === 'append'))
        const victim = appends[chosen % Math.max(1, appends.length)]
        if (victim === undefined) return
        tried++
        const without = new Map([...final].map(([key, values]) => [key, values.filter((value) => value !== victim.value)]))
        expect(forbiddenAt('read committed', checkHistory(checked, { final: without }))).not.toEqual([])
      }),
    )
    expect(tried).toBeGreaterThan(20)
  })
})

test('a long history is checked without deep recursion', () => {
  const { history: checked, final } = serial(Array.from({ length: 5000 }, (_, i) => [[[i % 5, i % 2 === 0], [(i + 1) % 5, false]], 9]))
  expect(checkHistory(checked, { final })).toEqual([])
})

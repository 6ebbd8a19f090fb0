import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { OwnWait, Wait, WaitingTransaction } from '../../src/transaction/wait-graph.ts'
import { findVictims, lastingWaits, mayBeDeadlocked, preparedNode } from '../../src/transaction/wait-graph.ts'
import type { Step } from '../support/lock-model.ts'
import { LockModel } from '../support/lock-model.ts'

const wait = (node: string, blockers: string[], since = '1'): Wait => ({ ...processOf(node), since, blockers })

function processOf(node: string): { server: number; pid: number } {
  const [server = 0, pid = 0] = node.split(':').map(Number)
  return { server, pid }
}

/** One that waits as this process, and keeps these. */
function party(id: string, begunAt: number, waits: string | OwnWait, ...keeps: string[]): WaitingTransaction {
  const own = typeof waits === 'string' ? { ...processOf(waits), since: '1', keeps: true } : waits
  return { id, begunAt, waits: [own], keeps: keeps.map(processOf) }
}

const never = new Set<string>()
const ids = (transactions: readonly WaitingTransaction[], waits: readonly Wait[]) => findVictims(transactions, waits).map(({ id }) => id)

describe('victims', () => {
  const older = party('older', 1, '1:10', '2:10')
  const younger = party('younger', 2, '2:20', '1:20')
  const crossed = [wait('1:10', ['1:20']), wait('2:20', ['2:10'])]

  test('the younger of two', () => {
    expect(findVictims([older, younger], crossed)).toEqual([{ id: 'younger', cycle: ['2:20', '2:10', '1:10', '1:20'] }])
  })

  test('of the same age: the same one, whoever looks', () => {
    const same = [party('a', 1, '1:10', '2:10'), party('b', 1, '2:20', '1:20')]
    expect(ids(same, crossed)).toEqual(['b'])
    expect(ids(same.toReversed(), crossed)).toEqual(['b'])
  })

  test('through a session of one server, which is none even if it were the youngest', () => {
    expect(ids([older, younger], [wait('1:10', ['1:99']), wait('1:99', ['1:20']), wait('2:20', ['2:10'])])).toEqual(['younger'])
  })

  test('through what is prepared', () => {
    const prepared = [party('a', 1, '1:10'), party('b', 2, '2:20')]
    expect(ids(prepared, [wait('1:10', [preparedNode('b')]), wait('2:20', [preparedNode('a')])])).toEqual(['b'])
  })

  test('one for each of two cycles, and one for two cycles that share the youngest', () => {
    const third = party('third', 3, '3:30', '1:30')
    const oldest = party('oldest', 0, '1:40', '3:40')
    const both = [...crossed, wait('3:30', ['3:40']), wait('1:40', ['1:30'])]
    expect(ids([older, younger, third, oldest], both)).toEqual(['third', 'younger'])
    const shared = [wait('1:10', ['1:20']), wait('2:20', ['2:10', '2:40']), wait('1:40', ['1:20'])]
    expect(ids([older, younger, party('oldest', 0, '1:40', '2:40')], shared)).toEqual(['younger'])
  })

  test('none for a cycle through the very process of one that gives way already', () => {
    const other = party('other', 1, '2:30', '1:30')
    const waits = [wait('1:10', ['1:20', '1:30']), wait('2:20', ['2:10']), wait('2:30', ['2:20'])]
    expect(ids([party('oldest', 0, '1:10', '2:10'), younger, other], waits)).toEqual(['younger'])
  })

  test('none of a chain, nor of what waits behind a cycle', () => {
    expect(ids([older, younger], [wait('1:10', ['1:20']), wait('2:20', ['2:99'])])).toEqual([])
    expect(ids([older, younger, party('behind', 3, '1:30', '2:30')], [...crossed, wait('1:30', ['1:10'])])).toEqual(['younger'])
  })

  test('none of a cycle within one server: that server ends it', () => {
    const local = [wait('1:10', ['1:20']), wait('1:20', ['1:10'])]
    expect(ids([older, party('younger', 2, '1:20', '2:20')], local)).toEqual([])
  })

  test('none where a wait is not the one that was told of', () => {
    expect(ids([older, younger], [wait('1:10', ['1:20'], '2'), wait('2:20', ['2:10'])])).toEqual([])
  })

  test('one that waits on two servers at once: in its way on one, in others\' way with the other', () => {
    const scattered: WaitingTransaction = { id: 'scattered', begunAt: 3, keeps: [], waits: [{ ...processOf('1:10'), since: '1', keeps: true }, { ...processOf('2:10'), since: '1', keeps: true }] }
    const waits = [wait('1:10', ['1:20']), wait('2:10', ['2:99']), wait('2:20', ['2:10'])]
    expect(ids([scattered, younger], waits)).toEqual(['scattered'])
    const apart = { ...scattered, waits: scattered.waits.map((one) => ({ ...one, keeps: false })) }
    expect(ids([apart, younger], waits), 'statements that end on their own').toEqual([])
  })

  test('one that waits again and again is the first to give way', () => {
    const repeats = party('repeats', 0, { ...processOf('1:10'), since: undefined, keeps: true }, '2:10')
    expect(ids([repeats, younger], crossed)).toEqual(['repeats'])
    // Of a cycle within one server, too: the server finds it only if it looks at the right moment.
    expect(findVictims([repeats], [wait('1:10', ['1:20']), wait('1:20', ['1:10'])])).toEqual([{ id: 'repeats', cycle: ['1:20', '1:10'] }])
    expect(ids([repeats], [wait('1:10', ['1:20']), wait('1:20', ['1:30'])])).toEqual([])
  })

  test('a hundred in one queue, each behind all before it', () => {
    const nodes = Array.from({ length: 100 }, (_, i) => `1:${100 + i}`)
    const queue = nodes.map((node, i) => wait(node, ['1:20', ...nodes.slice(0, i)]))
    const many = nodes.map((node, i) => party(`t${i}`, 10 + i, node, `2:${100 + i}`))
    expect(ids([...many, younger], [...queue, wait('2:20', ['2:100'])])).toEqual(['t0'])
  })
})

describe('what may be a deadlock', () => {
  test('two on several servers, or one that is on one server twice', () => {
    expect(mayBeDeadlocked([])).toBe(false)
    expect(mayBeDeadlocked([party('a', 1, '1:10', '2:10', '1:10')])).toBe(false)
    expect(mayBeDeadlocked([party('a', 1, '1:10', '1:11')])).toBe(true)
    expect(mayBeDeadlocked([party('a', 1, '1:10'), party('b', 1, '2:20')])).toBe(true)
    expect(mayBeDeadlocked([party('a', 1, { ...processOf('1:10'), since: undefined, keeps: true })])).toBe(true)
  })
})

describe('what lasts', () => {
  const first = [wait('1:10', ['1:20', '1:30'])]

  test('the same wait for the same ones', () => {
    expect(lastingWaits(first, [], [wait('1:10', ['1:30', '1:40'])], never)).toEqual([wait('1:10', ['1:30'])])
  })

  test('not one that has ended, nor another of the same process', () => {
    expect(lastingWaits(first, first, [], never)).toEqual([])
    expect(lastingWaits(first, first, [wait('1:10', ['1:20'], '2')], never)).toEqual([])
  })

  test('of one that begins again and again, what was seen in between', () => {
    const middle = [wait('1:10', ['1:20'], '2')]
    expect(lastingWaits(first, middle, [], new Set(['1:10']))).toEqual(middle)
    expect(lastingWaits(first, [], first, new Set(['1:10']))).toEqual([])
  })
})

const servers = [0, 1, 2]
const who = fc.nat({ max: 4 })
const stepOf = (lock: number, end: number, tell: number): fc.Arbitrary<Step> => fc.oneof(
  { weight: lock, arbitrary: fc.record({ kind: fc.constant('lock' as const), who, server: fc.constantFrom(...servers), lock: fc.nat({ max: 1 }) }) },
  { weight: end, arbitrary: fc.record({ kind: fc.constant('end' as const), who }) },
  { weight: tell, arbitrary: fc.record({ kind: fc.constant('tell' as const), who }) },
)
const manyWait = stepOf(8, 1, 5)
const someEnd = fc.array(stepOf(4, 3, 1), { maxLength: 2 })
/** What happens before each server's answer to an observation. */
const between = fc.tuple(someEnd, someEnd, someEnd)

function observe(model: LockModel, happens: readonly (readonly Step[])[]): Wait[] {
  return servers.flatMap((server, i) => {
    for (const step of happens[i] ?? []) model.step(step)
    return model.read(server)
  })
}

describe('beside transactions that go on', () => {
  test('a victim is in a deadlock, whatever happens between the looks and however old is what was told', () => {
    let found = 0
    fc.assert(
      fc.property(fc.array(manyWait, { minLength: 10, maxLength: 40 }), between, between, between, (before, one, two, three) => {
        const model = new LockModel()
        for (const step of before) model.step(step)
        const first = observe(model, one)
        const deadlocked = model.deadlocked()
        const middle = observe(model, two)
        const last = observe(model, three)
        const victims = ids(model.told, lastingWaits(first, middle, last, never))
        found += victims.length
        expect(victims.filter((id) => !deadlocked.has(id))).toEqual([])
      }),
      { numRuns: 8_000 },
    )
    expect(found, 'victims in all runs').toBeGreaterThan(10)
  }, 60_000)

  test('no deadlock is left but those of one server, and no more give way than are in one', () => {
    fc.assert(
      fc.property(fc.array(manyWait, { minLength: 10, maxLength: 60 }), (before) => {
        const model = new LockModel()
        for (const step of before) model.step(step)
        model.tellAll()
        const seen = observe(model, [])
        const victims = findVictims(model.told, seen)
        for (const { id } of victims) {
          expect(model.deadlocked().has(id)).toBe(true)
          model.endById(id)
        }
        const left = model.deadlocked()
        if (left.size > 0) expect(hasLocalCycle(servers.flatMap((server) => model.read(server)))).toBe(true)
      }),
      { numRuns: 1_000 },
    )
  })

  test('all who know the same choose the same', () => {
    fc.assert(
      fc.property(fc.array(manyWait, { minLength: 10, maxLength: 60 }), fc.nat(), (before, seed) => {
        const model = new LockModel()
        for (const step of before) model.step(step)
        const [told, seen] = [model.told, observe(model, [])]
        const mixed = <T>(list: readonly T[]) => [...list.slice(seed % (list.length + 1)), ...list.slice(0, seed % (list.length + 1))].toReversed()
        expect(ids(mixed(told), mixed(seen))).toEqual(ids(told, seen))
      }),
      { numRuns: 500 },
    )
  })
})

/** Those that a server sees itself: processes alone. */
function hasLocalCycle(waits: readonly Wait[]): boolean {
  const blockers = new Map(waits.map(({ server, pid, blockers: nodes }) => [`${server}:${pid}`, nodes]))
  const reaches = (from: string, to: string, seen: Set<string>): boolean =>
    (blockers.get(from) ?? []).some((next) => next === to || (!seen.has(next) && reaches(next, to, seen.add(next))))
  return [...blockers.keys()].some((node) => reaches(node, node, new Set()))
}

/** The decisions of failover, without servers: whom a primary waits for, when it is replaced, and by whom. */
import { describe, expect, test } from 'vitest'
import { keepAction } from '../../src/embedded/keep-action.ts'
import type { ReplicaState } from '../../src/failover/choose-primary.ts'
import { choosePrimary, decideFailover } from '../../src/failover/choose-primary.ts'
import { leadTo, readConninfo } from '../../src/failover/conninfo.ts'
import type { SynchronousMode, SynchronousPlan, SynchronousState } from '../../src/failover/synchronous.ts'
import { planSynchronous, readStandbyNames, standbyNames } from '../../src/failover/synchronous.ts'

describe('whom a primary waits for', () => {
  const state = (some: Partial<SynchronousState>): SynchronousState => ({ mode: 'available', waitedFor: [], inSync: [], known: ['a', 'b'], following: [], ...some })

  test('nobody, where nobody follows', () => {
    expect(planSynchronous(state({}))).toEqual({ kind: 'nothing' })
    expect(planSynchronous(state({ waitedFor: ['a'], inSync: ['a'] }))).toEqual({ kind: 'stop' })
    expect(planSynchronous(state({ waitedFor: ['a'] }))).toEqual({ kind: 'stop' })
  })

  test('those that follow; put down before they are waited for, unless it begins', () => {
    expect(planSynchronous(state({ following: ['a'] }))).toEqual({ kind: 'wait-for', replicas: ['a'], record: [], isNew: true })
    expect(planSynchronous(state({ following: ['a', 'b'], waitedFor: ['a'], inSync: ['a'] }))).toEqual({ kind: 'wait-for', replicas: ['a', 'b'], record: ['a', 'b'], isNew: false })
    expect(planSynchronous(state({ following: ['b'], waitedFor: ['a', 'b'], inSync: ['a', 'b'] }))).toEqual({ kind: 'wait-for', replicas: ['b'], record: ['a', 'b'], isNew: false })
  })

  test('what is required, also while it is away', () => {
    expect(planSynchronous(state({ mode: 'required', waitedFor: ['a'], inSync: ['a'] }))).toEqual({ kind: 'nothing' })
    expect(planSynchronous(state({ mode: 'required' }))).toEqual({ kind: 'wait-for', replicas: ['a', 'b'], record: [], isNew: true })
    expect(planSynchronous(state({ mode: 'off', waitedFor: ['a'], inSync: ['a'], following: ['a'] }))).toEqual({ kind: 'stop' })
  })

  test('and it is left alone where somebody else has set it', () => {
    expect(planSynchronous(state({ waitedFor: undefined, following: ['a'] }))).toEqual({ kind: 'nothing' })
    expect(planSynchronous(state({ waitedFor: undefined, inSync: ['a'], following: ['a'] }))).toEqual({ kind: 'stop' })
  })

  test('every acknowledged commit is on one that is in sync, or none is, whatever comes and goes and wherever a step ends', () => {
    // Commits are numbers; each replica has what was sent to it while it followed.
    let seed = 7
    const random = (below: number) => (seed = (seed * 48_271) % 2_147_483_647) % below
    for (let run = 0; run < 300; run++) {
      let [waitedFor, inSync]: [string[], string[]] = [[], []]
      const has = new Map<string, Set<number>>([['a', new Set()], ['b', new Set()], ['c', new Set()]])
      const acknowledged: number[] = []
      let written = 0
      const known = [...has.keys()]
      let following = known
      const commitSome = () => {
        for (let i = 0; i < 3; i++) {
          written++
          const reached = following.filter(() => random(3) > 0)
          for (const name of reached) for (let n = 1; n <= written; n++) has.get(name)?.add(n)
          if (waitedFor.length === 0 || waitedFor.some((name) => reached.includes(name))) acknowledged.push(written)
        }
      }
      const check = () => {
        commitSome()
        if (inSync.length === 0) return
        const most = Math.max(...inSync.map((name) => has.get(name)?.size ?? 0))
        expect(Math.max(0, ...acknowledged), `in sync: ${inSync.join()}`).toBeLessThanOrEqual(most)
      }
      const apply = (plan: SynchronousPlan) => {
        if (plan.kind === 'stop') {
          inSync = []
          check()
          if (random(4) > 0) waitedFor = []
        } else if (plan.kind === 'wait-for') {
          if (plan.record.length > 0) inSync = [...plan.record]
          check()
          if (random(4) === 0) return // its router dies here
          waitedFor = [...plan.replicas]
          check()
          if (!plan.replicas.some((name) => has.get(name)?.size === written) || random(4) === 0) return
          inSync = [...plan.replicas]
        }
        check()
      }
      for (let turn = 0; turn < 20; turn++) {
        following = known.filter(() => random(3) > 0)
        const mode = (['available', 'available', 'required', 'off'] as SynchronousMode[])[random(4)] ?? 'off'
        apply(planSynchronous({ mode, waitedFor, inSync, known, following }))
        check()
      }
    }
  })

  test('the setting is read as it is written, and nothing else is', () => {
    for (const names of [[], ['a'], ['b', 'a'], ['x "y"', 'z, w']]) expect(readStandbyNames(standbyNames(names))).toEqual(names.toSorted())
    for (const value of ['*', 'FIRST 1 (a)', 'ANY 2 ("a", "b")', 'ANY 1 (a)', 'a']) expect(readStandbyNames(value)).toBeUndefined()
  })
})

describe('when a primary is replaced', () => {
  const replica = (key: string, position: bigint | undefined, isReceiving = false): ReplicaState => ({ key, position, isReceiving })
  const lost = { isWanted: true, unreachableMs: 5000, unreachableMsMin: 3000, inSync: ['a'], replicas: [replica('a', 5n), replica('b', 9n)] }

  test('once it is gone for long, and all that are in sync say that they do not hear from it', () => {
    expect(decideFailover(lost)).toEqual({ kind: 'begin' })
    for (const other of [
      { isWanted: false },
      { unreachableMs: 2000 },
      { inSync: [] },
      { inSync: ['a', 'c'] },
      { replicas: [replica('a', undefined)] },
      { replicas: [replica('a', 5n, true)] },
    ]) expect(decideFailover({ ...lost, ...other }), JSON.stringify(other, (_, value: unknown) => String(value))).toMatchObject({ kind: 'wait' })
  })

  test('by the most advanced of those that are required, once all of them answer', () => {
    const replicas = [replica('a', 5n), replica('b', 7n), replica('c', 9n), replica('d', undefined)]
    expect(choosePrimary(['a', 'b'], replicas)?.key).toBe('b')
    expect(choosePrimary(['a'], replicas)?.key).toBe('a')
    expect(choosePrimary(['a', 'd'], replicas)).toBeUndefined()
    expect(choosePrimary([], replicas)).toBeUndefined()
  })
})

describe('primary_conninfo', () => {
  test('leads elsewhere, and keeps the rest', () => {
    const read = readConninfo(`user=postgres password='it''s' host=a`)
    expect(read).toBeUndefined()
    const conninfo = readConninfo(String.raw`host=old hostaddr=1.2.3.4 port=1 user = postgres password='it\'s \\ x' application_name=r1`)
    expect(conninfo?.get('password')).toBe(String.raw`it's \ x`)
    const next = leadTo({ host: 'new', port: 2 }, conninfo ?? new Map())
    expect(next).toBe(String.raw`host='new' port='2' user='postgres' password='it\'s \\ x' application_name='r1'`)
    expect(readConninfo(next)?.get('application_name')).toBe('r1')
    expect(readConninfo('postgres://u@h/d')).toBeUndefined()
    expect(readConninfo('')).toBeUndefined()
  })
})

describe('servers of the embedded cluster', () => {
  const server = { role: 'replica' as const, isRunning: false, exists: true, isStandby: true, timeline: 1, primaryTimeline: 1, deadForMs: 0, mayBeReplaced: false, replacedMsMax: 10_000, strayForMs: 0, isInSync: false, strayMsMax: 30_000 }

  test('are started again when they have died; a primary not while another may take its place', () => {
    expect(keepAction(server)).toBe('start')
    expect(keepAction({ ...server, isRunning: true })).toBe('nothing')
    const primary = { ...server, role: 'primary' as const, isStandby: false, primaryTimeline: undefined }
    expect(keepAction(primary)).toBe('start')
    expect(keepAction({ ...primary, isRunning: true })).toBe('nothing')
    expect(keepAction({ ...primary, mayBeReplaced: true })).toBe('nothing')
    expect(keepAction({ ...primary, mayBeReplaced: true, deadForMs: 10_000 })).toBe('start')
  })

  test('become replicas when they were replaced, or do not follow, and never when that is not sure', () => {
    const replaced = { ...server, isStandby: false, primaryTimeline: 2 }
    for (const isRunning of [true, false]) {
      expect(keepAction({ ...replaced, isRunning })).toBe('copy')
      // A person has promoted it a moment ago; and the primary does not answer.
      expect(keepAction({ ...replaced, isRunning, timeline: 3 })).toBe('nothing')
      expect(keepAction({ ...replaced, isRunning, timeline: 2 })).toBe('nothing')
      expect(keepAction({ ...replaced, isRunning, primaryTimeline: undefined })).toBe('nothing')
    }
    const stray = { ...server, isRunning: true, strayForMs: 30_001 }
    expect(keepAction(stray)).toBe('copy')
    for (const other of [{ strayForMs: 30_000 }, { isInSync: true }, { primaryTimeline: undefined }]) expect(keepAction({ ...stray, ...other })).toBe('nothing')
    expect(keepAction({ ...server, exists: false })).toBe('copy')
    expect(keepAction({ ...server, exists: false, primaryTimeline: undefined })).toBe('nothing')
  })
})

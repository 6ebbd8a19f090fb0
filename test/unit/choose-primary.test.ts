import { describe, expect, test } from 'vitest'
import type { ShardServer } from '../../src/catalog/snapshot.ts'
import type { ServerAnswer } from '../../src/coordination/choose-primary.ts'
import { choosePrimary, leftBehind } from '../../src/coordination/choose-primary.ts'

/** A shard with primary p and replicas r and s, on record on the given timeline. */
function answer(host: string, said: { timeline: number; fenced?: number; system?: string }, record: { timeline: number; system?: string } = { timeline: 3 }): ServerAnswer {
  const role = host === 'p' ? 'primary' : 'replica'
  const server: ShardServer = { shard: 1, name: 'shard1', role, host, port: 1, state: 'active', term: 7, timeline: record.timeline, systemIdentifier: record.system ?? (record.timeline === 0 ? '' : 'ours') }
  const isInRecovery = said.timeline === 0
  return { server, identity: { isInRecovery, timeline: said.timeline, fencedTimeline: said.fenced ?? 0, catalogTimeline: 0, startedAt: '1' }, systemIdentifier: said.system ?? 'ours' }
}
const chosen = (...answers: ServerAnswer[]) => choosePrimary(answers)?.server.host
const fenced = (timeline: number, ...answers: ServerAnswer[]) => leftBehind(answers, timeline).map(({ server }) => server.host)

describe('the primary of a shard', () => {
  test('stays as long as nobody is on a later timeline', () => {
    expect(chosen(answer('p', { timeline: 3 }), answer('r', { timeline: 0 }))).toBeUndefined()
    expect(chosen(answer('r', { timeline: 0 }), answer('s', { timeline: 0 }))).toBeUndefined()
    expect(chosen(answer('p', { timeline: 3 }), answer('r', { timeline: 3 }), answer('s', { timeline: 2 }))).toBeUndefined()
    expect(chosen()).toBeUndefined()
  })

  test('is who was promoted, whether the old one answers or not', () => {
    expect(chosen(answer('p', { timeline: 3 }), answer('r', { timeline: 4 }))).toBe('r')
    expect(chosen(answer('r', { timeline: 4 }), answer('s', { timeline: 0 }))).toBe('r')
    expect(chosen(answer('r', { timeline: 4 }), answer('s', { timeline: 5 }))).toBe('s')
    expect(chosen(answer('p', { timeline: 4 }), answer('r', { timeline: 0 }))).toBe('p')
  })

  test('is the same for all routers when two were promoted', () => {
    expect(chosen(answer('s', { timeline: 4 }), answer('r', { timeline: 4 }))).toBe('r')
    expect(chosen(answer('r', { timeline: 4 }), answer('s', { timeline: 4 }))).toBe('r')
  })

  test('is nobody of another system, and nobody who was fenced off on its timeline', () => {
    expect(chosen(answer('r', { timeline: 4, system: 'theirs' }))).toBeUndefined()
    expect(chosen(answer('r', { timeline: 4, fenced: 4 }))).toBeUndefined()
    expect(chosen(answer('r', { timeline: 4, fenced: 3 }))).toBe('r')
  })

  test('is the one that the shard was made with, when nothing else is known', () => {
    const unknown = { timeline: 0 }
    expect(chosen(answer('p', { timeline: 1 }, unknown), answer('r', { timeline: 2 }, unknown))).toBe('p')
    expect(chosen(answer('r', { timeline: 2 }, unknown))).toBeUndefined()
  })

  test('of the catalog is on the latest timeline that a router hears of at first, unless its servers are none of each other', () => {
    const ofCatalog = (one: ServerAnswer): ServerAnswer => ({ ...one, server: { ...one.server, shard: 0 } })
    const [p, r] = [ofCatalog(answer('p', { timeline: 1 }, { timeline: 0 })), ofCatalog(answer('r', { timeline: 2 }, { timeline: 0 }))]
    expect(chosen(p, r)).toBe('r')
    expect(chosen(p)).toBe('p')
    expect(chosen(p, { ...r, systemIdentifier: 'theirs' })).toBeUndefined()
  })

  test('has left behind who is on an earlier timeline, is of the shard and not fenced off yet', () => {
    expect(fenced(4, answer('p', { timeline: 3 }), answer('r', { timeline: 4 }), answer('s', { timeline: 0 }))).toEqual(['p'])
    expect(fenced(4, answer('p', { timeline: 3, fenced: 3 }), answer('s', { timeline: 2, system: 'theirs' }))).toEqual([])
    expect(fenced(3, answer('s', { timeline: 3 }), answer('r', { timeline: 2 }))).toEqual(['r'])
  })
})

/**
 * Which transaction must come before which, and why.
 *
 * ww: it appended, the other appended next. wr: it appended, and that is the newest that the other read. rw: it read a list
 * to which the other appended next. session: the same client's next transaction. realtime: it had ended before the other began.
 */
import type { History, Transaction } from './history.ts'
import type { Versions } from './version-order.ts'
import { readsOf } from './version-order.ts'

export type EdgeKind = 'ww' | 'wr' | 'rw' | 'session' | 'realtime'

export interface Edge {
  readonly from: Transaction
  readonly to: Transaction
  readonly kind: EdgeKind
  readonly text: string
}

export function dataEdges({ effective, orders, writerOf }: Versions): Edge[] {
  const edges: Edge[] = []
  const add = (from: Transaction | undefined, to: Transaction | undefined, kind: EdgeKind, text: string) => {
    if (from !== undefined && to !== undefined && from !== to) edges.push({ from, to, kind, text })
  }
  for (const [key, order] of orders) {
    for (const [i, value] of order.entries()) {
      const next = order[i + 1]
      if (next !== undefined) add(writerOf(key, value)?.transaction, writerOf(key, next)?.transaction, 'ww', `${key}: ${value} ${next}`)
    }
  }
  for (const reader of effective) {
    for (const { key, values } of readsOf(reader)) {
      const order = orders.get(key) ?? []
      // A reader's own appends at the end are not what it depends on.
      const foreign = values.findLastIndex((value) => writerOf(key, value)?.transaction !== reader)
      const last = values[foreign]
      if (last !== undefined) add(writerOf(key, last)?.transaction, reader, 'wr', `${key}: ${last}`)
      const next = order[foreign + 1]
      if (next !== undefined) add(reader, writerOf(key, next)?.transaction, 'rw', `${key}: not ${next}`)
    }
  }
  return edges
}

export function sessionEdges(effective: History): Edge[] {
  const newest = new Map<number, Transaction>()
  const edges: Edge[] = []
  for (const to of effective.toSorted((a, b) => a.began - b.began)) {
    const from = newest.get(to.client)
    if (from !== undefined) edges.push({ from, to, kind: 'session', text: `client ${to.client}` })
    newest.set(to.client, to)
  }
  return edges
}

/** Those that follow from others are left out. A transaction whose end nobody was told may take effect later. */
export function realtimeEdges(effective: History): Edge[] {
  const edges: Edge[] = []
  const byStart = effective.toSorted((a, b) => a.began - b.began)
  for (const from of effective) {
    if (from.status !== 'committed') continue
    let firstEnd = Infinity
    for (const to of byStart) {
      if (to.began <= from.ended) continue
      if (to.began > firstEnd) break
      edges.push({ from, to, kind: 'realtime', text: 'ended before' })
      if (to.status === 'committed') firstEnd = Math.min(firstEnd, to.ended)
    }
  }
  return edges
}

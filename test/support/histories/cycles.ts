/**
 * Cycles in the graph of dependencies, by kind.
 *
 * One cycle is enough to show an anomaly: for each edge that such a cycle must have, the shortest way back from its end to its start is
 * searched, over edges that the kind allows.
 */
import type { CycleKind } from './anomaly.ts'
import type { Edge } from './dependencies.ts'
import type { Transaction } from './history.ts'

export type Cycle = readonly Edge[]

interface Rule {
  readonly kind: CycleKind
  /** The edge that every cycle of the kind has, from which the search starts. */
  readonly starts: (edge: Edge) => boolean
  /** After `before` (the start, or the edge taken last). */
  readonly allows: (edge: Edge, before: Edge) => boolean
  /** Of the last edge, which the start follows. */
  readonly closes: (last: Edge, start: Edge) => boolean
}

const isOrder = ({ kind }: Edge) => kind === 'session' || kind === 'realtime'
const isRw = ({ kind }: Edge) => kind === 'rw'
const always = () => true
const notBothRw = (edge: Edge, before: Edge) => !(isRw(edge) && isRw(before))

/** From the worst to the mildest: a cycle that is found by one is not one of an earlier. */
const rules: readonly Rule[] = [
  { kind: 'G0', starts: ({ kind }) => kind === 'ww', allows: (edge) => edge.kind === 'ww' || isOrder(edge), closes: always },
  { kind: 'G1c', starts: ({ kind }) => kind === 'wr', allows: (edge) => !isRw(edge), closes: always },
  { kind: 'G-single', starts: isRw, allows: (edge) => !isRw(edge), closes: always },
  { kind: 'G-nonadjacent', starts: isRw, allows: notBothRw, closes: (last, start) => notBothRw(start, last) },
  { kind: 'G2-item', starts: isRw, allows: always, closes: always },
]

export interface FoundCycle {
  readonly kind: CycleKind
  readonly cycle: Cycle
}

/** At most one for each start, the worst. */
export function findCycles(edges: readonly Edge[]): FoundCycle[] {
  const from = byStart(edges)
  const component = components(edges, from)
  const inner = edges.filter((edge) => component.get(edge.from) === component.get(edge.to))
  const innerFrom = byStart(inner)
  const explained = new Set<Edge>()
  const found: FoundCycle[] = []
  for (const rule of rules) {
    for (const start of inner) {
      if (!rule.starts(start) || explained.has(start)) continue
      const cycle = wayBack(start, innerFrom, rule)
      if (cycle === undefined) continue
      for (const edge of cycle) explained.add(edge)
      found.push({ kind: rule.kind, cycle })
    }
  }
  return found
}

function byStart(edges: readonly Edge[]): Map<Transaction, Edge[]> {
  const from = new Map<Transaction, Edge[]>()
  for (const edge of edges) {
    const known = from.get(edge.from)
    if (known === undefined) from.set(edge.from, [edge])
    else known.push(edge)
  }
  return from
}

/** Breadth first over edges: whether the next may be taken depends on the one before. */
function wayBack(start: Edge, from: ReadonlyMap<Transaction, readonly Edge[]>, rule: Rule): Cycle | undefined {
  const cameBy = new Map<Edge, Edge | undefined>([[start, undefined]])
  // Two edges of one kind into one transaction lead on alike.
  const seen = new Set<string>()
  for (const edge of cameBy.keys()) {
    for (const next of from.get(edge.to) ?? []) {
      if (cameBy.has(next) || !rule.allows(next, edge)) continue
      const state = `${next.to.id} ${String(isRw(next))}`
      const isEnd = next.to === start.from && rule.closes(next, start)
      if (seen.has(state) && !isEnd) continue
      seen.add(state)
      cameBy.set(next, edge)
      if (isEnd) return trace(next, cameBy)
    }
  }
  return undefined
}

function trace(last: Edge, cameBy: ReadonlyMap<Edge, Edge | undefined>): Cycle {
  const cycle: Edge[] = []
  for (let edge: Edge | undefined = last; edge !== undefined; edge = cameBy.get(edge)) cycle.unshift(edge)
  return cycle
}

/** Strongly connected components (Tarjan), without recursion: a history may be long. */
function components(edges: readonly Edge[], from: ReadonlyMap<Transaction, readonly Edge[]>): Map<Transaction, number> {
  const index = new Map<Transaction, number>()
  const low = new Map<Transaction, number>()
  const component = new Map<Transaction, number>()
  const stack: Transaction[] = []
  for (const root of new Set(edges.map((edge) => edge.from))) {
    if (index.has(root)) continue
    const work: { node: Transaction; next: number }[] = [{ node: root, next: 0 }]
    for (let top = work.at(-1); top !== undefined; top = work.at(-1)) {
      const { node } = top
      if (top.next === 0) {
        index.set(node, index.size)
        low.set(node, index.get(node) ?? 0)
        stack.push(node)
      }
      const edge = from.get(node)?.[top.next++]
      if (edge !== undefined) {
        if (!index.has(edge.to)) work.push({ node: edge.to, next: 0 })
        else if (!component.has(edge.to)) low.set(node, Math.min(low.get(node) ?? 0, index.get(edge.to) ?? 0))
        continue
      }
      work.pop()
      const parent = work.at(-1)?.node
      if (parent !== undefined) low.set(parent, Math.min(low.get(parent) ?? 0, low.get(node) ?? 0))
      if (low.get(node) !== index.get(node)) continue
      for (let member = stack.pop(); member !== undefined; member = member === node ? undefined : stack.pop()) component.set(member, index.get(node) ?? 0)
    }
  }
  return component
}

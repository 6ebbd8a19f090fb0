/** Every anomaly that a history shows (which of them matter depends on the level: anomaly.ts). */
import type { Anomaly, AnomalyKind } from './anomaly.ts'
import type { FoundCycle } from './cycles.ts'
import { findCycles } from './cycles.ts'
import type { Edge } from './dependencies.ts'
import { dataEdges, realtimeEdges, sessionEdges } from './dependencies.ts'
import type { History } from './history.ts'
import { findLost, findReadAnomalies } from './read-anomalies.ts'
import { findVersions } from './version-order.ts'

export interface CheckOptions {
  /** Lists as they are after all transactions: with them it is known what was lost. */
  readonly final?: ReadonlyMap<number, readonly number[]>
  /** Orders beside that of the data. */
  readonly orders?: readonly ('session' | 'realtime')[]
}

export function checkHistory(history: History, { final, orders = [] }: CheckOptions = {}): Anomaly[] {
  const whole = final === undefined ? history : [...history, lastRead(history, final)]
  const versions = findVersions(whole)
  const { effective } = versions
  const data = dataEdges(versions)
  return [
    ...findReadAnomalies(versions),
    ...(final === undefined ? [] : findLost(history, final)),
    ...findCycles(data).map((one) => cycleAnomaly(one)),
    ...(orders.includes('session') ? withOrder(data, sessionEdges(effective), 'session') : []),
    ...(orders.includes('realtime') ? withOrder(data, realtimeEdges(effective), 'realtime') : []),
  ]
}

/** Only cycles that need the order: the others are found without it. */
function withOrder(data: readonly Edge[], order: readonly Edge[], kind: 'session' | 'realtime'): Anomaly[] {
  return findCycles([...data, ...order])
    .filter(({ cycle }) => cycle.some((edge) => edge.kind === kind))
    .map((one) => cycleAnomaly(one, `-${kind}`))
}

function cycleAnomaly({ kind, cycle }: FoundCycle, suffix: '' | '-session' | '-realtime' = ''): Anomaly {
  const steps = cycle.map(({ from, kind: why, text }) => `T${from.id} -${why} (${text})-> `)
  const name: AnomalyKind = `${kind}${suffix}`
  return { kind: name, text: `${steps.join('')}T${cycle[0]?.from.id ?? ''}`, transactions: cycle.map(({ from }) => from) }
}

function lastRead(history: History, final: ReadonlyMap<number, readonly number[]>) {
  const last = Math.max(0, ...history.map(({ ended }) => ended))
  const ops = [...final].map(([key, values]) => ({ kind: 'read' as const, key, values }))
  return { id: Math.max(0, ...history.map(({ id }) => id)) + 1, client: -1, status: 'committed' as const, ops, began: last + 1, ended: last + 2 }
}

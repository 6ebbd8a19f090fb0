/** Anomalies that one or two reads show by themselves. */
import type { Anomaly, ReadAnomaly } from './anomaly.ts'
import type { History, Read, Transaction } from './history.ts'
import type { Versions } from './version-order.ts'
import { isRead, readsOf } from './version-order.ts'

export function findReadAnomalies(versions: Versions): Anomaly[] {
  return versions.effective.flatMap((transaction) => [
    ...readsOf(transaction).flatMap((read) => [...wrongValues(transaction, read, versions), ...wrongEnd(transaction, read, versions), ...wrongOrder(transaction, read, versions)]),
    ...wrongWithin(transaction),
  ])
}

/** What was acknowledged and is not in the lists as they are in the end. */
export function findLost(history: History, final: ReadonlyMap<number, readonly number[]>): Anomaly[] {
  return history
    .filter(({ status }) => status === 'committed')
    .flatMap((transaction) =>
      transaction.ops.flatMap((op) => (op.kind === 'append' && final.get(op.key)?.includes(op.value) !== true ? [found('lost', `${op.value} was appended to ${op.key}, acknowledged, and is lost`, transaction)] : [])),
    )
}

/** Of lists that begin the longest, looking at the longest is enough. */
function wrongValues(transaction: Transaction, { key, values }: Read, { orders, writerOf }: Versions): Anomaly[] {
  const order = orders.get(key) ?? []
  if (values.length < order.length && isStart(values, order)) return []
  const seen = new Set<number>()
  const what = `in [${values.join(' ')}] of ${key}`
  const wrong: Anomaly[] = []
  for (const value of values) {
    const writer = writerOf(key, value)?.transaction
    if (writer === undefined) wrong.push(found('garbage', `nobody appended ${value} ${what}`, transaction))
    else if (writer.status === 'aborted' && writer !== transaction) wrong.push(found('G1a', `${value} ${what} is of an aborted transaction`, transaction, writer))
    if (seen.has(value)) wrong.push(found('duplicate', `${value} is there twice ${what}`, transaction))
    seen.add(value)
  }
  return wrong
}

function wrongEnd(transaction: Transaction, { key, values }: Read, { writerOf }: Versions): Anomaly[] {
  const last = values.at(-1)
  const writer = last === undefined ? undefined : writerOf(key, last)
  if (writer === undefined || !writer.isIntermediate || writer.transaction === transaction) return []
  return [found('G1b', `[${values.join(' ')}] of ${key} ends inside a transaction`, transaction, writer.transaction)]
}

function wrongOrder(transaction: Transaction, { key, values }: Read, { orders }: Versions): Anomaly[] {
  const order = orders.get(key) ?? []
  if (isStart(values, order)) return []
  return [found('incompatible-order', `[${values.join(' ')}] and [${order.join(' ')}] of ${key}`, transaction)]
}

const isStart = (values: readonly number[], order: readonly number[]) => values.every((value, i) => order[i] === value)

/** What a transaction has appended it must read, and what it has read it should read again. */
function wrongWithin(transaction: Transaction): Anomaly[] {
  const wrong: Anomaly[] = []
  for (const [i, read] of transaction.ops.entries()) {
    if (!isRead(read)) continue
    const before = transaction.ops.slice(0, i).filter(({ key }) => key === read.key)
    const what = `[${read.values.join(' ')}] of ${read.key}`
    const own = before.flatMap((op) => (op.kind === 'append' ? [op.value] : []))
    if (own.some((value) => !read.values.includes(value))) wrong.push(found('own-append-missing', `${own.join(' ')} in ${what}`, transaction))
    const earlier = before.findLastIndex(isRead)
    if (earlier < 0) continue
    const expected = before.slice(earlier).flatMap((op) => (op.kind === 'read' ? op.values : [op.value]))
    if (expected.join() !== read.values.join()) wrong.push(found('unrepeatable', `${what} after [${expected.join(' ')}]`, transaction))
  }
  return wrong
}

function found(kind: ReadAnomaly, text: string, ...transactions: Transaction[]): Anomaly {
  return { kind, text: `T${transactions.map(({ id }) => id).join(', T')}: ${text}`, transactions }
}

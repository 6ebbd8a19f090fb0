/** Which transactions took effect, and for each key the order in which its values were appended, as the longest read shows it. */
import type { History, Op, Read, Transaction } from './history.ts'

export interface Writer {
  readonly transaction: Transaction
  /** Its transaction appended to the same key again. */
  readonly isIntermediate: boolean
}

export interface Versions {
  /** Transactions that took effect: committed, or unknown and seen by one that committed. */
  readonly effective: readonly Transaction[]
  /** By key: values in the order in which they were appended. What nobody read is not in it. */
  readonly orders: ReadonlyMap<number, readonly number[]>
  writerOf(key: number, value: number): Writer | undefined
}

export const isRead = (op: Op): op is Read => op.kind === 'read'

export function readsOf(transaction: Transaction): readonly Read[] {
  return transaction.ops.filter(isRead)
}

/** Throws when a value is appended twice: then the history cannot be checked. */
export function findVersions(history: History): Versions {
  const writers = new Map<number, Map<number, Writer>>()
  for (const transaction of history) {
    const appends = transaction.ops.filter((op) => op.kind === 'append')
    for (const [i, { key, value }] of appends.entries()) {
      const ofKey = writers.get(key) ?? new Map<number, Writer>()
      if (ofKey.has(value)) throw new Error(`${value} is appended twice to ${key}`)
      writers.set(key, ofKey.set(value, { transaction, isIntermediate: appends.slice(i + 1).some((later) => later.key === key) }))
    }
  }
  const writerOf = (key: number, value: number) => writers.get(key)?.get(value)
  const effective = findEffective(history, writerOf)
  return { effective, orders: findOrders(effective), writerOf }
}

/** One unknown transaction may be seen by another, which is seen by a committed one. */
function findEffective(history: History, writerOf: Versions['writerOf']): readonly Transaction[] {
  const effective = new Set(history.filter(({ status }) => status === 'committed'))
  for (const transaction of effective) {
    for (const { key, values } of readsOf(transaction)) {
      for (const value of values) {
        const writer = writerOf(key, value)?.transaction
        if (writer?.status === 'unknown') effective.add(writer) // the loop comes to it
      }
    }
  }
  return [...effective]
}

function findOrders(effective: readonly Transaction[]): Map<number, readonly number[]> {
  const orders = new Map<number, readonly number[]>()
  for (const { key, values } of effective.flatMap(readsOf)) if (values.length > (orders.get(key)?.length ?? -1)) orders.set(key, values)
  return orders
}

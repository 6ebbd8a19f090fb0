/**
 * Next values of the catalog's sequences for all sessions of a router.
 *
 * While one request for a sequence is on its way, those that come gather behind it and go together in the next: so there is
 * one round trip at a time however many sessions insert. Nothing is read ahead, and each gets its values in the order in
 * which it asked: the numbers are those that one PostgreSQL would give.
 */
import { quoteLiteral } from '../base/quote.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import type { Connection } from '../shard/connection.ts'
import type { Pool } from '../shard/pool.ts'
import { CollectExchange } from '../shard/query.ts'

interface Waiter {
  readonly count: number
  give(values: string[]): void
  fail(error: unknown): void
}

export class SequenceValues {
  private readonly pool: Pool
  private readonly catalog: ServerAddress
  /** Those who wait, for each sequence of which a request is on its way. */
  private readonly waiting = new Map<string, Waiter[]>()

  constructor(pool: Pool, catalog: ServerAddress) {
    this.pool = pool
    this.catalog = catalog
  }

  /** The next `count` values, outside of any transaction: like nextval, they are not given back. */
  next(database: string, user: string, sequence: string, count: number): Promise<string[]> {
    const key = `${database}\0${user}\0${sequence}`
    return new Promise((give, fail) => {
      const waiter = { count, give, fail }
      const queue = this.waiting.get(key)
      if (queue !== undefined) queue.push(waiter)
      else {
        this.waiting.set(key, [waiter])
        void this.serve(key, database, user, sequence)
      }
    })
  }

  private async serve(key: string, database: string, user: string, sequence: string): Promise<void> {
    for (let queue = this.waiting.get(key) ?? []; queue.length > 0; queue = this.waiting.get(key) ?? []) {
      this.waiting.set(key, [])
      await this.ask(queue, database, user, sequence)
    }
    this.waiting.delete(key)
  }

  private async ask(waiters: readonly Waiter[], database: string, user: string, sequence: string): Promise<void> {
    const total = waiters.reduce((sum, waiter) => sum + waiter.count, 0)
    try {
      const connection = await this.pool.take(this.catalog, database, user)
      const { values, error } = await valuesBeforeError(connection, nextValuesText(sequence, total))
      this.pool.release(connection)
      let at = 0
      for (const { count, give, fail } of waiters) {
        const own = values.slice(at, (at += count))
        if (own.length === count) give(own)
        else fail(error)
      }
    } catch (error) {
      for (const waiter of waiters) waiter.fail(error)
    }
  }
}

/** A sequence that ends in the middle gives what it had left: rows come before the error. */
function valuesBeforeError(connection: Connection, text: string): Promise<{ values: string[]; error: unknown }> {
  return new Promise((resolve) => {
    const end = (error?: unknown) => resolve({ values: exchange.rows.map((row) => row[0] ?? ''), error })
    const exchange = new CollectExchange(() => end(), end)
    connection.send(exchange, { write: (writer) => void writer.begin('Q').cstring(text).end() })
  })
}

export function nextValuesText(sequence: string, count: number): string {
  return `SELECT nextval(${quoteLiteral(sequence)}::regclass) FROM generate_series(1, ${count})`
}

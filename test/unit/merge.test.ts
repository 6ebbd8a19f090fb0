import fc from 'fast-check'
import { expect, it } from 'vitest'
import { limits } from '../../src/base/limits.ts'
import { Merger } from '../../src/executor/merge.ts'
import { NullSink } from '../../src/executor/result-sink.ts'
import type { MergeKey } from '../../src/planner/plan.ts'
import { readDataRow } from '../../src/protocol/row-description.ts'

const ascending: MergeKey = { type: 'integer', descending: false, nullsFirst: false }

function dataRow(...values: (Buffer | undefined)[]): Buffer {
  const parts = values.map((value) => {
    const length = Buffer.alloc(4)
    length.writeInt32BE(value === undefined ? -1 : value.length)
    return value === undefined ? length : Buffer.concat([length, value])
  })
  return Buffer.concat([Buffer.from([0, values.length]), ...parts])
}

function integer(value: number | null): Buffer | undefined {
  if (value === null) return undefined
  const buffer = Buffer.alloc(4)
  buffer.writeInt32BE(value)
  return buffer
}

class Collected extends NullSink {
  readonly rows: (string | undefined)[][] = []
  /** Rows after which it is full, until it is told to go on. */
  room = Infinity
  goOn: (() => void) | undefined

  override row(buffer: Buffer, start: number, end: number): boolean {
    this.rows.push(readDataRow(buffer.subarray(start, end), 0).map((value) => value?.toString()))
    return --this.room > 0
  }

  override whenDrained(resume: () => void): void {
    this.goOn = resume
  }
}

const row = (key: number | null) => dataRow(Buffer.from(String(key)), integer(key))

it('gives all rows in order, whatever the order they come in', async () => {
  const keys = fc.array(fc.oneof(fc.constant(null), fc.integer({ min: -5, max: 5 }), fc.integer()), { maxLength: 8 })
  await fc.assert(
    fc.asyncProperty(fc.array(keys, { minLength: 1, maxLength: 4 }), fc.boolean(), fc.boolean(), fc.nat(6), fc.nat(12), fc.infiniteStream(fc.nat()), async (shards, descending, nullsFirst, offset, limit, choice) => {
      const before = (a: number | null, b: number | null) => (a === b ? 0 : a === null ? (nullsFirst ? -1 : 1) : b === null ? (nullsFirst ? 1 : -1) : descending ? b - a : a - b)
      const sink = new Collected()
      const merger = new Merger({ columns: 1, order: [{ type: 'integer', descending, nullsFirst }], shards: shards.length, offset, limit, sink })
      const waiting = shards.map((list, i) => ({ stream: merger.streams[i], rows: list.toSorted(before) }))
      while (waiting.length > 0) {
        const at = choice.next().value % waiting.length
        const { stream, rows } = waiting[at] ?? {}
        const next = rows?.shift()
        if (next === undefined) {
          stream?.end()
          waiting.splice(at, 1)
        } else stream?.row(row(next), 0, row(next).length)
      }
      await merger.finished
      const expected = shards.flat().toSorted(before).slice(offset, offset + limit)
      expect(sink.rows).toEqual(expected.map((key) => [String(key)]))
      expect(merger.disorder).toBe(false)
    }),
  )
})

it('stops reading a shard whose rows must wait, and goes on when they have gone', async () => {
  const sink = new Collected()
  const merger = new Merger({ columns: 1, order: [ascending], shards: 2, offset: 0, limit: Infinity, sink })
  const [one, other] = merger.streams
  const long = (key: number) => dataRow(Buffer.alloc(64 * 1024, 'x'), integer(key))
  let sent = 0
  // The other shard is silent, so nothing can go to the client.
  while (one?.row(long(sent), 0, long(sent).length) === true) sent++
  expect(sink.rows).toHaveLength(0)
  expect(sent * 64 * 1024).toBeLessThanOrEqual(limits.mergeQueueBytesMax)
  const resumed = new Promise<void>((resolve) => one?.whenDrained(resolve))
  other?.end()
  await resumed
  one?.end()
  await merger.finished
  expect(sink.rows).toHaveLength(sent + 1)
})

it('sends nothing to a client that is full', async () => {
  const sink = new Collected()
  sink.room = 2
  const merger = new Merger({ columns: 1, order: [ascending], shards: 1, offset: 0, limit: Infinity, sink })
  const [stream] = merger.streams
  for (let key = 0; key < 5; key++) stream?.row(row(key), 0, row(key).length)
  stream?.end()
  expect(sink.rows).toHaveLength(2)
  sink.room = Infinity
  sink.goOn?.()
  await merger.finished
  expect(sink.rows).toHaveLength(5)
})

it('notices a shard that sorts otherwise', () => {
  const merger = new Merger({ columns: 1, order: [ascending], shards: 2, offset: 0, limit: Infinity, sink: new Collected() })
  for (const key of [2, 1]) merger.streams[0]?.row(row(key), 0, row(key).length)
  expect(merger.disorder).toBe(true)
})

/** Whether the copies on the target have the rows of the source: by their number and a checksum that their order does not change. */
import { limits } from '../base/limits.ts'
import { quoteIdent } from '../base/quote.ts'
import type { MovedTable } from './moved-tables.ts'
import { copyIsCaughtUp, lagBytes } from './copy-bucket.ts'
import type { MoveJob } from './move-job.ts'

const rowHash = ({ facts }: MovedTable) => `hashtextextended(ROW(${facts.columns.map(({ name }) => quoteIdent(name)).join(', ')})::text, 0)::numeric`

/** One row for all of a table; the same text on both servers. */
export function wholeSum(table: MovedTable): string {
  return `SELECT count(*)::text, coalesce(sum(${rowHash(table)}), 0)::text FROM ${table.leaf}`
}

/** A row for each part; rows with one key are in one part. */
function partSums(table: MovedTable): string {
  const part = `hashtextextended(${table.key}::text, 1) & ${limits.compareParts - 1}`
  return `SELECT coalesce((${part})::int, -1) AS part, count(*)::float8 AS rows, sum(${rowHash(table)})::text AS sum FROM ${table.leaf} GROUP BY 1`
}

export interface Comparison {
  readonly rows: number
  /** How long the slowest table took: what it would cost to do it again with the writes held. */
  readonly ms: number
}

/**
 * Compares while clients write: a part that has changed in between is compared again, until each was once found equal. Undefined when
 * some never were.
 */
export async function compareCopies(job: MoveJob, tables: readonly MovedTable[]): Promise<Comparison | undefined> {
  let rows = 0
  let ms = 0
  for (const table of tables.filter(({ hasRows }) => hasRows)) {
    const compared = await compareTable(job, table)
    if (compared === undefined) return undefined
    rows += compared.rows
    ms += compared.ms
  }
  return { rows, ms }
}

async function compareTable(job: MoveJob, table: MovedTable): Promise<Comparison | undefined> {
  const { clock } = job
  const text = partSums(table)
  const equal = new Set<number>()
  const servers = [await job.sessions.on(job.source), await job.sessions.on(job.target)]
  for (let time = 0; time < limits.compareTimesMax; time++) {
    job.signal.throwIfAborted()
    if (time > 0) await untilCaughtUp(job)
    const began = clock.ticks()
    const [source, target] = await Promise.all(
      servers.map(async (server) => {
        const { rows } = await server.query<{ part: number; rows: number; sum: string }>(text)
        return new Map(rows.map((row) => [row.part, row]))
      }),
    )
    const ms = clock.ticks() - began
    const parts = new Set([...(source?.keys() ?? []), ...(target?.keys() ?? [])])
    const differ = [...parts].filter((part) => {
      const [a, b] = [source?.get(part), target?.get(part)]
      if (a?.rows === b?.rows && a?.sum === b?.sum) equal.add(part)
      return !equal.has(part)
    })
    if (differ.length === 0) return { rows: [...(source?.values() ?? [])].reduce((sum, row) => sum + row.rows, 0), ms }
  }
  return undefined
}

async function untilCaughtUp(job: MoveJob): Promise<void> {
  do {
    job.signal.throwIfAborted()
    await job.clock.sleep(limits.movePollMs / 4)
  } while (!copyIsCaughtUp(await lagBytes(job)))
}

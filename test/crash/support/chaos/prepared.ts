/** What is prepared on the servers, and for how long: asked of the servers themselves. */
import { ask, type Server } from '../servers.ts'

interface Prepared {
  readonly name: string
  readonly server: string
  readonly ageMs: number
}

/** So long it is waited for what is late, so that it can be told how late it was. */
const givenUpMs = 60_000

export async function readPrepared(servers: readonly Server[]): Promise<Prepared[]> {
  const found = await Promise.all(
    servers.map(async ({ port, name: server }) => {
      const rows = await ask<{ name: string; age: number }>(port, `SELECT gid AS name, (1000 * extract(epoch FROM clock_timestamp() - prepared))::float8 AS age FROM pg_prepared_xacts`)
      return rows.map(({ name, age }) => ({ name, server, ageMs: age }))
    }),
  )
  return found.flat()
}

/**
 * Waits until nothing is prepared that was `since`, a time of performance.now(); with no load there is nothing at all. Findings when that takes longer
 * than `msMax` from then on.
 */
export async function finishedSince(servers: readonly Server[], since: number, msMax: number, withLoad: boolean): Promise<{ ms: number; findings: string[] }> {
  let late: Prepared[] = []
  for (;;) {
    const asked = performance.now()
    const prepared = await readPrepared(servers)
    const left = withLoad ? prepared.filter(({ ageMs }) => ageMs > asked - since) : prepared
    const ms = performance.now() - since
    if (ms > msMax && late.length === 0) late = left
    if (left.length > 0 && ms < givenUpMs) {
      await new Promise((resolve) => setTimeout(resolve, 50))
      continue
    }
    const end = left.length === 0 ? `until ${Math.round(ms)} ms after it` : 'and stayed so'
    return { ms, findings: late.map(({ name, server }) => `${name} was still prepared on ${server} ${msMax} ms after the last fault, ${end}`) }
  }
}

/** While `work` goes on, nothing is prepared for longer than `msMax`. */
export async function noneOlder(servers: readonly Server[], msMax: number, work: Promise<unknown>): Promise<string[]> {
  const old = new Set<string>()
  const over = new AbortController()
  const end = work.finally(() => over.abort())
  end.catch(() => undefined) // told below
  while (!over.signal.aborted) {
    for (const { name, server, ageMs } of await readPrepared(servers)) if (ageMs > msMax) old.add(`${name} was prepared on ${server} for more than ${msMax} ms though nothing had failed`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  await end
  return [...old]
}

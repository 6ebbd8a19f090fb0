/** What is prepared on the servers, and for how long: asked of the servers themselves. */
import { killAtOnce, send } from '../processes.ts'
import { ask, type Server } from '../servers.ts'
import type { Part } from './chaos-cluster.ts'

interface Prepared {
  readonly name: string
  readonly server: string
  readonly ageMs: number
}

/** So long it is waited for what is late, so that it can be told how late it was. */
const givenUpMs = 60_000
const watchedMsMin = 5_000

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

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
 * Waits until nothing is prepared that was `since`, a time of performance.now(); with no load there is nothing at all. It is looked for some seconds in
 * any case, since a PREPARE may have been on its way. Findings when something is there `msMax` after that time; `ms` is when it was last seen.
 */
export async function finishedSince(servers: readonly Server[], since: number, msMax: number, withLoad: boolean): Promise<{ ms: number; findings: string[] }> {
  let late: Prepared[] = []
  let seenMs = 0
  for (;;) {
    const asked = performance.now()
    const prepared = await readPrepared(servers)
    const left = withLoad ? prepared.filter(({ ageMs }) => ageMs > asked - since) : prepared
    const ms = performance.now() - since
    if (left.length > 0) seenMs = ms
    if (asked - since > msMax && late.length === 0) late = left
    const isClean = left.length === 0 && asked - since > Math.min(msMax, watchedMsMin)
    if (isClean || ms > givenUpMs) {
      const end = isClean ? `until ${Math.round(seenMs)} ms after it` : 'and stayed so'
      return { ms: seenMs, findings: late.map(({ name, server }) => `${name} was still prepared on ${server} ${msMax} ms after the last fault, ${end}`) }
    }
    await sleep(50)
  }
}

/** Kills a router that is used, at a moment at which something is prepared that it would have finished. */
export async function killInCommit(router: Part, servers: readonly Server[]): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const pids = router.pids()
    for (const pid of pids) send(pid, 'SIGSTOP')
    const since = performance.now()
    await sleep(200)
    const asked = performance.now()
    const prepared = await readPrepared(servers)
    if (prepared.some(({ ageMs }) => ageMs > asked - since)) return killAtOnce(pids)
    for (const pid of pids) send(pid, 'SIGCONT')
    await sleep(200)
  }
  throw new Error(`${router.name} never has anything prepared`)
}

/** While `work` goes on, nothing is prepared for longer than `msMax`. */
export async function noneOlder(servers: readonly Server[], msMax: number, work: Promise<unknown>): Promise<string[]> {
  const old = new Set<string>()
  const over = new AbortController()
  const end = work.finally(() => over.abort())
  end.catch(() => undefined) // told below
  while (!over.signal.aborted) {
    for (const { name, server, ageMs } of await readPrepared(servers)) if (ageMs > msMax) old.add(`${name} was prepared on ${server} for more than ${msMax} ms`)
    await sleep(100)
  }
  await end
  return [...old]
}

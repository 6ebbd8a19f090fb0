/**
 * One cluster of three shards and one plain PostgreSQL for a whole run of vitest.
 *
 * Every project that names this file calls it, each from a module of its own: what they share hangs on globalThis and is
 * counted, so that the last project stops it.
 */
import type { TestProject } from 'vitest/node'
import { startPlainPostgres, startTestCluster } from './cluster.ts'
import type { TestServer } from './cluster.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    clusterPort: number
    plainPort: number
  }
}

interface Shared {
  users: number
  readonly servers: Promise<readonly [TestServer, TestServer]>
}

declare global {
  var pgherdTestServers: Shared | undefined
}

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  globalThis.pgherdTestServers ??= { users: 0, servers: startBoth() }
  const shared = globalThis.pgherdTestServers
  shared.users++
  const [cluster, plain] = await shared.servers
  project.provide('clusterPort', cluster.port)
  project.provide('plainPort', plain.port)
  return async () => {
    if (--shared.users > 0) return
    globalThis.pgherdTestServers = undefined
    await Promise.all([cluster.stop(), plain.stop()])
  }
}

/** PG_BIN names a folder with the programs of another PostgreSQL than that of the npm packages. */
const pgBin = process.env['PG_BIN']

/** If one cannot start, the other must not be left behind. */
async function startBoth(): Promise<readonly [TestServer, TestServer]> {
  const [cluster, plain] = await Promise.allSettled([startTestCluster({ shards: 3, replicas: 0, pgBin }), startPlainPostgres(pgBin)])
  if (cluster.status === 'fulfilled' && plain.status === 'fulfilled') return [cluster.value, plain.value]
  for (const result of [cluster, plain]) if (result.status === 'fulfilled') await result.value.stop()
  throw [cluster, plain].find((result) => result.status === 'rejected')?.reason
}

/** Servers for tests: a whole cluster behind its router, and one plain PostgreSQL of the same binaries to compare with. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { realClock } from '../../src/base/clock.ts'
import { startDev } from '../../src/cli/dev.ts'
import type { RunningCluster } from '../../src/cli/dev.ts'
import { catalogAddress } from '../../src/coordination/bootstrap.ts'
import { findBinaries } from '../../src/embedded/binaries.ts'
import { freePort } from '../../src/embedded/free-port.ts'
import { PostgresServer } from '../../src/embedded/postgres-server.ts'
import { serverUser } from '../../src/embedded/server-user.ts'
import { consoleLogger } from '../../src/observability/logger.ts'
import { Router } from '../../src/router/router.ts'

export interface TestServer {
  readonly port: number
  /** Stops the processes and removes their data. */
  stop(): Promise<void>
}

export interface TestCluster extends TestServer {
  readonly running: RunningCluster
  readonly dataDir: string
}

export async function startTestCluster(options: { shards: number; replicas: number; pgBin?: string | undefined }): Promise<TestCluster> {
  const dataDir = makeDataDir()
  try {
    const running = await startDev({
      pgBin: undefined,
      ...options,
      host: '127.0.0.1',
      port: 0,
      dataDir,
      clock: realClock,
      log: consoleLogger('quiet'),
      // Tests kill servers, and start them again themselves.
      keepServers: false,
    })
    return { port: running.port, running, dataDir, stop: () => running.stop().finally(() => remove(dataDir)) }
  } catch (error) {
    remove(dataDir)
    throw error
  }
}

/** One more router of the same cluster. The caller stops it before the cluster. */
export function startSecondRouter(cluster: TestCluster): Promise<Router> {
  const catalog = catalogAddress('127.0.0.1', cluster.running.cluster.catalog.port)
  return Router.start({ catalog, credentials: { user: 'postgres' }, host: '127.0.0.1', port: 0, clock: realClock, log: consoleLogger('quiet') })
}

export async function startPlainPostgres(pgBin?: string): Promise<TestServer> {
  const user = serverUser()
  const root = makeDataDir()
  user.own(root)
  try {
    const server = new PostgresServer(findBinaries(user, pgBin), user, path.join(root, 'plain'), await freePort())
    await server.init()
    await server.start()
    return { port: server.port, stop: () => server.stop().finally(() => remove(root)) }
  } catch (error) {
    remove(root)
    throw error
  }
}

/** mkdtemp makes a folder for its owner alone, and PostgreSQL may run as another user. */
function makeDataDir(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'pgherd-test-'))
  fs.chmodSync(folder, 0o755)
  return folder
}

function remove(folder: string): void {
  fs.rmSync(folder, { recursive: true, force: true })
}

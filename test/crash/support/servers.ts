/** The servers of a cluster, asked directly: the router must not be the one that says whether the router did right. */
import fs from 'node:fs'
import path from 'node:path'
import pg from 'pg'
import { findBinaries } from '../../../src/embedded/binaries.ts'
import { PostgresServer } from '../../../src/embedded/postgres-server.ts'
import { serverUser } from '../../../src/embedded/server-user.ts'

export interface Server {
  /** 0 is the catalog. */
  readonly id: number
  readonly name: string
  readonly port: number
  readonly dataDir: string
}

export function readServers(dataDir: string): Server[] {
  const layout = JSON.parse(fs.readFileSync(path.join(dataDir, 'cluster.json'), 'utf8')) as { catalogPort: number; shards: { port: number }[] }
  const server = (id: number, name: string, port: number) => ({ id, name, port, dataDir: path.join(dataDir, name) })
  return [server(0, 'catalog', layout.catalogPort), ...layout.shards.map((shard, i) => server(i + 1, `shard${i + 1}`, shard.port))]
}

/** The same server again, on its own data. The caller stops it. */
export async function startAgain(server: Server): Promise<PostgresServer> {
  const user = serverUser()
  const postgres = new PostgresServer(findBinaries(user), user, server.dataDir, server.port)
  await postgres.start()
  return postgres
}

export async function connect(port: number, database = 'postgres'): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database, query_timeout: 60_000, connectionTimeoutMillis: 20_000 })
  client.on('error', () => undefined) // what waits on the client is told; without a listener the test's process would end
  await client.connect()
  return client
}

export async function ask<Row extends pg.QueryResultRow>(port: number, sql: string, database = 'postgres'): Promise<Row[]> {
  const client = await connect(port, database)
  try {
    return (await client.query<Row>(sql)).rows
  } finally {
    await client.end()
  }
}

export async function preparedNames(servers: readonly Server[]): Promise<string[]> {
  const found = await Promise.all(servers.map(({ port }) => ask<{ gid: string }>(port, 'SELECT gid FROM pg_prepared_xacts')))
  return found.flat().map((row) => row.gid)
}

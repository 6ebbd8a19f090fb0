import pg from 'pg'
import { limits } from '../base/limits.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'

/**
 * A connection of the control plane's own, outside the pool, as the router's role. The caller ends it. With `answerMsMax`, connecting and each query
 * fail when they take longer.
 */
export async function adminClient(server: ServerAddress, database: string, credentials: Credentials, answerMsMax?: number): Promise<pg.Client> {
  const client = new pg.Client({
    host: server.host,
    port: server.port,
    user: credentials.user,
    ...(credentials.password === undefined ? {} : { password: credentials.password }),
    database,
    application_name: 'pgherd',
    connectionTimeoutMillis: answerMsMax ?? limits.connectMsMax,
    ...(answerMsMax === undefined ? {} : { query_timeout: answerMsMax }),
  })
  client.on('error', () => undefined) // what waits on the client is told; without a listener the process would end
  await client.connect()
  return client
}

export async function withAdmin<T>(
  server: ServerAddress,
  database: string,
  credentials: Credentials,
  work: (client: pg.Client) => Promise<T>,
  answerMsMax?: number,
): Promise<T> {
  const client = await adminClient(server, database, credentials, answerMsMax)
  try {
    return await work(client)
  } finally {
    const ended = client.end().catch(() => undefined)
    // A server that does not answer does not say goodbye either.
    if (answerMsMax === undefined) await ended
  }
}

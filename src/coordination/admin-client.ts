import pg from 'pg'
import { limits } from '../base/limits.ts'
import type { Credentials, Primaries, ServerAddress } from '../catalog/server-address.ts'
import { identityQuery, readIdentity } from '../shard/server-identity.ts'

/**
 * A connection of the control plane's own, outside the pool, as the router's role. The caller ends it. With `answerMsMax`, connecting and each query
 * fail when they take longer. With `credentials.primaries` it goes to the primary, and ends when that is none any more.
 */
export async function adminClient(wanted: ServerAddress, database: string, credentials: Credentials, answerMsMax?: number): Promise<pg.Client> {
  const { primaries } = credentials
  const server = primaries?.current(wanted) ?? wanted
  const client = new pg.Client({
    host: server.host,
    port: server.port,
    user: credentials.user,
    ...(credentials.password === undefined ? {} : { password: credentials.password }),
    database,
    application_name: 'pgherd',
    // Fences, records and what recovery decides are acted on at once: a server that is told to be hasty must not lose them.
    options: '-c synchronous_commit=on',
    connectionTimeoutMillis: answerMsMax ?? limits.connectMsMax,
    ...(answerMsMax === undefined ? {} : { query_timeout: answerMsMax }),
  })
  client.on('error', () => undefined) // what waits on the client is told; without a listener the process would end
  if (primaries === undefined) {
    await client.connect()
    return client
  }
  let untrack = () => {}
  // A client that is ended while it connects tells nobody.
  const isLeft = new Promise<never>((_resolve, reject) => {
    untrack = primaries.track(server, () => {
      void client.end().catch(() => undefined)
      reject(new Error(`${server.host}:${server.port} is the primary of ${server.name} no more`))
    })
  })
  client.on('end', untrack)
  try {
    await Promise.race([client.connect().then(() => admit(client, server, primaries)), isLeft])
    return client
  } catch (error) {
    untrack()
    void client.end().catch(() => undefined)
    throw error
  }
}

const asText = { getTypeParser: () => (value: string) => value } as unknown as pg.CustomTypesConfig

async function admit(client: pg.Client, server: ServerAddress, primaries: Primaries): Promise<void> {
  if (server.isReplica === true) return
  const { rows } = await client.query<string[]>({ text: identityQuery, rowMode: 'array', types: asText })
  await primaries.admit(server, readIdentity(rows[0]))
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

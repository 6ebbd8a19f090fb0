/** A connection to a server that is what it is taken for. It ends when it is that no more, and nobody waits for it any longer then. */
import { connectionLost } from '../base/errors.ts'
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import { Connection } from './connection.ts'
import { query } from './query.ts'
import { identityQuery, readIdentity } from './server-identity.ts'
import { hideTimeouts } from './timeouts.ts'

export interface Entrance {
  /** Where the server was; its primary may be elsewhere now. */
  readonly server: ServerAddress
  readonly database: string
  readonly user: string
  readonly credentials: Credentials
  readonly clock: Clock
  /** Is told of the connection as soon as there is one, before the server has said what it is. */
  readonly onOpen?: (connection: Connection) => void
}

/** Throws the server's own error, 08006, or 08004 when it must not be taken for what was wanted. The connection's `onClosed` is set: who sets another calls this one. */
export async function enterServer({ server: wanted, database, user, credentials, clock, onOpen }: Entrance): Promise<Connection> {
  const { primaries } = credentials
  const server = primaries?.current(wanted) ?? wanted
  const password = user === credentials.user ? credentials.password : undefined
  const answerMsMax = server.isReplica === true ? limits.replicaAnswerMsMax : undefined
  const connecting = Connection.connect({ server, database, user, password, clock, answerMsMax })
  const close = () => void connecting.then((connection) => connection.close()).catch(() => undefined)
  let untrack = () => {}
  const isLeft = new Promise<never>((_resolve, reject) => {
    untrack = primaries?.track(server, () => {
      close()
      reject(connectionLost(server.name, 'it is the primary no more'))
    }) ?? untrack
  })
  try {
    const connection = await Promise.race([connecting, isLeft])
    connection.onClosed = untrack
    onOpen?.(connection)
    const { rows } = await query(connection, primaries === undefined ? hideTimeouts : `${hideTimeouts}; ${identityQuery}`)
    await primaries?.admit(server, readIdentity(rows.at(-1)))
    if (connection.isLost) throw connectionLost(server.name, 'closed')
    return connection
  } catch (error) {
    untrack()
    close()
    throw error
  }
}

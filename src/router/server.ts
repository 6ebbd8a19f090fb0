/** Accepts clients: the one place where client sockets are. */
import net from 'node:net'
import { asSqlError, SqlError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import { writeErrorFields } from '../protocol/error-fields.ts'
import { MessageWriter } from '../protocol/message-writer.ts'
import { query } from '../shard/query.ts'
import { settingsChange } from '../transaction/settings.ts'
import { SessionNumbers } from './activity.ts'
import { readIntoShared } from './client-socket.ts'
import { ClientStream } from './client-stream.ts'
import { ownColumns, ownValues } from './own-settings.ts'
import type { Services } from './services.ts'
import { Session } from './session.ts'
import { defaultTimeouts, timeoutsAtStart, withoutTimeouts } from './statements/timeouts.ts'
import { newestMinor, readStartUp, startUpSettings } from './start-up.ts'

interface Client {
  readonly session: Session
  readonly secret: Buffer
}

export class RouterServer {
  private readonly services: Services
  private readonly server: net.Server
  private readonly clients = new Map<number, Client>()
  private readonly sockets = new Set<net.Socket>()
  private readonly numbers: SessionNumbers

  constructor(services: Services) {
    this.services = services
    this.numbers = new SessionNumbers((below) => services.clock.randomInt(below))
    this.server = net.createServer({ noDelay: true, pauseOnConnect: true }, (socket) => this.accept(socket))
  }

  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject)
      this.server.listen({ host, port, backlog: 4096 }, () => {
        const address = this.server.address()
        resolve(typeof address === 'object' && address !== null ? address.port : port)
      })
    })
  }

  get clientCount(): number {
    return this.clients.size
  }

  /** Ends every session. Transactions that are open are rolled back. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()))
    for (const { session } of this.clients.values()) {
      writeErrorFields(session.stream.out, 'E', { severity: 'FATAL', code: '57P01', message: 'terminating connection: the router is shutting down' })
      session.stream.close()
    }
    for (const socket of this.sockets) socket.destroySoon()
    const stopTimer = this.services.clock.after(limits.shutdownMsMax, () => {
      for (const socket of this.sockets) socket.destroy()
    })
    await closed
    stopTimer()
  }

  private accept(accepted: net.Socket): void {
    const client: { onBytes: (bytes: Buffer) => void } = { onBytes: () => undefined }
    const socket = readIntoShared(accepted, (bytes) => client.onBytes(bytes))
    this.sockets.add(socket)
    const stopTimer = this.services.clock.after(limits.startupMsMax, () => socket.destroy())
    let buffer: Buffer = Buffer.alloc(0)
    const declined = new Set<'tls' | 'gssapi'>()
    client.onBytes = (bytes) => {
      buffer = Buffer.concat([buffer, bytes])
      try {
        for (let packet = readStartUp(buffer, declined); packet !== undefined; packet = readStartUp(buffer, declined)) {
          buffer = buffer.subarray(packet.length)
          const { request } = packet
          if (request.kind === 'encryption') {
            declined.add(request.method)
            socket.write('N')
          } else if (request.kind === 'cancel') {
            client.onBytes = () => undefined
            this.cancel(request.pid, request.secret)
            socket.end()
            return
          } else {
            stopTimer()
            const stream = new ClientStream(socket)
            client.onBytes = (bytes) => stream.push(bytes)
            void this.start(stream, socket, request.minor, request.parameters, buffer)
            return
          }
        }
      } catch (error) {
        client.onBytes = () => undefined
        const writer = new MessageWriter()
        writeErrorFields(writer, 'E', { ...asSqlError(error).fields, severity: 'FATAL' })
        socket.end(writer.take())
      }
    }
    socket.on('error', () => undefined)
    socket.on('close', () => {
      stopTimer()
      this.sockets.delete(socket)
    })
  }

  private cancel(pid: number, secret: Buffer): void {
    const client = this.clients.get(pid)
    if (client?.secret.equals(secret) === true) client.session.cancel()
  }

  private async start(stream: ClientStream, socket: net.Socket, minor: number, parameters: ReadonlyMap<string, string>, rest: Buffer): Promise<void> {
    if (rest.length > 0) stream.push(rest)
    const pid = this.numbers.next((number) => this.clients.has(number))
    try {
      const session = await this.openSession(stream, minor, parameters, pid, socket)
      // Since protocol 3.2 a key is as long as it needs to be not to be guessed.
      const secret = Buffer.from(this.services.clock.randomHex(minor >= 2 ? 32 : 4), 'hex')
      session.isDatabaseInUse = (database) => [...this.clients.values()].some((client) => client.session.database === database)
      this.clients.set(pid, { session, secret })
      this.services.clients.set(pid, session)
      session.news.tell(false)
      stream.out.begin('K').int32(pid).bytes(secret).end()
      session.readyForQuery()
      await session.run()
    } catch (error) {
      writeErrorFields(stream.out, 'E', { ...asSqlError(error).fields, severity: 'FATAL' })
      stream.close()
    } finally {
      this.clients.delete(pid)
      this.services.clients.delete(pid)
    }
  }

  /** Logs in: the catalog says whether the role may enter the database, and what it reports of itself. */
  private async openSession(stream: ClientStream, minor: number, parameters: ReadonlyMap<string, string>, pid: number, socket: net.Socket): Promise<Session> {
    const { services } = this
    const user = parameters.get('user')
    if (user === undefined) throw new SqlError('28000', 'no PostgreSQL user name specified in startup packet')
    if (parameters.has('replication') && parameters.get('replication') !== 'false') throw new SqlError('0A000', 'replication connections are not supported')
    const database = parameters.get('database') ?? user
    const unknown = [...parameters.keys()].filter((name) => name.startsWith('_pq_.'))
    if (minor > newestMinor || unknown.length > 0) {
      stream.out.begin('v').int32((3 << 16) + Math.min(minor, newestMinor)).int32(unknown.length)
      for (const name of unknown) stream.out.cstring(name)
      stream.out.end()
    }
    const given = startUpSettings(parameters)
    const initialSettings = withoutTimeouts(given)
    stream.out.begin('R').int32(0).end()
    const connection = await services.pool.take(services.catalog, database, user)
    try {
      const change = settingsChange(connection.settings, initialSettings)
      connection.settings = undefined
      if (change.length > 0) await query(connection, change.join('; '))
      connection.settings = initialSettings
      await services.store.get(database)
      const { rows } = await query(connection, `SELECT current_setting('search_path'), current_setting('default_transaction_isolation'), current_setting('default_transaction_read_only'), ${ownColumns}`)
      const { rows: defaults } = await query(connection, defaultTimeouts)
      const initialTimeouts = await timeoutsAtStart(connection, defaults, given)
      const [searchPath = '', isolation = '', readOnly, ...own] = rows[0] ?? []
      const session = new Session(services, stream, { pid, address: socket.remoteAddress, port: socket.remotePort, database, user, initialSettings, initialTimeouts, searchPath, own: ownValues(own, services.clusterSettings.values), base: { isolation, readOnly: readOnly === 'on' } })
      for (const [name, value] of connection.reported) session.reportParameter(name, value)
      return session
    } finally {
      services.pool.release(connection)
    }
  }
}

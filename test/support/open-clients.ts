/** A test's connections through routers, ended together. */
import pg from 'pg'

export class OpenClients {
  private readonly clients: pg.Client[] = []

  async connect(port: number, user = 'postgres'): Promise<pg.Client> {
    const client = new pg.Client({ host: '127.0.0.1', port, user, database: 'postgres' })
    await client.connect()
    this.clients.push(client)
    return client
  }

  async end(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.end()))
  }
}

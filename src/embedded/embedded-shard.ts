/** A shard's servers. Which of them is the primary changes; the cluster's database knows, and this is told. */
import pg from 'pg'
import type { PostgresServer } from './postgres-server.ts'

export class EmbeddedShard {
  readonly servers: readonly PostgresServer[]
  private primaryPort: number

  /** The first is the primary as long as nobody says otherwise. */
  constructor(servers: readonly PostgresServer[]) {
    this.servers = servers
    this.primaryPort = servers[0]?.port ?? 0
  }

  get primary(): PostgresServer {
    return this.servers.find(({ port }) => port === this.primaryPort) as PostgresServer
  }

  get replicas(): readonly PostgresServer[] {
    return this.servers.filter(({ port }) => port !== this.primaryPort)
  }

  /** Nothing happens for a port that is none of its servers'. */
  primaryIsOn(port: number): void {
    if (this.servers.some((server) => server.port === port)) this.primaryPort = port
  }

  async start(): Promise<void> {
    await this.primary.start()
    const replicas = this.replicas.filter((replica) => replica.exists && replica.isStandby)
    await this.makeSlots(replicas.map((replica) => replica.followedSlot))
    await Promise.all(replicas.map((replica) => replica.start()))
  }

  async makeSlots(slots: readonly string[]): Promise<void> {
    if (slots.length === 0) return
    const client = new pg.Client({ host: '127.0.0.1', port: this.primary.port, user: 'postgres', database: 'postgres' })
    await client.connect()
    try {
      for (const slot of slots) {
        await client.query(`SELECT pg_create_physical_replication_slot($1, true) WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)`, [slot])
      }
    } finally {
      await client.end()
    }
  }
}

/** Which sessions wait for which, as the servers behind them say. Sessions are known there by their application_name. */
import { WireClient } from '../support/wire-client.ts'

/** Of each session that waits, those it waits for; one that is not a spec's is undefined. */
export type WaitGraph = ReadonlyMap<string, ReadonlySet<string | undefined>>

export class Waits {
  private readonly clients: readonly WireClient[]
  private readonly prefix: string

  private constructor(clients: readonly WireClient[], prefix: string) {
    this.clients = clients
    this.prefix = prefix
  }

  static async open(ports: readonly number[], database: string, prefix: string): Promise<Waits> {
    return new Waits(await Promise.all(ports.map((port) => WireClient.connect({ port, database }))), prefix)
  }

  async graph(): Promise<WaitGraph> {
    const answers = await Promise.all(this.clients.map((client) => client.query(waitsQuery)))
    const graph = new Map<string, Set<string | undefined>>()
    for (const { rows, error } of answers) {
      if (error !== undefined) throw new Error(`waits: ${error.message}`)
      for (const [waiting, blocking] of rows) {
        const from = this.sessionOf(waiting)
        if (from === undefined) continue
        const to = graph.get(from) ?? new Set()
        graph.set(from, to.add(this.sessionOf(blocking)))
      }
    }
    return graph
  }

  async close(): Promise<void> {
    for (const client of this.clients) client.close()
  }

  private sessionOf(applicationName: string | null | undefined): string | undefined {
    return applicationName?.startsWith(this.prefix) === true ? applicationName.slice(this.prefix.length) : undefined
  }
}

const waitsQuery = `
  SELECT w.application_name, b.application_name
  FROM pg_stat_activity w CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) AS p (pid) LEFT JOIN pg_stat_activity b ON b.pid = p.pid
  WHERE w.datname = current_database() AND w.wait_event_type = 'Lock'`

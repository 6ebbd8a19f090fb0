/**
 * A cluster with one replica a shard and two routers, whose primaries are killed one after the other while clients write through both.
 *
 * Each counter is one row that one client increments, in autocommit: it must be what was acknowledged, and no more than what had no answer. The bank's transfers
 * are over several shards.
 */
import fs from 'node:fs'
import path from 'node:path'
import type pg from 'pg'
import { freePort } from '../../../src/embedded/free-port.ts'
import { Bank } from './bank.ts'
import { DevProcess, makeDataDir } from './dev-process.ts'
import { killAtOnce, processesIn } from './processes.ts'
import { ask, connect } from './servers.ts'
import { until } from './until.ts'

export const serviceMsMax = 10_000
const settledMsMax = 120_000
const counters = 8

/** What one client saw. */
class Counter {
  acknowledged = 0
  readonly errors: string[] = []
  /** When the last increment was acknowledged. */
  lastAt = 0
  private readonly id: number
  private readonly client: pg.Client
  private isStopping = false
  private running: Promise<void> = Promise.resolve()

  constructor(id: number, client: pg.Client) {
    this.id = id
    this.client = client
  }

  start(): void {
    this.isStopping = false
    this.running = this.work()
  }

  async stop(): Promise<void> {
    this.isStopping = true
    await this.running
  }

  private async work(): Promise<void> {
    while (!this.isStopping) {
      try {
        await this.client.query('UPDATE counter SET n = n + 1 WHERE id = $1', [this.id])
        this.acknowledged++
        this.lastAt = performance.now()
      } catch (error) {
        const { code, message } = error as Error & { code?: string }
        this.errors.push(`${code} ${message}`)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
  }
}

export interface Round {
  readonly shard: number
  /** From the kill until every client had a write acknowledged by the new primary. */
  readonly serviceMs: number
  /** From the kill until the old primary was a replica in sync. */
  readonly rejoinedMs: number
  readonly findings: readonly string[]
}

export class FailoverRounds {
  private readonly dataDir = makeDataDir()
  private readonly ports: number[] = []
  private readonly processes: DevProcess[] = []
  private readonly clients: pg.Client[] = []
  private readonly counters: Counter[] = []
  private bank = new Bank(0)

  async start(): Promise<void> {
    const [port, second] = [await freePort(), await freePort()]
    this.processes.push(new DevProcess(['dev', '--data-dir', this.dataDir, '--port', String(port), '--shards', '2', '--replicas', '1']))
    this.ports.push(await this.processes[0]?.ready() ?? 0)
    const redisPort = fs.readFileSync(path.join(this.dataDir, 'redis.pid'), 'utf8').split('\n')[1]
    this.processes.push(new DevProcess(['router', '--catalog', `postgres://postgres@127.0.0.1:${this.layout.catalogPort}`, '--redis', `redis://127.0.0.1:${redisPort}`, '--port', String(second)]))
    this.ports.push(await this.processes[1]?.ready() ?? 0)
    this.bank = new Bank(port)
    await this.bank.open()
    await ask(port, 'CREATE TABLE counter (id int PRIMARY KEY, n int NOT NULL)')
    await ask(port, `INSERT INTO counter SELECT g, 0 FROM generate_series(1, ${counters}) g`)
    for (let id = 1; id <= counters; id++) {
      const client = await connect(this.ports[id % 2] ?? 0)
      this.clients.push(client)
      this.counters.push(new Counter(id, client))
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.end().catch(() => undefined)))
    for (const one of this.processes.toReversed()) await one.interrupt().catch(() => one.kill('SIGKILL'))
    killAtOnce(processesIn(this.dataDir))
    fs.rmSync(this.dataDir, { recursive: true, force: true })
  }

  async round(shard: number): Promise<Round> {
    await this.allInSync()
    const before = this.counters.map(({ errors }) => errors.length)
    for (const counter of this.counters) counter.start()
    this.bank.start(this.ports[0] ?? 0)
    const transfers = this.bank.acknowledged.size
    await until('the bank is at work', () => this.bank.acknowledged.size > transfers + 10)
    const primary = await this.primaryOf(shard)
    const killedAt = performance.now()
    killAtOnce(processesIn(this.folderOf(primary)))
    await until('another is the primary', async () => (await this.primaryOf(shard)) !== primary, settledMsMax)
    const since = performance.now()
    await until('all clients write again', () => this.counters.every(({ lastAt }) => lastAt > since), settledMsMax)
    const serviceMs = Math.max(...this.counters.map(({ lastAt }) => lastAt)) - killedAt
    const after = this.bank.acknowledged.size
    await until('the bank goes on', () => this.bank.acknowledged.size > after + 10, settledMsMax)
    await this.allInSync()
    const rejoinedMs = performance.now() - killedAt
    await Promise.all([this.bank.stop(), ...this.counters.map((counter) => counter.stop())])
    await until('no prepared transaction is left', async () => (await this.prepared()) === 0, settledMsMax)
    return { shard, serviceMs, rejoinedMs, findings: [...(await this.bank.findings()), ...(await this.counted()), ...this.tooManyErrors(before)] }
  }

  private async counted(): Promise<string[]> {
    const rows = await ask<{ id: number; n: number }>(this.ports[1] ?? 0, 'SELECT id, n FROM counter')
    return this.counters.flatMap(({ acknowledged, errors }, i) => {
      const n = rows.find(({ id }) => id === i + 1)?.n ?? -1
      if (n >= acknowledged && n <= acknowledged + errors.length) return []
      return [`counter ${i + 1} is ${n}; ${acknowledged} increments were acknowledged, ${errors.length} failed`]
    })
  }

  /** One statement of each client was in progress. */
  private tooManyErrors(before: readonly number[]): string[] {
    return this.counters.flatMap(({ errors }, i) => {
      const now = errors.slice(before[i])
      const isAllowed = now.length <= 1 && now.every((error) => /^(08|57P|40)/.test(error))
      return isAllowed ? [] : [`client ${i + 1} got ${now.join('; ')}`]
    })
  }

  private get layout(): { catalogPort: number; shards: { port: number; replicaPorts: number[] }[] } {
    return JSON.parse(fs.readFileSync(path.join(this.dataDir, 'cluster.json'), 'utf8')) as never
  }

  private onCatalog<Row extends pg.QueryResultRow>(sql: string): Promise<Row[]> {
    return ask<Row>(this.layout.catalogPort, sql, 'pgherd')
  }

  private async primaryOf(shard: number): Promise<number> {
    return (await this.onCatalog<{ port: number }>(`SELECT port FROM pgherd.server WHERE role = 'primary' AND shard_id = ${shard}`))[0]?.port ?? 0
  }

  private folderOf(port: number): string {
    const names = this.layout.shards.flatMap((shard, i) => [[shard.port, `shard${i + 1}`] as const, ...shard.replicaPorts.map((replica, j) => [replica, `shard${i + 1}-replica${j + 1}`] as const)])
    return path.join(this.dataDir, names.find(([one]) => one === port)?.[1] ?? '')
  }

  private async prepared(): Promise<number> {
    const primaries = await this.onCatalog<{ port: number }>(`SELECT port FROM pgherd.server WHERE role = 'primary'`)
    const found = await Promise.all(primaries.map(({ port }) => ask(port, 'SELECT FROM pg_prepared_xacts')))
    return found.flat().length
  }

  private async allInSync(): Promise<void> {
    const missing = `SELECT FROM pgherd.server v JOIN pgherd.shard s ON s.id = v.shard_id WHERE v.role = 'replica'
      AND NOT EXISTS (SELECT FROM pgherd.in_sync i WHERE i.host = v.host AND i.port = v.port AND i.term = s.term)`
    await until('all replicas are in sync', async () => (await this.onCatalog(missing)).length === 0, settledMsMax)
  }
}

/**
 * kill -9 of a part of the cluster at a step of a move, pair by pair in one cluster, while a bank goes on through two routers.
 *
 * The router that has the move is held at the step, the victim is killed, the router goes on; after a while the victim is started
 * again. Then the move must be over by itself, every row be there once, and nothing be left behind.
 */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type pg from 'pg'
import { requestMoves } from '../../../../src/rebalance/move-requests.ts'
import type { Random } from '../../../support/random.ts'
import { seeded } from '../../../support/random.ts'
import { ChaosBank, accounts } from '../chaos/chaos-bank.ts'
import { ChaosCluster } from '../chaos/chaos-cluster.ts'
import type { Part } from '../chaos/chaos-cluster.ts'
import { killAtOnce, send } from '../processes.ts'
import { ask, connect } from '../servers.ts'
import { until } from '../until.ts'
import { leftovers, misplacedBuckets } from './move-facts.ts'
import { heldProcess, holdAt, letGo } from './step-gate.ts'

/** At 'prepared' both shards have prepared and the catalog has not decided; at 'decided' it has, and nobody has been told. */
export const steps = [
  'waiting', 'copying', 'leaves', 'identity', 'publication', 'slot', 'subscription', 'catching-up', 'foreign keys', 'compare', 'locks', 'applied', 'commit', 'prepared', 'decided',
  'cleaning', 'unsubscribe', 'source',
] as const
export const victims = ['source', 'target', 'router', 'catalog', 'redis'] as const

export interface Pair {
  readonly step: (typeof steps)[number]
  readonly victim: (typeof victims)[number]
}

export const allPairs: readonly Pair[] = steps.flatMap((step) => victims.map((victim) => ({ step, victim })))
export const nameOf = ({ step, victim }: Pair) => `${victim} at ${step}`

export interface LoopOptions {
  readonly pairs: readonly Pair[]
  readonly seed: number
  /** The longest time for which a victim is away. */
  readonly awayMsMax: number
  readonly log: (line: string) => void
}

const overMsMax = 90_000
const steppingRouter = path.join(import.meta.dirname, 'stepping-router.ts')

/** What went wrong, by pair. */
export async function runMoveLoop({ pairs, seed, awayMsMax, log }: LoopOptions): Promise<string[]> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'pgherd-steps-'))
  const cluster = await ChaosCluster.start(2, 2, { script: steppingRouter, env: { MOVE_STEPS: folder } })
  const bank = new ChaosBank(cluster.routerPorts)
  const loop = new MoveLoop(cluster, folder, seeded(seed), awayMsMax)
  const findings: string[] = []
  try {
    await bank.open()
    await loop.open()
    bank.start(2)
    for (const [i, pair] of pairs.entries()) {
      const began = performance.now()
      const found = await loop.run(pair).catch((error: Error) => [error.message])
      findings.push(...found.map((what) => `${nameOf(pair)}: ${what}`))
      log(`${i + 1} of ${pairs.length}, ${nameOf(pair)}: ${loop.told}, ${Math.round(performance.now() - began)} ms${found.map((what) => `; WRONG: ${what}`).join('')}`)
    }
    await bank.stop()
    findings.push(...(await bank.findings(cluster.servers.slice(1).map(({ port }) => port))), ...(await loop.lastFindings()))
    return findings
  } finally {
    letGo(folder)
    await bank.stop()
    await cluster.stop()
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

class MoveLoop {
  told = ''
  private readonly cluster: ChaosCluster
  private readonly folder: string
  private readonly random: Random
  private readonly awayMsMax: number
  private group = 0
  private bucket = 0

  constructor(cluster: ChaosCluster, folder: string, random: Random, awayMsMax: number) {
    this.cluster = cluster
    this.folder = folder
    this.random = random
    this.awayMsMax = awayMsMax
  }

  /** Beside the bank's tables: one without a key of its own, with foreign keys to a leaf's table and to a reference table. */
  async open(): Promise<void> {
    const port = this.cluster.routerPorts[0] ?? 0
    await ask(port, `CREATE TABLE kind (id int PRIMARY KEY, name text) WITH (pgherd.kind = 'reference')`)
    await ask(port, `INSERT INTO kind SELECT g, 'kind ' || g FROM generate_series(1, 3) g`)
    await ask(port, `CREATE TABLE note (account int REFERENCES account, kind int REFERENCES kind, v int NOT NULL, long text) WITH (pgherd.shard_key = 'account')`)
    await ask(port, `INSERT INTO note SELECT id, 1 + id % 3, 0, repeat('x', id * 100) FROM account`)
    this.group = await this.onCatalog(async (client) => (await client.query<{ g: number }>(`SELECT group_id AS g FROM pgherd.placement WHERE oid = 'account'::regclass`)).rows[0]?.g ?? 0)
  }

  async run(pair: Pair): Promise<string[]> {
    // At the last steps of a cut-over it may be in vain, and the next attempt is not held: with another bucket, then.
    for (let tries = 1; ; tries++) {
      const id = await this.strike(pair)
      if (id !== undefined) return this.findings(id)
      if (tries === 5) return ['the step was not reached']
    }
  }

  /** Gives the number of the move, or nothing when it was over without having been held. */
  private async strike({ step, victim }: Pair): Promise<number | undefined> {
    const { folder, group, random } = this
    const bucket = this.bucket++ % 32
    const source = await this.ownerOf(bucket)
    const target = 3 - source
    const heldStep = step === 'prepared' || step === 'decided' ? 'commit' : step
    holdAt(folder, { group, bucket, step: heldStep })
    const [id = 0] = await this.onCatalog((client) => requestMoves(client, [{ group, bucket, target }]))
    await until(`the move is at ${heldStep}`, async () => heldProcess(folder) !== undefined || (await this.stageOf(id)) === 'done', overMsMax)
    const router = heldProcess(folder)
    if (router === undefined) {
      letGo(folder)
      return undefined
    }
    const part = this.part(victim, { source, target, router })
    const kill = () => killAtOnce(part.pids())
    let isHit = true
    if (heldStep === step) {
      // At the step, or a moment into it.
      const laterMs = random.chance(50) ? 0 : random.below(40)
      if (laterMs === 0) kill()
      letGo(folder)
      if (laterMs > 0) {
        await sleep(laterMs)
        kill()
      }
    } else isHit = await this.strikeCommit(step, router, id, kill)
    const awayMs = random.below(this.awayMsMax)
    this.told = `away for ${awayMs} ms`
    await sleep(awayMs)
    if (isHit) await part.startAgain()
    await until(`move ${id} is over`, async () => ['done', 'undone'].includes(await this.stageOf(id)), overMsMax)
    return isHit ? id : undefined
  }

  /** The decider waits for a lock of its table once the others have prepared. */
  private async strikeCommit(step: string, router: number, id: number, kill: () => void): Promise<boolean> {
    const { folder } = this
    const holder = await connect(this.catalog.port)
    try {
      await holder.query('BEGIN; LOCK TABLE pgherd.decision IN SHARE MODE')
      letGo(folder)
      const waits = async () => (await holder.query(`SELECT FROM pg_locks WHERE relation = 'pgherd.decision'::regclass AND NOT granted`)).rowCount === 1
      for (let end = performance.now() + 2_000; !(await waits()); ) if (performance.now() > end) return false
      if (step === 'decided') {
        send(router, 'SIGSTOP')
        await holder.query('COMMIT')
        const isDecided = await until('it is decided', async () => (await this.stageOf(id)) === 'cleaning', 2_000).then(() => true, () => false)
        if (isDecided) kill()
        send(router, 'SIGCONT')
        return isDecided
      }
      kill()
      return true
    } finally {
      await holder.end().catch(() => undefined)
    }
  }

  private async findings(id: number): Promise<string[]> {
    const { catalog, shards, group } = this
    const found: string[] = []
    const stage = await this.stageOf(id)
    if (stage !== 'done') found.push(`the move is ${stage}`)
    // What clients prepare comes and goes: only what stays is left behind.
    let left = await leftovers(shards)
    await until('nothing is left behind', async () => {
      const now = await leftovers(shards)
      left = left.filter((what) => now.includes(what))
      return left.length === 0
    }).catch(() => found.push(`left behind: ${left.join(', ')}`))
    found.push(...(await misplacedBuckets(catalog, shards, group)))
    for (const port of this.cluster.routerPorts) found.push(...(await this.wrongRows(port)))
    return found
  }

  /** Every row is there once; a write of all notes has reached all of them or none. */
  private async wrongRows(port: number): Promise<string[]> {
    await ask(port, 'UPDATE note SET v = v + 1')
    const [row] = await ask<Record<string, unknown>>(
      port,
      `SELECT (SELECT count(*)::int FROM account) AS accounts, (SELECT count(DISTINCT id)::int FROM account) AS ids, (SELECT (count(*) - count(DISTINCT id))::int FROM transfer) AS doubled,
         (SELECT count(*)::int FROM note) AS notes, (SELECT count(DISTINCT n.account)::int FROM note n JOIN account a ON a.id = n.account) AS noted, (SELECT (max(v) - min(v))::int FROM note) AS uneven`,
    )
    const expected = { accounts, ids: accounts, doubled: 0, notes: accounts, noted: accounts, uneven: 0 }
    return JSON.stringify(row) === JSON.stringify(expected) ? [] : [`rows are ${JSON.stringify(row)}`]
  }

  async lastFindings(): Promise<string[]> {
    await until('nothing at all is left', async () => (await leftovers(this.shards)).length === 0).catch(() => undefined)
    const unfinished = await this.onCatalog(async (client) => (await client.query<{ id: string }>(`SELECT id FROM pgherd.move WHERE stage NOT IN ('done', 'undone')`)).rows)
    return [...(await leftovers(this.shards)), ...unfinished.map(({ id }) => `move ${id} is not over`)]
  }

  private part(victim: Pair['victim'], at: { source: number; target: number; router: number }): Part {
    const { parts, redis } = this.cluster
    const wanted = victim === 'redis' ? redis : parts.find((part) => (victim === 'router' ? part.pids().includes(at.router) : part.name === (victim === 'catalog' ? 'catalog' : `shard${at[victim]}`)))
    if (wanted === undefined) throw new Error(`there is no ${victim}`)
    return wanted
  }

  private get catalog() {
    return this.server(0)
  }

  private get shards() {
    return this.cluster.servers.filter(({ id }) => id > 0)
  }

  private server(id: number) {
    const found = this.cluster.servers.find((one) => one.id === id)
    if (found === undefined) throw new Error(`there is no server ${id}`)
    return found
  }

  private async onCatalog<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = await connect(this.catalog.port)
    try {
      return await work(client)
    } finally {
      await client.end()
    }
  }

  private async ownerOf(bucket: number): Promise<number> {
    return this.onCatalog(async (client) => (await client.query<{ shard: number }>('SELECT shard_id AS shard FROM pgherd.bucket WHERE group_id = $1 AND bucket = $2', [this.group, bucket])).rows[0]?.shard ?? 0)
  }

  private async stageOf(id: number): Promise<string> {
    return this.onCatalog(async (client) => (await client.query<{ stage: string }>('SELECT stage FROM pgherd.move WHERE id = $1', [id])).rows[0]?.stage ?? 'unknown')
  }
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

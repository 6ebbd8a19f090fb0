/**
 * What has really happened to each transaction, and what may not. Told by the stand-ins at the moment it becomes true, so that
 * a violation is found at the event that makes it.
 */
import type { Outcome } from '../../src/transaction/transaction-server.ts'
import type { Observer, Postgres, StoredDecision } from './server/postgres.ts'
import { Violation } from './violation.ts'

/** What its client was told. */
export type Told = Outcome | 'unknown'

export interface Fate {
  readonly id: string
  readonly wroteOn: Set<number>
  readonly committedOn: Set<number>
  readonly rolledBackOn: Set<number>
  /** For servers that it has only read: how many commits it saw there. */
  readonly sawOn: Map<number, number>
  told: Told | undefined
}

export class Truth implements Observer {
  readonly fates = new Map<string, Fate>()
  private readonly servers: () => ReadonlyMap<number, Postgres>
  private readonly report: (violation: Violation) => void
  private readonly outcomes = new Map<string, { outcome: Outcome; isForgotten: boolean }>()

  constructor(servers: () => ReadonlyMap<number, Postgres>, report: (violation: Violation) => void) {
    this.servers = servers
    this.report = report
  }

  fate(id: string): Fate {
    const known = this.fates.get(id)
    if (known !== undefined) return known
    const fate: Fate = { id, wroteOn: new Set(), committedOn: new Set(), rolledBackOn: new Set(), sawOn: new Map(), told: undefined }
    this.fates.set(id, fate)
    return fate
  }

  wrote(server: number, id: string): void {
    this.fate(id).wroteOn.add(server)
  }

  committed(server: number, id: string): void {
    const fate = this.fate(id)
    fate.committedOn.add(server)
    this.checkFate(fate, `server ${server} has committed`)
  }

  rolledBack(server: number, id: string): void {
    const fate = this.fate(id)
    fate.rolledBackOn.add(server)
    this.checkFate(fate, `server ${server} has rolled back`)
  }

  tell(id: string, told: Told): void {
    const fate = this.fate(id)
    if (fate.told !== undefined && fate.told !== 'unknown' && fate.told !== told) this.violated('one answer for ever', fate, `told ${fate.told}, then ${told}`)
    if (fate.told !== 'committed') fate.told = told
    this.checkFate(fate, `the client is told: ${told}`)
    if (told === 'committed' && fate.wroteOn.size > 0 && fate.committedOn.size === 0) this.violated('durability', fate, 'told committed, and no server has committed')
  }

  decided(server: number, decision: StoredDecision): void {
    const known = this.outcomes.get(`${server} ${decision.id}`)
    if (known !== undefined && !known.isForgotten) this.violated('one decision for ever', this.fate(decision.id), `server ${server}: ${known.outcome}, then ${decision.outcome}`)
    if (known === undefined) this.outcomes.set(`${server} ${decision.id}`, { outcome: decision.outcome, isForgotten: false })
  }

  forgot(server: number, decision: StoredDecision): void {
    const { id, outcome } = decision
    const known = this.outcomes.get(`${server} ${id}`)
    if (known !== undefined) known.isForgotten = true
    const fate = this.fate(id)
    const still = [...this.servers().values()]
    if (outcome === 'committed' && still.some(({ prepared }) => [...prepared.values()].some(({ transaction }) => transaction.id === id))) {
      this.violated('decisions are kept', fate, `server ${server} has forgotten that it is committed, and somebody has it prepared`)
    }
    if (outcome === 'aborted' && [...(this.servers().get(server)?.open ?? [])].some((transaction) => transaction.id === id)) {
      this.violated('decisions are kept', fate, `server ${server} has forgotten that it is aborted, and may still commit it`)
    }
  }

  /** A reader has snapshots of several servers, as of one moment: all or nothing of each transaction, and of what that had seen. */
  checkSnapshots(snapshots: ReadonlyMap<number, number>, reader: string): void {
    const shows = (server: number, id: string) => {
      const position = this.servers().get(server)?.positions.get(id)
      return position !== undefined && position < (snapshots.get(server) ?? 0)
    }
    for (const fate of this.fates.values()) {
      const on = [...fate.committedOn].filter((server) => snapshots.has(server))
      const shown = on.filter((server) => shows(server, fate.id))
      if (shown.length === 0) continue
      const missing = [...fate.wroteOn].filter((server) => snapshots.has(server) && !shows(server, fate.id))
      if (missing.length > 0) this.violated('atomic visibility', fate, `${reader} sees it on ${shown.join()} and not on ${missing.join()}`)
      for (const [server, saw] of fate.sawOn) {
        const snapshot = snapshots.get(server)
        if (snapshot !== undefined && snapshot < saw) this.violated('what it had read', fate, `${reader} sees it, and not all that it saw on ${server}`)
      }
    }
    if (snapshots.size < this.servers().size) return
    let total = 0
    for (const [server, snapshot] of snapshots) total += this.servers().get(server)?.totals[snapshot - 1] ?? 0
    if (total !== 0) this.report(new Violation('totals are constant', `${reader} finds a total of ${total}`))
  }

  /** When all is over: nothing acknowledged is missing anywhere. */
  checkAll(): void {
    for (const fate of this.fates.values()) {
      if (fate.committedOn.size > 0 && fate.committedOn.size < fate.wroteOn.size) this.violated('atomicity', fate, 'it is on some servers only')
      if (fate.told === 'committed' && fate.committedOn.size < fate.wroteOn.size) this.violated('durability', fate, 'it was acknowledged')
    }
  }

  private checkFate(fate: Fate, event: string): void {
    if (fate.committedOn.size > 0 && fate.rolledBackOn.size > 0) this.violated('atomicity', fate, event)
    if (fate.told === 'aborted' && fate.committedOn.size > 0) this.violated('told rolled back', fate, event)
    if (fate.told === 'committed' && fate.rolledBackOn.size > 0) this.violated('durability', fate, event)
  }

  violated(property: string, fate: Fate, event: string): void {
    const on = (servers: ReadonlySet<number>) => [...servers].join() || 'none'
    this.report(
      new Violation(property, `transaction ${fate.id.slice(-6)}: ${event} (wrote on ${on(fate.wroteOn)}, committed on ${on(fate.committedOn)}, rolled back on ${on(fate.rolledBackOn)}, told ${fate.told ?? 'nothing'})`),
    )
  }
}

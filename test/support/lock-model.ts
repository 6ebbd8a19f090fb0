/**
 * Servers with exclusive locks, and transactions over them, in memory: what really waits for what, against which deadlock detection is checked.
 *
 * A transaction does one thing at a time. It has a process on each server that it is on, and gives them back when it ends: another one gets them.
 */
import type { Wait, WaitingTransaction } from '../../src/transaction/wait-graph.ts'
import { processNode } from '../../src/transaction/wait-graph.ts'

export type Step =
  | { readonly kind: 'lock'; readonly who: number; readonly server: number; readonly lock: number }
  | { readonly kind: 'end'; readonly who: number }
  /** Its router tells of it, if it waits and is on several servers. What it told before stays until then. */
  | { readonly kind: 'tell'; readonly who: number }

interface Lock {
  holder: Party
  /** Who came first is served first. */
  readonly queue: Party[]
}

interface Party {
  readonly id: string
  readonly begunAt: number
  readonly pids: Map<number, number>
  wait: { readonly server: number; readonly key: string; readonly since: string } | undefined
}

export class LockModel {
  private readonly parties: (Party | undefined)[] = []
  private readonly locks = new Map<string, Lock>()
  private readonly free = new Map<number, number[]>()
  private readonly board = new Map<number, WaitingTransaction>()
  private time = 0

  step(step: Step): void {
    this.time++
    if (step.kind === 'end') this.end(step.who)
    else if (step.kind === 'tell') this.tell(step.who)
    else this.lock(step.who, step.server, `${step.server}/${step.lock}`)
  }

  get told(): readonly WaitingTransaction[] {
    return [...this.board.values()]
  }

  tellAll(): void {
    this.board.clear()
    for (const who of this.parties.keys()) this.tell(who)
  }

  /** What the server says now. */
  read(server: number): Wait[] {
    return this.waiting().flatMap((party): Wait[] => {
      if (party.wait?.server !== server) return []
      const blockers = this.blockersOf(party).map((other) => nodeOf(other, server))
      return [{ server, pid: party.pids.get(server) ?? 0, since: party.wait.since, blockers }]
    })
  }

  /** The ids of transactions that wait for themselves, through others. */
  deadlocked(): Set<string> {
    const waiting = this.waiting()
    const reaches = (from: Party, to: Party, seen = new Set<Party>()): boolean =>
      this.blockersOf(from).some((next) => next === to || (!seen.has(next) && reaches(next, to, seen.add(next))))
    return new Set(waiting.filter((party) => reaches(party, party)).map(({ id }) => id))
  }

  endById(id: string): void {
    this.end(this.parties.findIndex((party) => party?.id === id))
  }

  private waiting(): Party[] {
    return this.parties.filter((party): party is Party => party?.wait !== undefined)
  }

  private blockersOf(party: Party): Party[] {
    const lock = party.wait === undefined ? undefined : this.locks.get(party.wait.key)
    return lock === undefined ? [] : [lock.holder, ...lock.queue.slice(0, lock.queue.indexOf(party))]
  }

  private lock(who: number, server: number, key: string): void {
    const party = (this.parties[who] ??= { id: `t${this.time}`, begunAt: this.time, pids: new Map(), wait: undefined })
    if (party.wait !== undefined) return
    if (!party.pids.has(server)) party.pids.set(server, this.takePid(server))
    const lock = this.locks.get(key)
    if (lock === undefined) this.locks.set(key, { holder: party, queue: [] })
    else if (lock.holder !== party) {
      party.wait = { server, key, since: String(this.time) }
      lock.queue.push(party)
    }
  }

  /** Committed, or cancelled while it waited. */
  private end(who: number): void {
    const party = this.parties[who]
    if (party === undefined) return
    this.parties[who] = undefined
    for (const [key, lock] of this.locks) {
      const at = lock.queue.indexOf(party)
      if (at >= 0) lock.queue.splice(at, 1)
      if (lock.holder !== party) continue
      const next = lock.queue.shift()
      if (next === undefined) this.locks.delete(key)
      else {
        lock.holder = next
        next.wait = undefined
      }
    }
    for (const [server, pid] of party.pids) this.free.get(server)?.unshift(pid)
  }

  private tell(who: number): void {
    const party = this.parties[who]
    if (party?.wait === undefined || party.pids.size < 2) return
    const { server, since } = party.wait
    const keeps = [...party.pids].map(([on, pid]) => ({ server: on, pid }))
    this.board.set(who, { id: party.id, begunAt: party.begunAt, waits: [{ server, pid: party.pids.get(server) ?? 0, since, keeps: true }], keeps })
  }

  private takePid(server: number): number {
    const free = this.free.get(server) ?? Array.from({ length: 20 }, (_, i) => i + 1)
    this.free.set(server, free)
    return free.shift() ?? 0
  }
}

function nodeOf(party: Party, server: number): string {
  return processNode({ server, pid: party.pids.get(server) ?? 0 })
}

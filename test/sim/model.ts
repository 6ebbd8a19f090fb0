/**
 * What must be true, looked at with each thing that happens: a transaction is on all servers that it wrote on, or on none; what a client was told is
 * true for ever; who reads all servers at one moment sees all of a transaction or nothing.
 */
export type Told = 'nothing' | 'committed' | 'aborted' | 'unknown'

interface Part {
  outcome: 'open' | 'committed' | 'aborted'
}

export interface ModelTransaction {
  readonly name: string
  readonly writers: readonly number[]
  readonly parts: Map<number, Part>
  told: Told
}

export class Violation extends Error {}

export class Model {
  readonly transactions = new Map<string, ModelTransaction>()
  readonly trace: string[] = []
  violation: string | undefined
  committed = 0
  private readonly isTraced: boolean

  constructor(isTraced: boolean) {
    this.isTraced = isTraced
  }

  note(at: number, line: string): void {
    if (this.isTraced) this.trace.push(`${at.toFixed(3).padStart(12)}  ${line}`)
  }

  begin(name: string, writers: readonly number[]): void {
    this.transactions.set(name, { name, writers, parts: new Map(writers.map((server) => [server, { outcome: 'open' }])), told: 'nothing' })
  }

  ended(server: number, name: string, outcome: 'committed' | 'aborted'): void {
    const transaction = this.transactions.get(name)
    const part = transaction?.parts.get(server)
    if (transaction === undefined || part === undefined) return
    if (part.outcome !== 'open' && part.outcome !== outcome) this.fail(`${name} was ${part.outcome} on server ${server}, and then ${outcome}`)
    part.outcome = outcome
    if (transaction.told === 'aborted' && outcome === 'committed') this.fail(`the client of ${name} was told that nothing was committed, and server ${server} commits it`)
    if (transaction.told === 'committed' && outcome === 'aborted') this.fail(`the client of ${name} was told that it is committed, and server ${server} has lost it`)
    const other = [...transaction.parts].find(([, { outcome: its }]) => its !== 'open' && its !== outcome)
    if (other !== undefined) this.fail(`${name} is ${outcome} on server ${server}, and ${other[1].outcome} on server ${other[0]}`)
  }

  tell(name: string, told: Told): void {
    const transaction = this.transactions.get(name)
    if (transaction === undefined) return
    transaction.told = told
    const outcomes = [...transaction.parts.values()].map(({ outcome }) => outcome)
    if (told === 'committed') this.committed++
    if (told === 'committed' && outcomes.includes('aborted')) this.fail(`${name} was told to be committed, and is not`)
    if (told === 'aborted' && outcomes.includes('committed')) this.fail(`${name} was told not to be committed, and is`)
  }

  /** `sees` says whether the snapshot of a server shows a transaction. */
  looked(sees: (server: number, name: string) => boolean): void {
    for (const { name, writers } of this.transactions.values()) {
      const seen = writers.filter((server) => sees(server, name))
      if (seen.length > 0 && seen.length < writers.length) this.fail(`a reader of all servers sees ${name} on ${seen.join(', ')} alone, and it wrote on ${writers.join(', ')}`)
    }
  }

  /** When every fault is over and time enough has passed. */
  settled(): void {
    for (const { name, told, parts } of this.transactions.values()) {
      const outcomes = new Set([...parts.values()].map(({ outcome }) => outcome))
      // What never reached a server is open there for ever.
      if (outcomes.has('committed') && outcomes.size > 1) this.fail(`${name} never ended everywhere: ${[...parts].map(([server, { outcome }]) => `${server} ${outcome}`).join(', ')}`)
      if (told === 'committed' && !(outcomes.size === 1 && outcomes.has('committed'))) this.fail(`${name} was told to be committed, and is ${[...outcomes].join(', ')}`)
    }
  }

  fail(reason: string): void {
    this.violation ??= reason
  }
}

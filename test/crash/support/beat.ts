/**
 * Rows that say how old they are: a writer gives all rows the next number again and again, and remembers when each number was acknowledged. What
 * a reader then finds must not be less than what was acknowledged as long before it began as it allows.
 */
import type pg from 'pg'

const rows = 16

/** What a reader reads: ids with their numbers. */
export type BeatRead = (client: pg.Client) => Promise<readonly { readonly n: number }[]>

export class Beat {
  private readonly writer: pg.Client
  private readonly acknowledged: { readonly n: number; readonly at: number }[] = []
  private readonly running: Promise<void>[] = []
  private stopping = false
  readonly findings: string[] = []
  /** Names of those that have had to begin again. */
  readonly broken: string[] = []

  private readonly mayBreak: boolean

  /**
   * With `mayBreak` replicas may stop in the middle of a transaction: its client may be told so (08006, 40001) and begins again. So does a writer whose
   * commit waits for a stopped replica for so long that it is given up.
   */
  constructor(writer: pg.Client, mayBreak: boolean) {
    this.writer = writer
    this.mayBreak = mayBreak
  }

  async open(): Promise<void> {
    await this.writer.query('CREATE TABLE beat (id int PRIMARY KEY, n int)')
    await this.writer.query(`INSERT INTO beat SELECT i, 0 FROM generate_series(1, ${rows}) i`)
  }

  start(): void {
    this.running.push(
      this.untilStopped('the writer', async () => {
        const n = (this.acknowledged.at(-1)?.n ?? 0) + 1
        await this.writer.query(`UPDATE beat SET n = ${n}`)
        this.acknowledged.push({ n, at: performance.now() })
      }),
    )
  }

  /** Reads until the beat is stopped; `open` gives a client. Gives the number of reads that have begun later than a moment, and are done. */
  read(name: string, open: () => Promise<pg.Client>, ageMsMax: number, read: BeatRead): { doneSince(moment: number): number } {
    const beganAt: number[] = []
    let client: pg.Client | undefined
    this.running.push(
      this.untilStopped(name, async () => {
        client ??= await open()
        const began = performance.now()
        const floor = this.acknowledged.findLast(({ at }) => at < began - ageMsMax)?.n ?? 0
        const reader = client
        client = undefined // another, if this throws
        const found = await read(reader)
        client = reader
        const old = found.find(({ n }) => n < floor)
        if (old !== undefined) this.findings.push(`${name}: ${old.n}, and ${floor} was acknowledged ${ageMsMax} ms before`)
        beganAt.push(began)
      }),
    )
    return { doneSince: (moment) => beganAt.filter((at) => at >= moment).length }
  }

  /** Any other work that goes on until the beat is stopped; what it throws is found. */
  also(name: string, work: () => Promise<void>): void {
    this.running.push(this.untilStopped(name, work))
  }

  /** The newest number that has been acknowledged. */
  get newest(): number {
    return this.acknowledged.at(-1)?.n ?? 0
  }

  async stop(): Promise<void> {
    this.stopping = true
    await Promise.all(this.running)
  }

  private async untilStopped(name: string, work: () => Promise<void>): Promise<void> {
    while (!this.stopping) {
      try {
        await work()
      } catch (error) {
        const { code, message } = error as Error & { code?: string }
        if (!this.mayBreak || !/^(08006|40001)$/.test(code ?? '')) {
          this.findings.push(`${name}: ${code} ${message}`)
          return
        }
        this.broken.push(name)
      }
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
}

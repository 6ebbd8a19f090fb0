/** Makes a finding small: fewer steps, fewer rows, less of the last statement, as long as it still differs in the same way. */
import { quoted } from './schema.ts'
import { Pair } from './pair.ts'
import type { Ports } from './pair.ts'
import type { Finding } from './run.ts'
import { generalised } from './run.ts'
import { smallerStatements } from './shrink-tree.ts'
import type { Step } from './step.ts'

const replaysMax = 60
const triesMax = 1500

export async function shrink(finding: Finding, ports: Ports): Promise<Step[]> {
  const shrinker = new Shrinker(finding, ports)
  try {
    return await shrinker.run()
  } finally {
    await shrinker.close()
  }
}

class Shrinker {
  private readonly wanted: string
  private readonly ports: Ports
  private readonly original: readonly Step[]
  private replays = 0
  private tries = 0
  private pair: Pair | undefined

  constructor(finding: Finding, ports: Ports) {
    this.ports = ports
    this.original = finding.steps
    this.wanted = kindOf(finding.outcome)
  }

  async run(): Promise<Step[]> {
    let steps = [...this.original]
    if (!(await this.differs(steps))) return steps
    steps = await this.schemaAlone(steps)
    steps = await this.fewerSteps(steps)
    steps = await this.asLiterals(steps)
    steps = await this.smallerLast(steps)
    steps = await this.fewerSteps(steps)
    for (let i = 0; i < steps.length - 1; i++) steps = await this.smallerStep(steps, i)
    return steps
  }

  async close(): Promise<void> {
    await this.pair?.close()
  }

  /** All steps anew, in fresh databases: does the last differ, and no other? */
  private async differs(steps: readonly Step[]): Promise<boolean> {
    this.replays++
    if (this.pair === undefined || this.pair.lost || !(await this.pair.reset())) {
      await this.pair?.close()
      this.pair = await Pair.open(this.ports)
    }
    const { pair } = this
    for (const step of steps.slice(0, -1)) {
      const { differs } = await pair.run(step)
      if (differs !== undefined || pair.lost) return false
    }
    const [last] = steps.slice(-1)
    return last !== undefined && kindOf(await pair.run(last)) === this.wanted
  }

  /** What a client did after the tables were made matters seldom. */
  private async schemaAlone(steps: Step[]): Promise<Step[]> {
    const made = steps.findLastIndex((step) => /^create (table|view|index)/i.test(step.sql))
    const first = steps.filter((step, i) => i === steps.length - 1 || /^create /i.test(step.sql) || step.clusterOnly === true || (i < made + 2 && /^insert/i.test(step.sql)))
    return first.length < steps.length && (await this.differs(first)) ? first : steps
  }

  /** Ever smaller parts of the history are left out. */
  private async fewerSteps(steps: Step[]): Promise<Step[]> {
    let current = steps
    for (let size = Math.ceil((current.length - 1) / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
      for (let end = current.length - 1; end > 0 && this.replays < replaysMax; end -= size) {
        const start = Math.max(0, end - size)
        const shorter = [...current.slice(0, start), ...current.slice(end)]
        if (await this.differs(shorter)) current = shorter
      }
    }
    return current
  }

  private async asLiterals(steps: Step[]): Promise<Step[]> {
    const [last] = steps.slice(-1)
    if (last?.parameters === undefined) return steps
    const text = last.sql.replace(/\$(\d+)/g, (_, number: string) => {
      const value = last.parameters?.[Number(number) - 1]?.text
      return value === undefined ? 'NULL' : quoted(value)
    })
    const inlined = [...steps.slice(0, -1), { sql: text, ...(last.ordered === undefined ? {} : { ordered: last.ordered }) }]
    return (await this.differs(inlined)) ? inlined : steps
  }

  private async smallerLast(steps: Step[]): Promise<Step[]> {
    const [last] = steps.slice(-1)
    if (last === undefined) return steps
    const before = steps.slice(0, -1)
    // A query changes nothing: it can be tried again where the last replay has ended.
    const isQuery = /^\s*(select|with|values|table|\()/i.test(last.sql) && !/\b(insert|update|delete|merge)\b/i.test(last.sql)
    await this.differs(steps)
    const still = async (step: Step) => {
      if (!isQuery || this.pair === undefined || this.pair.lost) return this.differs([...before, step])
      this.tries++
      return kindOf(await this.pair.run(step)) === this.wanted
    }
    return [...before, await this.smaller(last, still, () => (isQuery ? this.tries < triesMax : this.replays < replaysMax))]
  }

  private async smallerStep(steps: Step[], at: number): Promise<Step[]> {
    const step = steps[at]
    if (step === undefined || !/^insert/i.test(step.sql)) return steps
    const withStep = (one: Step) => [...steps.slice(0, at), one, ...steps.slice(at + 1)]
    return withStep(await this.smaller(step, (one) => this.differs(withStep(one)), () => this.replays < 2 * replaysMax))
  }

  private async smaller(step: Step, still: (step: Step) => Promise<boolean>, goOn: () => boolean): Promise<Step> {
    let current = step
    for (let shrank = true; shrank; ) {
      shrank = false
      for (const sql of smallerOrNone(current.sql)) {
        if (!goOn()) return current
        // Without its ORDER BY a result is a set.
        const { ordered: _, ...rest } = current
        const candidate: Step = current.ordered === true && /order by/i.test(sql) ? { ...current, sql } : { ...rest, sql }
        if (!(await still(candidate))) continue
        current = candidate
        shrank = true
        break
      }
    }
    return current
  }
}

function smallerOrNone(sql: string): string[] {
  try {
    return smallerStatements(sql)
  } catch {
    // What the parser refuses stays as it is.
    return []
  }
}

/** Two differences are of one kind when they show in the same parts, with the same error where there is one. */
function kindOf({ differs, actual }: { differs: string | undefined; actual: { error: { message: string } | undefined } }): string {
  return differs === undefined ? '' : `${differs} ${actual.error === undefined ? '' : generalised(actual.error.message)}`
}

/** One run: a schema and a client's statements from a seed, on both systems, up to the first difference. */
import { seeded } from '../support/random.ts'
import { Pair } from './pair.ts'
import type { Outcome, Ports } from './pair.ts'
import { makeSchema } from './schema.ts'
import { StatementSource } from './statements.ts'
import type { Step } from './step.ts'

export interface Finding {
  readonly seed: number
  /** Everything up to the step that differs, which is the last. */
  readonly steps: readonly Step[]
  readonly outcome: Outcome & { readonly differs: string }
}

export interface RunResult {
  readonly statements: number
  readonly failures: number
  /** The cluster's refusals, by message with names and numbers left out. */
  readonly refusals: ReadonlyMap<string, number>
  readonly errors: ReadonlyMap<string, number>
  readonly finding: Finding | undefined
}

export async function runSeed(seed: number, statementsMax: number, ports: Ports): Promise<RunResult> {
  const pair = await Pair.open(ports)
  const refusals = new Map<string, number>()
  const errors = new Map<string, number>()
  const done: Step[] = []
  let failures = 0
  const attempt = async (steps: readonly Step[]): Promise<Finding | undefined> => {
    for (const step of steps.flatMap(withCheck)) {
      done.push(step)
      const outcome = await pair.run(step)
      if (outcome.refusal !== undefined) count(refusals, generalised(outcome.refusal))
      else if (outcome.expected?.error !== undefined) {
        failures++
        count(errors, `${outcome.expected.error.sqlstate} ${generalised(outcome.expected.error.message)}`)
      }
      if (outcome.differs !== undefined) return { seed, steps: done, outcome: { ...outcome, differs: outcome.differs } }
    }
    return undefined
  }
  try {
    const { schema, steps } = makeSchema(seeded(seed))
    const source = new StatementSource(schema)
    let finding = (await attempt(steps)) ?? (await attempt(source.views()))
    while (finding === undefined && done.length < statementsMax) finding = await attempt(source.next())
    return { statements: done.length, failures, refusals, errors, finding }
  } finally {
    await pair.close()
  }
}

/** After a write its table must be the same on both. */
function withCheck(step: Step): Step[] {
  return step.compareTable === undefined ? [step] : [step, { sql: `SELECT * FROM ${step.compareTable}` }]
}

function count(map: Map<string, number>, key: string): void {
  map.set(key, (map.get(key) ?? 0) + 1)
}

export function generalised(message: string): string {
  return message.replace(/"[^"]*"/g, '"..."').replace(/\d+/g, 'n')
}

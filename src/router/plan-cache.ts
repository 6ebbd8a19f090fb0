/** Parsed texts and their plans, the most recently used kept. */
import { limits } from '../base/limits.ts'
import type { Snapshot } from '../catalog/snapshot.ts'
import type { PlannedStatement } from '../planner/plan-statement.ts'
import type { FieldDescription } from '../protocol/row-description.ts'
import { parseStatements } from '../sql/parse.ts'
import type { Statement } from '../sql/parse.ts'

/** What the shell says of a statement: the types of its parameters, and its columns if it has rows. */
export interface StatementDescription {
  /** The version of the schema that it is of. */
  readonly version: number
  readonly parameterTypes: readonly number[]
  readonly fields: readonly FieldDescription[] | undefined
}

class Lru<V> {
  private readonly map = new Map<string, V>()
  private readonly most: number

  constructor(most: number) {
    this.most = most
  }

  get(key: string): V | undefined {
    const value = this.map.get(key)
    if (value === undefined) return undefined
    this.map.delete(key)
    this.map.set(key, value)
    return value
  }

  set(key: string, value: V): void {
    this.map.set(key, value)
    if (this.map.size > this.most) this.map.delete(this.map.keys().next().value as string)
  }
}

export class PlanCache {
  private readonly texts = new Lru<readonly Statement[]>(limits.plansMax)
  private readonly plans = new Lru<PlannedStatement>(limits.plansMax)
  readonly descriptions = new Lru<StatementDescription>(limits.plansMax)

  parse(text: string): readonly Statement[] {
    if (text.length > limits.planTextBytesMax) return parseStatements(text)
    const known = this.texts.get(text)
    if (known !== undefined) return known
    const statements = parseStatements(text)
    this.texts.set(text, statements)
    return statements
  }

  plan(key: string, make: () => PlannedStatement): PlannedStatement {
    const known = this.plans.get(key)
    if (known !== undefined) return known
    const planned = make()
    if (key.length <= limits.planTextBytesMax) this.plans.set(key, planned)
    return planned
  }
}

/** All that a plan depends on beside its statement. */
export function planKey(text: string, snapshot: Snapshot, searchPath: readonly string[], types: readonly number[]): string {
  return `${snapshot.database}\0${snapshot.version}\0${searchPath.join(',')}\0${types.join()}\0${text}`
}

/**
 * What a router knows of a statement: its plan, its description, and the columns of its answer as a frame.
 *
 * All of it holds for one schema, search path, role and list of parameter types alone; a statement has a few such entries, the
 * most recent first. They hang on the parsed statement, so the next run of the same text finds them without building a key.
 */
import { snapshotNumber } from '../catalog/snapshot-number.ts'
import type { Snapshot } from '../catalog/snapshot.ts'
import type { PlannedStatement } from '../planner/plan-statement.ts'
import type { FieldDescription } from '../protocol/row-description.ts'
import type { KnownDescription } from './client-sink.ts'
import type { Statement } from '../sql/parse.ts'

/** What the shell says of a statement: the types of its parameters, and its columns if it has rows. */
export interface StatementDescription {
  /** The version of the schema that it is of. */
  readonly version: number
  readonly parameterTypes: readonly number[]
  readonly fields: readonly FieldDescription[] | undefined
}

/** The first five are all that a plan depends on beside its statement. */
export interface KnownStatement {
  /** Of the snapshot (snapshotNumber). */
  readonly schema: number
  readonly database: string
  readonly searchPath: string
  readonly role: string
  readonly types: readonly number[]
  planned: PlannedStatement | undefined
  description: StatementDescription | undefined
  /** Of an answer with one format for all columns, by that format. */
  readonly rowDescriptions: (KnownDescription | undefined)[]
}

const entriesMax = 8

export class KnownStatements {
  private readonly entries = new WeakMap<Statement, KnownStatement[]>()

  of(statement: Statement, snapshot: Snapshot, searchPath: string, role: string, types: readonly number[]): KnownStatement {
    const known = this.entries.get(statement)
    const schema = snapshotNumber(snapshot)
    const { database } = snapshot
    const fits = (entry: KnownStatement) => entry.schema === schema && entry.searchPath === searchPath && entry.role === role && isSameList(entry.types, types)
    const first = known?.[0]
    if (first !== undefined && fits(first)) return first
    const entry: KnownStatement = known?.find(fits) ?? { schema, database, searchPath, role, types, planned: undefined, description: undefined, rowDescriptions: [] }
    // Older snapshots of the same database are of no more use.
    const others = (known ?? []).filter((other) => other !== entry && (other.schema === schema || other.database !== database))
    this.entries.set(statement, [entry, ...others.slice(0, entriesMax - 1)])
    return entry
  }
}

function isSameList(one: readonly number[], other: readonly number[]): boolean {
  return one === other || (one.length === other.length && one.every((value, i) => value === other[i]))
}

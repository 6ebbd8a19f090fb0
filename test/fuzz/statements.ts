/** A random client's statements: queries, writes, transactions, cursors, prepared statements. */
import type { Random } from '../support/random.ts'
import { value } from './expressions.ts'
import type { Writing } from './expressions.ts'
import { nothing } from './scope.ts'
import { identifier, quoted } from './schema.ts'
import type { Schema } from './schema.ts'
import { select } from './select.ts'
import type { Parameter, Step } from './step.ts'
import { write } from './writes.ts'

const depthMax = 3

export class StatementSource {
  private readonly random: Random
  private readonly schema: Schema
  private names = 0

  constructor(schema: Schema) {
    this.schema = schema
    this.random = schema.random
  }

  /** Views over the tables, and views over those; from then on queries read them too. */
  views(): Step[] {
    return Array.from({ length: this.random.below(3) }, (_, i) => {
      const query = select(this.writing(undefined), undefined, { depth: 2, distinctNames: true, exact: true })
      const name = identifier(this.random.chance(50) ? `view${i}` : `View ${i}`)
      this.schema.tables.push({ name, columns: query.columns.map((column) => ({ ...column, notNull: false, generated: false })), unique: [], shardKey: undefined, isView: true })
      return { sql: `CREATE VIEW ${name} AS ${query.sql}` }
    })
  }

  /** One statement, or several that belong together. */
  next(): Step[] {
    const dice = this.random.below(100)
    if (dice < 58) return [this.query()]
    if (dice < 80) return this.write()
    if (dice < 92) return this.transaction()
    return dice < 96 ? this.cursor() : this.prepared()
  }

  private writing(parameters: Parameter[] | undefined): Writing {
    const writing: Writing = {
      random: this.random,
      schema: this.schema,
      parameters,
      fresh: (prefix) => `${prefix}${++this.names}`,
      scalarSubquery: (family, level, depth) => {
        // What must be shown in an exact form is of another type then.
        if (['interval', 'looseText'].includes(family)) return `SELECT ${value(writing, family, nothing, 0)}`
        const inner = select(writing, level, { families: [family], depth, exact: true })
        return `SELECT z.v FROM (${inner.sql}) AS z (v) ORDER BY z.v LIMIT 1`
      },
    }
    return writing
  }

  private query(): Step {
    const { random } = this
    const parameters: Parameter[] | undefined = random.chance(25) ? [] : undefined
    const ordered = random.chance(45)
    const { sql } = select(this.writing(parameters), undefined, { depth: random.below(depthMax + 1), ordered })
    return { ordered, ...withParameters(sql, parameters) }
  }

  private write(): Step[] {
    const parameters: Parameter[] | undefined = this.random.chance(20) ? [] : undefined
    const one = write(this.writing(parameters))
    if (one === undefined) return []
    return [{ compareTable: one.table.name, ...withParameters(one.sql, parameters) }]
  }

  private transaction(): Step[] {
    const { random } = this
    const steps: Step[] = [{ sql: random.pick(['BEGIN', 'BEGIN', 'BEGIN ISOLATION LEVEL REPEATABLE READ', 'START TRANSACTION']) }]
    const some = () => Array.from({ length: 1 + random.below(3) }, () => (random.chance(65) ? this.write() : [this.query()])).flat()
    steps.push(...some())
    if (random.chance(50)) {
      steps.push({ sql: 'SAVEPOINT a' }, ...some())
      if (random.chance(30)) steps.push({ sql: 'SAVEPOINT b' }, ...this.write(), { sql: random.pick(['RELEASE b', 'ROLLBACK TO b']) })
      steps.push({ sql: random.pick(['ROLLBACK TO SAVEPOINT a', 'ROLLBACK TO a', 'RELEASE SAVEPOINT a']) }, ...this.write())
    }
    steps.push({ sql: random.pick(['COMMIT', 'COMMIT', 'ROLLBACK', 'END']) })
    const written = [...new Set(steps.flatMap((step) => step.compareTable ?? []))]
    return [...steps, ...written.map((table) => ({ sql: `SELECT * FROM ${table}` }))]
  }

  private cursor(): Step[] {
    const { random } = this
    const { sql } = select(this.writing(undefined), undefined, { depth: 2, ordered: true })
    const fetch = () => ({ sql: `FETCH ${random.pick(['NEXT', '2', 'FORWARD 3', 'ALL'])} FROM c`, ordered: true })
    const hold = random.chance(30)
    const between = hold ? [{ sql: 'COMMIT' }] : random.chance(40) ? this.write() : []
    const end = hold ? [{ sql: 'CLOSE c' }] : [{ sql: 'CLOSE c' }, { sql: 'COMMIT' }]
    return [{ sql: 'BEGIN' }, { sql: `DECLARE c CURSOR ${hold ? 'WITH HOLD ' : ''}FOR ${sql}` }, fetch(), ...between, { sql: 'MOVE 1 FROM c' }, fetch(), ...end]
  }

  private prepared(): Step[] {
    const all: Parameter[] = []
    const ordered = this.random.chance(50)
    const isWrite = this.random.chance(30)
    const one = isWrite ? write(this.writing(all)) : { sql: select(this.writing(all), undefined, { depth: 2, ordered }).sql, table: undefined }
    if (one === undefined) return []
    const { sql, parameters } = withParameters(one.sql, all)
    const name = `p${++this.names}`
    const values = parameters === undefined ? '' : ` (${parameters.map(({ text }) => (text === undefined ? 'NULL' : quoted(text))).join(', ')})`
    const run: Step = { sql: `EXECUTE ${name}${values}`, ordered: ordered && !isWrite, ...(one.table === undefined ? {} : { compareTable: one.table.name }) }
    return [{ sql: `PREPARE ${name} AS ${sql}` }, run, run, { sql: `DEALLOCATE ${name}` }]
  }
}

/** Some parts of a statement were thrown away again, with their parameters: those that are left get new numbers. */
function withParameters(sql: string, all: readonly Parameter[] | undefined): { sql: string; parameters?: Parameter[] } {
  const parameters: Parameter[] = []
  const numbers = new Map<string, number>()
  const text = sql.replace(/(?<![\w$])\$(\d+)/g, (_, old: string) => {
    const known = numbers.get(old) ?? parameters.push(all?.[Number(old) - 1] ?? { text: undefined, oid: 0, value: undefined, binary: false })
    numbers.set(old, known)
    return `$${known}`
  })
  return parameters.length === 0 ? { sql } : { sql: text, parameters }
}

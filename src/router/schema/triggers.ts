/**
 * Triggers whose functions touch no table: on shards they fire once for each row, on its leaf. The shell has them too, for
 * people to see; no rows come there, but for reference tables, whose copies must all make the same of a row.
 */
import { refuse } from '../../base/errors.ts'
import { qualified, quoteIdent } from '../../base/quote.ts'
import type { Relation, Snapshot } from '../../catalog/snapshot.ts'
import type { SchemaChange } from '../../executor/schema/schema-change.ts'
import { holders, readDefinition, triggerStatements } from '../../executor/schema/table-definition.ts'
import type { AnyNode } from '../../sql/ast.ts'
import { names, walk } from '../../sql/ast.ts'
import type { PlpgsqlBody } from './plpgsql-body.ts'
import { readPlpgsql } from './plpgsql-body.ts'

/** Bits of pg_trigger.tgtype. */
const forEachRow = 1
const before = 2
const insert = 4
const update = 16
const truncate = 32
const insteadOf = 64

interface TriggerFacts {
  readonly table: number
  readonly name: string
  readonly type: number
  readonly function: string
  readonly definition: string
  readonly language: string
  readonly text: string
}

/** Refuses any trigger that would not do on shards what it does on one PostgreSQL. */
export async function checkTriggers(change: SchemaChange): Promise<void> {
  const tables = [...change.snapshot.relations.values()].filter((relation) => relation.triggers.length > 0)
  if (tables.length === 0) return
  const all = await change.askJson<TriggerFacts[]>(`
    SELECT coalesce(json_agg(json_build_object('table', t.tgrelid::int8, 'name', t.tgname, 'type', t.tgtype, 'function', p.proname, 'language', l.lanname,
             'definition', CASE WHEN p.prolang <> 12 THEN pg_get_functiondef(p.oid) END, 'text', pg_get_triggerdef(t.oid))), '[]')
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_language l ON l.oid = p.prolang
    WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgrelid IN (${tables.map((table) => table.oid).join(', ')})`)
  for (const trigger of all) {
    const relation = change.snapshot.relationsByOid.get(trigger.table)
    const problem = relation === undefined ? undefined : problemOf(trigger, relation, change.snapshot)
    if (problem !== undefined) throw refuse(`trigger "${trigger.name}" is not supported: ${problem}`, 'See docs/sql-support.md.')
  }
}

function problemOf(trigger: TriggerFacts, relation: Relation, snapshot: Snapshot): string | undefined {
  const { type } = trigger
  const kind = relation.table?.kind
  if ((type & insteadOf) !== 0 || kind === undefined) return 'it is on a view, which is replaced by its query'
  if ((type & truncate) !== 0) return 'TRUNCATE runs on several servers'
  if ((type & forEachRow) === 0 && (kind !== 'single' || (type & insert) !== 0)) return 'it is FOR EACH STATEMENT, and one statement may be several on shards'
  const noted = snapshot.functions.get(trigger.function)?.find((one) => one.touchesTables !== undefined)
  if (noted !== undefined) return `its function ${trigger.function} touches tables (${noted.touchesTables})`
  if (trigger.language !== 'plpgsql') return trigger.language === 'internal' || trigger.language === 'c' ? undefined : `its function is written in ${trigger.language}`
  return problemOfBody(readPlpgsql(trigger.definition), trigger, relation, snapshot)
}

function problemOfBody(body: PlpgsqlBody, trigger: TriggerFacts, relation: Relation, snapshot: Snapshot): string | undefined {
  const words = new Set<string>()
  const calls = new Set<string>()
  walk(body.nodes, (tree, key) => {
    if (key === 'ColumnRef') for (const word of names(tree.fields as AnyNode[])) words.add(word)
    if (key === 'FuncCall') calls.add(names(tree.funcname as AnyNode[]).at(-1) ?? '')
    if (key === 'SQLValueFunction' && /CURRENT_(DATE|TIME)|LOCALTIME/.test(String(tree.op))) calls.add('now')
  })
  const leafWord = ['tg_table_name', 'tg_relname', 'tg_table_schema', 'tg_relid'].find((word) => words.has(word))
  const isWhole = relation.table?.kind !== 'distributed'
  if (leafWord !== undefined && (!isWhole || leafWord === 'tg_relid')) return `${leafWord.toUpperCase()} would be a leaf's`
  const { builtins, functions } = snapshot
  const hidden = [...calls].find((name) => functions.get(name)?.some((one) => one.usesTime))
  if (hidden !== undefined) return `it calls ${hidden}, which asks for the time`
  if (relation.table?.kind === 'reference') {
    const differs = [...calls].find((name) => name === 'now' || builtins.volatile.has(name) || functions.get(name)?.some((one) => one.volatility !== 'i') || /timestamp$|^timeofday$/.test(name))
    if (differs !== undefined) return `${differs} may give different values for each copy of a reference table`
  }
  const key = relation.table?.keyColumn
  const moves = (trigger.type & (before | update)) === (before | update) && key !== undefined && assigns(trigger.definition, key)
  return moves ? `it changes the shard key "${key}" of a row that is there` : undefined
}

/** Whether the body sets NEW.key. */
function assigns(definition: string, key: string): boolean {
  return new RegExp(`\\bnew\\s*\\.\\s*"?${key.replace(/[^\w]/g, '\\$&')}"?\\s*:?=`, 'i').test(definition)
}

/** The new trigger, as the shell has it. */
export async function carryTrigger(relation: Relation, name: string, change: SchemaChange): Promise<void> {
  const definition = await readDefinition(change, relation.oid)
  const one = { ...definition, triggers: definition.triggers.filter((trigger) => trigger.name === name) }
  const drop = `SET LOCAL client_min_messages = warning; DROP TRIGGER IF EXISTS ${quoteIdent(name)} ON ${qualified(relation.schema, relation.name)}`
  await change.onShards(holders(relation, change), [drop, ...triggerStatements(relation, one)].join('; '))
}

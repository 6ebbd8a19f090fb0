/** CREATE FUNCTION on the shards. Bodies may name tables that a shard does not have. */
import { quoteLiteral } from '../../base/quote.ts'
import type { SchemaChange } from '../../executor/schema/schema-change.ts'
import { names } from '../../sql/ast.ts'
import type { AnyNode } from '../../sql/ast.ts'
import type { Statement } from '../../sql/parse.ts'
import { forShards } from './trigger-time.ts'

export async function carryFunction({ node, source }: Statement, change: SchemaChange): Promise<void> {
  const create = node.CreateFunctionStmt
  const name = names(create?.funcname as AnyNode[] | undefined).at(-1) ?? ''
  const isTrigger = names(create?.returnType?.names as AnyNode[] | undefined).at(-1) === 'trigger'
  const texts = isTrigger ? await triggerFunctions(name, change) : [source.text]
  await change.onShards(change.shardIds, `SET LOCAL check_function_bodies = off; ${texts.join('; ')}`)
}

/** A trigger's function has no parameters, so its name tells all but its schema. */
async function triggerFunctions(name: string, change: SchemaChange): Promise<string[]> {
  const definitions = await change.askJson<string[]>(
    `SELECT json_agg(pg_get_functiondef(p.oid)) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE p.proname = ${quoteLiteral(name)} AND p.prorettype = 'pg_catalog.trigger'::regtype AND n.nspname NOT IN ('pg_catalog', 'pgherd') AND n.nspname !~ '^pg_temp'`,
  )
  return definitions.map(forShards)
}

/** Single tables as another shard is to have them before their rows come: without foreign keys, markers and rows. */
import type { AskOne } from '../../coordination/load-snapshot.ts'
import { quoteIdent } from '../../base/quote.ts'
import { readDefinition, tableStatements, triggerStatements } from './table-definition.ts'

/** By its number in the shell. */
export interface NamedSingle {
  readonly oid: number
  readonly id: number
  readonly schema: string
  readonly name: string
}

/** `ask` sees the shell, with an empty search_path. Parents have to come before their partitions. */
export async function singleCopyStatements(tables: readonly NamedSingle[], ask: AskOne): Promise<string[]> {
  const askJson = async <T>(sql: string) => JSON.parse((await ask(sql)) ?? 'null') as T
  const statements: string[] = []
  for (const { oid, id, schema, name } of tables) {
    const relation = { schema, name, table: { id, kind: 'single', keyColumn: undefined } } as const
    const definition = await readDefinition({ askJson }, oid)
    const owner = `ALTER TABLE ${quoteIdent(schema)}.${quoteIdent(name)} OWNER TO ${quoteIdent(definition.owner)}`
    statements.push(...tableStatements(relation, definition, undefined, 0), owner, ...triggerStatements(relation, definition))
  }
  return statements
}

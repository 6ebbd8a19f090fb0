/**
 * Notes of each function whether its body touches tables. On the shell those are empty and on a shard not whole, so calling
 * such a function is refused; one whose body can't be read counts as touching them.
 */
import { quoteLiteral } from '../../base/quote.ts'
import type { SchemaChange } from '../../executor/schema/schema-change.ts'
import { isTree, walk } from '../../sql/ast.ts'
import type { Statement } from '../../sql/parse.ts'
import { parsePlpgsql, parseStatements } from '../../sql/parse.ts'

export async function noteFunctions(statement: Statement, change: SchemaChange): Promise<void> {
  const { node } = statement
  if (node.CreateFunctionStmt === undefined && node.CreateExtensionStmt === undefined) return
  const functions = await change.askJson<{ oid: number; language: string; definition: string; fromExtension: boolean }[]>(`
    SELECT coalesce(json_agg(json_build_object('oid', p.oid::int8, 'language', l.lanname, 'definition', pg_get_functiondef(p.oid),
             'fromExtension', EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'))), '[]')
    FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE p.prokind IN ('f', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pgherd')`)
  const notes = functions.flatMap((one) => {
    const problem = one.fromExtension ? undefined : whatItTouches(one.language, one.definition)
    return problem === undefined ? [] : [`(${one.oid}, ${quoteLiteral(problem)})`]
  })
  await change.onCatalog(
    `DELETE FROM pgherd.function_note` + (notes.length === 0 ? '' : `; INSERT INTO pgherd.function_note (oid, touches_tables) VALUES ${notes.join(', ')}`),
  )
}

function whatItTouches(language: string, definition: string): string | undefined {
  if (language === 'c' || language === 'internal') return undefined
  if (language !== 'sql' && language !== 'plpgsql') return `it is written in ${language}, which is not read here`
  try {
    const texts = language === 'plpgsql' ? plpgsqlQueries(definition) : [sqlBody(definition)]
    for (const text of texts) {
      const table = tableIn(text)
      if (table !== undefined) return `it names ${table}`
    }
    return undefined
  } catch {
    return 'its body could not be read'
  }
}

function sqlBody(definition: string): string {
  const body = /\bAS \$function\$([\s\S]*)\$function\$/.exec(definition)
  if (body !== null) return body[1] ?? ''
  const standard = /\n\s*(RETURN [\s\S]*|BEGIN ATOMIC[\s\S]*)$/.exec(definition)?.[1] ?? ''
  if (standard.startsWith('BEGIN')) throw new Error('unread')
  return standard.replace(/^RETURN /, 'SELECT ')
}

function plpgsqlQueries(definition: string): string[] {
  const texts: string[] = []
  walk(parsePlpgsql(definition), (tree, key) => {
    if (key === 'PLpgSQL_expr' && typeof tree.query === 'string') texts.push(tree.query)
    if (key === 'PLpgSQL_stmt_dynexecute' || key === 'PLpgSQL_stmt_dynfors' || key === 'PLpgSQL_stmt_open') throw new Error('dynamic')
  })
  return texts
}

function tableIn(text: string): string | undefined {
  let found: string | undefined
  for (const { node } of parseLoosely(text)) {
    walk({ node }, (tree) => {
      if (isTree(tree) && typeof tree.relname === 'string' && typeof tree.relpersistence === 'string') found ??= tree.relname
    })
  }
  return found
}

/** PL/pgSQL holds expressions and assignments as well as statements. */
function parseLoosely(text: string): ReturnType<typeof parseStatements> {
  try {
    return parseStatements(text)
  } catch {
    return parseStatements(`SELECT ${text.replace(/^[^:=]*:?=/, '')}`)
  }
}

/**
 * Notes of each function whether its body touches tables. On the shell those are empty and on a shard not whole, so calling
 * such a function is refused; one whose body can't be read counts as touching them.
 */
import { quoteLiteral } from '../../base/quote.ts'
import { catalogOnlyPattern } from '../../planner/facts.ts'
import type { SchemaChange } from '../../executor/schema/schema-change.ts'
import type { AnyNode } from '../../sql/ast.ts'
import { isTree, names, tagOf, walk } from '../../sql/ast.ts'
import type { Statement } from '../../sql/parse.ts'
import { parseStatements } from '../../sql/parse.ts'
import { readPlpgsql } from './plpgsql-body.ts'

export async function noteFunctions(statement: Statement, change: SchemaChange): Promise<void> {
  const { node } = statement
  if (node.CreateFunctionStmt === undefined && node.CreateExtensionStmt === undefined) return
  const functions = await change.askJson<{ oid: number; name: string; language: string; definition: string; fromExtension: boolean }[]>(`
    SELECT coalesce(json_agg(json_build_object('oid', p.oid::int8, 'name', p.proname, 'language', l.lanname, 'definition', pg_get_functiondef(p.oid),
             'fromExtension', EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'))), '[]')
    FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE p.prokind IN ('f', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pgherd')`)
  const readings = functions.map((one) => ({ ...one, ...(one.fromExtension ? { problem: undefined, calls: new Set<string>() } : readFunction(one.language, one.definition)) }))
  // A function that calls one that touches tables touches them too.
  for (let grew = true; grew; ) {
    grew = false
    const noted = new Set(readings.filter((one) => one.problem !== undefined).map((one) => one.name))
    for (const one of readings) {
      const called = [...one.calls].find((name) => noted.has(name))
      if (one.problem !== undefined || called === undefined) continue
      one.problem = `it calls ${called}`
      grew = true
    }
  }
  const notes = readings.flatMap(({ oid, problem }) => (problem === undefined ? [] : [`(${oid}, ${quoteLiteral(problem)})`]))
  await change.onCatalog(
    `DELETE FROM pgherd.function_note` + (notes.length === 0 ? '' : `; INSERT INTO pgherd.function_note (oid, touches_tables) VALUES ${notes.join(', ')}`),
  )
}

interface Reading {
  problem: string | undefined
  readonly calls: ReadonlySet<string>
}

function readFunction(language: string, definition: string): Reading {
  const calls = new Set<string>()
  return { problem: whatItTouches(language, definition, calls), calls }
}

function whatItTouches(language: string, definition: string, calls: Set<string>): string | undefined {
  if (language === 'c' || language === 'internal') return undefined
  if (language !== 'sql' && language !== 'plpgsql') return `it is written in ${language}, which is not read here`
  try {
    if (language === 'plpgsql') {
      const body = readPlpgsql(definition)
      if (body.opensDynamicCursor || body.statements.some((one) => one.kind === 'dynamic')) return 'it uses EXECUTE, whose text cannot be known before it runs'
      return firstProblem(body.nodes, calls)
    }
    return firstProblem(parseStatements(sqlBody(definition)).map((statement) => statement.node), calls)
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

function firstProblem(nodes: readonly AnyNode[], calls: Set<string>): string | undefined {
  const problems = nodes.map((node) => problemIn(node, calls))
  return problems.find((problem) => problem !== undefined)
}

const dataStatements = new Set(['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt', 'CallStmt'])

function problemIn(node: AnyNode, calls: Set<string>): string | undefined {
  let found: string | undefined
  walk({ node }, (tree, key) => {
    if (!isTree(tree)) return
    if (typeof tree.relname === 'string' && typeof tree.relpersistence === 'string') found ??= `it names ${tree.relname}`
    if (key === 'VariableSetStmt') found ??= 'it changes settings'
    if (key === 'FuncCall' || key === 'funccall') {
      const name = names(tree.funcname as AnyNode[]).at(-1) ?? ''
      calls.add(name)
      if (name === 'set_config') found ??= 'it changes settings'
      if (/_to_xml|^ts_stat$|^ts_rewrite$|^dblink/.test(name) || (catalogOnlyPattern.test(name) && name !== 'statement_timestamp')) found ??= `it calls ${name}`
    }
  })
  if (!dataStatements.has(tagOf(node))) found ??= 'it holds a statement that is not about data'
  return found
}

/**
 * DO. A block that touches no table runs on the catalog as it is.
 *
 * A block that changes the schema (as migrations guard their statements: IF NOT EXISTS ..., EXCEPTION WHEN duplicate_object)
 * is a program that decides which statements to run. It runs on the shell, noting each statement that succeeds; that is
 * undone, and the noted statements run as if the client had sent them one by one, in the same transaction. What PL/pgSQL
 * itself undoes (EXCEPTION) is not noted, since the notes are a setting, which is undone with it.
 */
import type { SqlErrorFields } from '../../base/errors.ts'
import { refuse } from '../../base/errors.ts'
import { noArguments } from '../../executor/context.ts'
import { runOnServer } from '../../executor/run-on-server.ts'
import type { SchemaChange } from '../../executor/schema/schema-change.ts'
import type { StatementFacts } from '../../planner/facts.ts'
import { refuseTableFunctions, statementFacts } from '../../planner/facts.ts'
import { pinsSession } from '../../planner/plan-select.ts'
import { refuseSqlAsText } from '../../planner/plan-statement.ts'
import type { AnyNode } from '../../sql/ast.ts'
import { tagOf } from '../../sql/ast.ts'
import { parseStatements } from '../../sql/parse.ts'
import type { ClientSink } from '../client-sink.ts'
import type { Session } from '../session.ts'
import type { Handler } from '../statements/run-statement.ts'
import { changeSchema } from './change-schema.ts'
import type { PlpgsqlBody } from './plpgsql-body.ts'
import { asFunction, dollarQuoted, readPlpgsql } from './plpgsql-body.ts'
import { notedBody, notedText, noteFunction, notesSetting } from './noted-body.ts'

export const runDo: Handler = async (statement, args, sink, session) => {
  const options = (statement.node.DoStmt?.args ?? []).map((option) => (option as AnyNode).DefElem)
  const valueOf = (name: string) => (options.find((option) => option?.defname === name)?.arg as AnyNode | undefined)?.String?.sval
  const text = valueOf('as') ?? ''
  const body = (valueOf('language') ?? 'plpgsql') === 'plpgsql' ? read(text) : undefined
  if (body === undefined) return refuseUnread(text, valueOf('language'), session)
  const snapshot = await session.currentSnapshot()
  const facts = body.nodes.map((node) => checkNode(node, body, session.nameContext(snapshot, [])))
  session.sequenceValues.clear() // what the block takes from a sequence is not seen here
  const changes = body.statements.some((one) => one.kind === 'dynamic' || !isData(one.text))
  if (!changes) {
    const context = session.executionContext(snapshot, statement.source.text)
    const pins = facts.some((one) => pinsSession(one) || usesTemporary(one))
    return runOnServer(session.services.catalog, { text: statement.source.text, markers: [], writes: true, pins }, args, sink, context)
  }
  if (body.endsTransactions) throw refuse('COMMIT in a block that changes the schema is not supported', 'Send its parts one by one.')
  const odd = facts.find((one) => pinsSession(one) || usesTemporary(one) || one.functionNames.includes('pg_notify'))
  if (odd !== undefined) throw refuse('a block that changes the schema cannot use temporary tables, advisory locks or notifications', 'Use blocks of their own.')
  return changeSchema(session, async (change) => {
    const noted = await notedStatements(text, body, change, session)
    session.transactionSnapshot = await change.reload()
    await replay(noted, sink, session)
    return { kind: 'complete', tag: 'DO' }
  })
}

function read(text: string): PlpgsqlBody | undefined {
  try {
    return readPlpgsql(asFunction(text))
  } catch {
    return undefined
  }
}

/** PostgreSQL's own validator says what is wrong with the block, if anything is. */
async function refuseUnread(text: string, language: string | undefined, session: Session): Promise<never> {
  if (language !== undefined && language !== 'plpgsql') throw refuse(`DO in the language ${language} is not supported`, 'Use plpgsql.')
  await changeSchema(session, async (change) => {
    await change.onCatalog(`SAVEPOINT pgherd_block; ${asFunction(text)}; ROLLBACK TO pgherd_block; RELEASE pgherd_block`)
    return { kind: 'complete', tag: 'DO' }
  })
  throw refuse('the block could not be read', 'Send its statements themselves.')
}

const dataTags = new Set(['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt', 'CallStmt'])
const isData = (text: string) => parseStatements(text).every(({ node }) => dataTags.has(tagOf(node)))
const usesTemporary = (facts: StatementFacts) => facts.relations.some((use) => use.resolved.kind === 'temporary')

/** Statements of the session or the transaction: what they do could not be undone and done again, or would not last. */
const notInBlocks =
  /^(VariableSet|VariableShow|Discard|Prepare|Execute|Deallocate|DeclareCursor|Fetch|ClosePortal|Listen|Unlisten|Notify|Copy|Lock|ConstraintsSet|Do|Transaction|Explain|Vacuum|Cluster|Reindex|CheckPoint|Createdb|Dropdb|Load)Stmt$/

/** Refuses what reads or writes rows of tables: on the shell there are none. */
function checkNode(node: AnyNode, body: PlpgsqlBody, context: Parameters<typeof statementFacts>[1]): StatementFacts {
  const tag = tagOf(node)
  if (notInBlocks.test(tag)) throw refuse(`${tag.replace(/Stmt$/, '')} statements are not supported in a block`, 'Send the statement itself.')
  const facts = statementFacts(node, context)
  refuseTableFunctions(facts)
  refuseSqlAsText(facts)
  if (facts.functionNames.includes('set_config')) throw refuse('set_config is not supported in a block', 'Use SET.')
  if (!dataTags.has(tag)) {
    const query = node.CreateTableAsStmt?.query as AnyNode | undefined
    const variable = query === undefined ? undefined : [...body.variables].find((name) => JSON.stringify(query).includes(`"${name}"`))
    if (variable !== undefined) throw refuse(`cannot use the variable ${variable} in this statement of a block`)
    return facts
  }
  const [table] = facts.tables.filter((use) => use.relation.relkind !== 'S')
  if (table !== undefined) throw refuse(`a block cannot read or write rows of "${table.relation.name}"`, 'Send its statements themselves.')
  const unknown = facts.relations.find((use) => use.resolved.kind === 'unknown')
  const makesTables = body.statements.some((one) => one.kind === 'dynamic' || !isData(one.text))
  if (unknown !== undefined && makesTables) throw refuse(`a block cannot read or write rows of "${unknown.rangeVar.relname}"`, 'Send its statements themselves.')
  return facts
}

/** Runs the block on the shell and undoes it. Gives the statements that ran, in order. */
async function notedStatements(text: string, body: PlpgsqlBody, change: SchemaChange, session: Session): Promise<string[]> {
  const attempted: string[] = []
  const onNotice = (fields: SqlErrorFields) => {
    const noted = notedText(fields.message)
    if (noted === undefined) change.onNotice(fields)
    else attempted.push(noted)
  }
  const block = `DO LANGUAGE plpgsql ${dollarQuoted(notedBody(text, body))}`
  await change.onCatalog(`SAVEPOINT pgherd_block; SELECT pg_catalog.set_config('${notesSetting}', '[]', true); ${noteFunction}`)
  await change.onCatalog(block, onNotice)
  const { rows } = await change.onCatalog(`SELECT pg_catalog.current_setting('${notesSetting}'); ROLLBACK TO pgherd_block; RELEASE pgherd_block`)
  // A text of EXECUTE is known only now. One that failed counts too: the block may have gone on otherwise because of it.
  for (const one of attempted) {
    for (const { node } of parseStatements(one)) checkNode(node, { ...body, statements: [{ kind: 'dynamic', text: '', line: 0 }] }, session.nameContext(change.snapshot, []))
  }
  return JSON.parse(rows[0]?.[0] ?? '[]') as string[]
}

async function replay(texts: readonly string[], sink: ClientSink, session: Session): Promise<void> {
  session.replaying = true
  try {
    for (const text of texts) {
      for (const statement of parseStatements(text)) if (!dataTags.has(tagOf(statement.node))) await session.runStatement(statement, noArguments, sink)
    }
  } finally {
    session.replaying = false
  }
}

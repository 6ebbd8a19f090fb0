/** A simple Query: its statements one after the other, in one transaction if there are several. */
import { asSqlError, shiftPosition } from '../base/errors.ts'
import type { ExecutionContext } from '../executor/context.ts'
import { noArguments } from '../executor/context.ts'
import { executePlan } from '../executor/execute-plan.ts'
import { startPointRead } from '../executor/point-read.ts'
import { StaleLayout, tablesMoved } from '../executor/run-on-server.ts'
import type { StatementEnd } from '../executor/statement-exchange.ts'
import { StatementFailure } from '../executor/statement-exchange.ts'
import type { SqlError } from '../base/errors.ts'
import type { LiteralFree } from '../sql/literal-free.ts'
import { withoutLiterals } from '../sql/literal-free.ts'
import type { Statement } from '../sql/parse.ts'
import { refuseParameters } from './parameters.ts'
import { checkReadOnly } from './check-read-only.ts'
import type { Session } from './session.ts'
import type { Template } from './templates.ts'

export async function runSimpleQuery(text: string, session: Session): Promise<void> {
  const { transaction } = session
  const shape = mayUseTemplate(session) ? withoutLiterals(text) : undefined
  const { snapshot } = session
  const template = shape === undefined || snapshot === undefined ? undefined : session.templates.find(shape, snapshot)
  if (shape !== undefined && snapshot !== undefined && template !== undefined) {
    const end = await runTemplate(template, shape, session, session.executionContext(snapshot, text))
    if (end !== undefined) return session.complete(end)
  }
  const statements = session.services.parsed.parse(text)
  if (statements.length === 0) session.stream.out.begin('I').end()
  for (const statement of statements) {
    if (statements.length > 1 && !transaction.active) transaction.begin('implicit')
    await runOne(statement, session)
  }
  const [only] = statements
  if (only !== undefined && statements.length === 1 && shape !== undefined) learn(shape, only, session)
}

/** Templates are for what depends on nothing but the schema and how names are found, and can be tried again as a whole. */
function mayUseTemplate({ services, transaction, temporary, transactionSnapshot, views, mayFindTablesMoved, replicas }: Session): boolean {
  return !services.store.holds.isAny && !mayFindTablesMoved && !replicas.isOnReplicas && !transaction.failed && !transaction.needsSnapshots && temporary.size === 0 && transactionSnapshot === undefined && views === undefined
}

function learn(shape: LiteralFree, statement: Statement, session: Session): void {
  const { snapshot } = session
  if (snapshot === undefined || !mayUseTemplate(session)) return
  const kind = session.known(statement, snapshot, noArguments.types).planned?.plan.kind
  if (kind === 'one-shard' || kind === 'insert-rows') session.templates.learn(shape, statement, session.nameContext(snapshot, []))
}

async function runOne(statement: Statement, session: Session): Promise<void> {
  try {
    session.beginTimers()
    const sink = session.newSink(true)
    if (!session.transaction.failed) refuseParameters(statement)
    session.complete(await session.runStatement(statement, noArguments, sink))
  } catch (error) {
    throw shiftPosition(asReported(error), statement.offset ?? 0)
  }
}

/** Undefined when nothing has run: the text is then planned as it is. */
async function runTemplate(template: Template, shape: LiteralFree, session: Session, context: ExecutionContext): Promise<StatementEnd | undefined> {
  const { plan } = template
  const tag = plan.kind === 'one-shard' && plan.isPointRead ? await pointRead(template, shape, session, context) : undefined
  if (tag !== undefined) return { kind: 'complete', tag }
  const filled = template.fill(shape.literals)
  checkReadOnly(filled, session.transaction)
  const sink = session.newSink(true)
  try {
    return await executePlan(filled, noArguments, sink, context)
  } catch (error) {
    // The tables have moved, and nothing has run: with the newest layout it is planned anew.
    if (!(error instanceof StaleLayout)) throw error
    if (sink.touched || (session.transaction.active && plan.kind !== 'one-shard')) throw tablesMoved()
    return undefined
  }
}

/** By a prepared statement, so that the server plans it once. The tag, or undefined when it has to go the usual way. */
function pointRead(template: Template, shape: LiteralFree, session: Session, context: ExecutionContext): Promise<string | undefined> | undefined {
  if (template.plan.kind !== 'one-shard') return undefined
  const { plan } = template
  const sink = session.newSink(true)
  sink.knownDescription = template.description
  const args = template.arguments(shape.literals, sink.knownDescription?.fields)
  let started = false
  const end = new Promise<string | undefined>((resolve, reject) => {
    started = startPointRead(plan, args, sink, context, (tag, failure) => {
      if (failure !== undefined) failure.then(reject, reject)
      else {
        if (tag !== undefined) {
          sink.endDescription()
          template.description ??= sink.asKnownDescription()
        }
        resolve(tag)
      }
    })
  })
  return started ? end : undefined
}

/** Anything thrown while a statement ran, as the error to tell. */
export function asReported(given: unknown): SqlError {
  if (given instanceof StaleLayout) return tablesMoved()
  return asSqlError(given instanceof StatementFailure ? given.error : given)
}

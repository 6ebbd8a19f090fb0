/** BEGIN, COMMIT, ROLLBACK, savepoints: with PostgreSQL's answers to each in each state. */
import { refuse, SqlError } from '../../base/errors.ts'
import { quoteIdent } from '../../base/quote.ts'
import type { StatementEnd } from '../../executor/statement-exchange.ts'
import type { AnyNode, TransactionStmt } from '../../sql/ast.ts'
import type { TransactionModes } from '../../transaction/transaction.ts'
import { reloadTransactionSnapshot } from '../schema/change-schema.ts'
import type { Handler } from './run-statement.ts'
import type { Session } from '../session.ts'

const done = (tag: string): StatementEnd => ({ kind: 'complete', tag })

export const runTransactionStatement: Handler = async (statement, _args, _sink, session) => {
  const node = statement.node.TransactionStmt as TransactionStmt
  const { transaction } = session
  switch (node.kind) {
    case 'TRANS_STMT_BEGIN':
    case 'TRANS_STMT_START': {
      const tag = node.kind === 'TRANS_STMT_BEGIN' ? 'BEGIN' : 'START TRANSACTION'
      if (transaction.state === 'block') {
        session.notice('25001', 'there is already a transaction in progress', 'WARNING')
        return done(tag)
      }
      const modes = readModes((node.options ?? []) as AnyNode[])
      if (transaction.state === 'none') transaction.begin('block', modes)
      else changeModes(session, modes)
      transaction.state = 'block'
      return done(tag)
    }
    case 'TRANS_STMT_COMMIT':
      return commit(session, node.chain === true)
    case 'TRANS_STMT_ROLLBACK':
      return rollback(session, node.chain === true)
    case 'TRANS_STMT_SAVEPOINT':
      requireBlock(session, 'SAVEPOINT')
      transaction.note(quoteIdent(node.savepoint_name ?? ''), node.savepoint_name ?? '')
      return done('SAVEPOINT')
    case 'TRANS_STMT_RELEASE':
      requireBlock(session, 'RELEASE SAVEPOINT')
      requireSavepoint(session, node.savepoint_name ?? '')
      await transaction.releaseSavepoint(node.savepoint_name ?? '')
      return done('RELEASE')
    case 'TRANS_STMT_ROLLBACK_TO':
      requireBlock(session, 'ROLLBACK TO SAVEPOINT')
      requireSavepoint(session, node.savepoint_name ?? '')
      await transaction.rollbackTo(node.savepoint_name ?? '')
      for (const [name, cursor] of session.cursors) if (cursor.declaredAt >= transaction.journalLength) session.cursors.delete(name)
      session.extended.closePortals(transaction.journalLength)
      if (session.schemaChanged) await reloadTransactionSnapshot(session)
      await session.afterRollbackTo()
      return done('ROLLBACK')
    default:
      throw refuse('prepared transactions are used by pgherd itself', 'Use BEGIN and COMMIT: a commit over several shards is atomic.')
  }
}

/** SET TRANSACTION, or BEGIN behind other statements of a text: the transaction has begun already. */
export function changeModes({ transaction }: Session, modes: TransactionModes): void {
  const hasBegun = transaction.participants.size > 0
  if (hasBegun && modes.isolation !== undefined) throw new SqlError('25001', 'SET TRANSACTION ISOLATION LEVEL must be called before any query')
  transaction.addModes(modes)
  if (hasBegun && modes.text !== '') transaction.note(`SET TRANSACTION ${modes.text}`, undefined)
}

async function commit(session: Session, chain: boolean): Promise<StatementEnd> {
  const { transaction } = session
  requireChain(session, chain, 'COMMIT')
  if (transaction.state !== 'block') session.notice('25P01', 'there is no transaction in progress', 'WARNING')
  if (transaction.failed) return rollback(session, chain)
  const modes = transaction.modes
  if (transaction.active) await session.commit()
  if (chain) transaction.begin('block', modes)
  return done('COMMIT')
}

async function rollback(session: Session, chain: boolean): Promise<StatementEnd> {
  const { transaction } = session
  requireChain(session, chain, 'ROLLBACK')
  if (transaction.state !== 'block') session.notice('25P01', 'there is no transaction in progress', 'WARNING')
  const modes = transaction.modes
  if (transaction.active) await session.rollback()
  if (chain) transaction.begin('block', modes)
  return done('ROLLBACK')
}

/** The modes of BEGIN or SET TRANSACTION. */
export function readModes(options: readonly AnyNode[]): TransactionModes {
  const texts: string[] = []
  let readOnly: boolean | undefined
  let isolation: string | undefined
  for (const { DefElem: option } of options) {
    const constant = (option?.arg as AnyNode | undefined)?.A_Const
    const isTrue = constant?.ival?.ival === 1
    if (option?.defname === 'transaction_isolation') {
      isolation = constant?.sval?.sval ?? ''
      texts.push(`ISOLATION LEVEL ${isolation.toUpperCase()}`)
    } else if (option?.defname === 'transaction_read_only') {
      readOnly = isTrue
      texts.push(isTrue ? 'READ ONLY' : 'READ WRITE')
    } else if (option?.defname === 'transaction_deferrable') texts.push(isTrue ? 'DEFERRABLE' : 'NOT DEFERRABLE')
  }
  return { text: texts.join(', '), readOnly, isolation }
}

function requireChain(session: Session, chain: boolean, what: string): void {
  if (chain) requireBlock(session, `${what} AND CHAIN`)
}

function requireBlock(session: Session, what: string): void {
  if (session.transaction.state !== 'block') throw new SqlError('25P01', `${what} can only be used in transaction blocks`)
}

function requireSavepoint(session: Session, name: string): void {
  if (!session.transaction.hasSavepoint(name)) throw new SqlError('3B001', `savepoint "${name}" does not exist`)
}

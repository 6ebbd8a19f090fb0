import { SqlError } from '../base/errors.ts'
import type { Transaction } from '../transaction/transaction.ts'

/** Why a statement was cancelled: a server says of any cancel that the user asked for it. */
export function toldError(error: SqlError, transaction: Transaction): SqlError {
  const { cancelReason } = transaction
  if (error.code !== '57014') return error
  if (transaction.isVictim) {
    transaction.isVictim = false
    return new SqlError('40P01', 'deadlock detected', {
      detail: 'Transactions on several shards wait for each other.',
      hint: 'Try the transaction again.',
    })
  }
  return cancelReason === undefined ? error : new SqlError(error.code, cancelReason, error.fields)
}

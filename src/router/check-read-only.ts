import { SqlError } from '../base/errors.ts'
import type { QueryPlan } from '../planner/plan.ts'
import { planWrites } from '../planner/plan.ts'
import type { Transaction } from '../transaction/transaction.ts'

/** Throws 25006 for a plan that writes where that is not allowed now. */
export function checkReadOnly(plan: QueryPlan, transaction: Transaction): void {
  if (!transaction.readOnlyNow || !planWrites(plan)) return
  if (plan.kind === 'catalog' || plan.kind === 'gather') {
    const call = /\b(nextval|setval)\s*\(/i.exec(plan.text)?.[1]
    if (call !== undefined) throw new SqlError('25006', `cannot execute ${call.toLowerCase()}() in a read-only transaction`)
    return
  }
  const verb = plan.kind.startsWith('insert') ? 'INSERT' : 'this statement'
  throw new SqlError('25006', `cannot execute ${verb} in a read-only transaction`)
}

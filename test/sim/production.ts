/**
 * The production code that the simulation runs: of this project, or of a copy of it in which a bug was planted.
 */
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import type { CommitGate } from '../../src/transaction/commit-gate.ts'
import type { commitBranches, newTransactionId } from '../../src/transaction/commit.ts'
import type { forgetDecisions } from '../../src/transaction/forget-decisions.ts'
import type { Recovery } from '../../src/transaction/recovery.ts'
import type { Duty } from '../../src/coordination/duty.ts'
import type { LeasedLocks } from '../../src/coordination/leased-locks.ts'
import type { limits } from '../../src/base/limits.ts'

export interface Production {
  readonly commitBranches: typeof commitBranches
  readonly newTransactionId: typeof newTransactionId
  readonly forgetDecisions: typeof forgetDecisions
  readonly Recovery: typeof Recovery
  readonly CommitGate: typeof CommitGate
  readonly Duty: typeof Duty
  readonly LeasedLocks: typeof LeasedLocks
  readonly limits: typeof limits
}

const files = ['transaction/commit.ts', 'transaction/forget-decisions.ts', 'transaction/recovery.ts', 'transaction/commit-gate.ts', 'coordination/duty.ts', 'coordination/leased-locks.ts', 'base/limits.ts']

/** Decisions are forgotten while there are still faults. */
const decisionKeepMs = 9_000

/** `source` is a folder like src/. */
export async function loadProduction(source: string): Promise<Production> {
  const modules = await Promise.all(files.map((file) => import(pathToFileURL(path.join(source, file)).href) as Promise<object>))
  const production = Object.assign({}, ...modules) as Production
  Object.assign(production.limits, { decisionKeepMs })
  return production
}

/**
 * One safety step taken away at a time, by changing the source text as it is loaded. Each must be caught: what is not caught is not tested.
 *
 * `find` occurs exactly once in its file, which a test holds, so that the list stays true. `from` is a seed from which it does not take long.
 */
export interface PlantedBug {
  readonly name: string
  readonly file: string
  readonly find: string
  readonly replace: string
  /** What finds it; or why nothing does. */
  readonly caughtBy: readonly string[] | { readonly harmless: string }
  readonly from?: number
}

const commit = 'src/transaction/commit.ts'
const recovery = 'src/transaction/recovery.ts'
const gate = 'src/transaction/commit-gate.ts'
const forget = 'src/transaction/forget-decisions.ts'
const status = 'src/transaction/transaction-status.ts'
const locks = 'src/coordination/leased-locks.ts'
const clock = 'src/base/clock.ts'

const wholeOrNothing = ['atomicity', 'told rolled back', 'durability', 'atomic visibility'] as const
const oneMoment = ['atomic visibility', 'totals are constant', 'what it had read'] as const

export const plantedBugs: readonly PlantedBug[] = [
  {
    name: 'the decider writes no decision',
    file: commit,
    find: 'decision: { id, others: others.map((other) => other.server.id), isAsked } })',
    replace: 'decision: undefined })',
    caughtBy: wholeOrNothing,
  },
  {
    name: 'COMMIT PREPARED before the decision',
    file: commit,
    find: 'await decide(decider, others, part) // from this line on it is committed',
    replace: `await finishAll(others, 'COMMIT', part); await decide(decider, others, part)`,
    caughtBy: [...wholeOrNothing, ...oneMoment],
  },
  {
    name: 'the decision is made while others still prepare',
    file: commit,
    find: 'await prepareAll(others, gateHolder, part) // an error here',
    replace: 'const preparing = prepareAll(others, gateHolder, part); preparing.catch(() => undefined); await decide(decider, others, part); await preparing; //',
    caughtBy: wholeOrNothing,
  },
  {
    name: 'a failed prepare is taken for a success',
    file: commit,
    find: 'if (failure === undefined) return\n',
    replace: 'if (failure === undefined || results.length > 0) return\n',
    caughtBy: wholeOrNothing,
  },
  {
    name: 'a broken connection in the decision counts as a no',
    file: commit,
    find: `isUnknown(error as SqlError) ? await askDecider(decider, sentAt, part) : 'aborted'`,
    replace: `'aborted' as Outcome`,
    caughtBy: wholeOrNothing,
  },
  {
    name: 'a broken connection in the decision counts as a yes',
    file: commit,
    find: `isUnknown(error as SqlError) ? await askDecider(decider, sentAt, part) : 'aborted'`,
    replace: `isUnknown(error as SqlError) ? 'committed' as Outcome : 'aborted'`,
    caughtBy: wholeOrNothing,
  },
  {
    name: 'the decider is asked, and may decide afterwards',
    file: commit,
    find: 'server?.settle(transaction.database, transaction.id))',
    replace: `server === undefined ? undefined : ((await server.decision(transaction.database, transaction.id)) ?? { outcome: 'aborted' as Outcome }))`,
    from: 150, caughtBy: wholeOrNothing,
  },
  {
    name: 'an unknown decision is rolled back',
    file: commit,
    find: 'if (outcome === undefined) throw unknownOutcome(decider)\n',
    replace: '\n',
    from: 2350, caughtBy: wholeOrNothing,
  },
  {
    name: 'who was asleep believes that a decision taken away was never there',
    file: commit,
    find: 'context.clock.ticks() - sentAt < limits.decisionKeepMs / 2 ? answer?.outcome : undefined',
    replace: 'answer?.outcome',
    from: 2630, caughtBy: ['told rolled back'],
  },
  {
    name: 'a broken connection in a lone COMMIT counts as a no',
    file: commit,
    find: 'throw isUnknown(error) ? unknownOutcome(branch) : (ofDecision(error) ?? error)',
    replace: 'throw error',
    from: 350, caughtBy: ['told rolled back'],
  },
  {
    name: 'a lone COMMIT whose id is known writes no decision',
    file: commit,
    find: 'isAsked ? { id, others: [], isAsked } : undefined',
    replace: 'undefined',
    from: 730, caughtBy: ['told rolled back'],
  },
  { name: 'nobody passes the gate to prepare', file: commit, find: 'other.prepare(part.name, other === gateHolder)', replace: 'other.prepare(part.name, false)', caughtBy: oneMoment },
  { name: 'who has read elsewhere does not pass the gate', file: commit, find: 'commitAlone(writers[0], branches.length > 1, transaction)', replace: 'commitAlone(writers[0], false, transaction)', from: 4790, caughtBy: oneMoment },
  { name: "the gate's holder is finished with the others", file: commit, find: `finishAll(rest, 'COMMIT', part)`, replace: `finishAll(others, 'COMMIT', part)`, from: 120, caughtBy: oneMoment },
  { name: "the gate's holder is finished though others are not", file: commit, find: 'if (isFinished) await', replace: 'if (isFinished || !isFinished) await', from: 1340, caughtBy: oneMoment },
  {
    name: 'recovery rolls back without asking',
    file: recovery,
    find: 'await this.server(decider).settle(database, id)',
    replace: `({ id, outcome: 'aborted', others: undefined }) as DecisionRow`,
    caughtBy: wholeOrNothing,
  },
  {
    name: 'recovery asks the decider, which may decide afterwards',
    file: recovery,
    find: 'await this.server(decider).settle(database, id)',
    replace: `(await this.server(decider).decision(database, id)) ?? { id, outcome: 'aborted', others: undefined }`,
    caughtBy: wholeOrNothing,
  },
  { name: 'recovery commits whatever the decision', file: recovery, find: `decision.outcome === 'committed' ? 'COMMIT' : 'ROLLBACK'`, replace: `decision === undefined ? 'ROLLBACK' : 'COMMIT'`, caughtBy: wholeOrNothing },
  { name: 'recovery rolls back whatever the decision', file: recovery, find: `decision.outcome === 'committed' ? 'COMMIT' : 'ROLLBACK'`, replace: `decision === undefined ? 'COMMIT' : 'ROLLBACK'`, caughtBy: wholeOrNothing },
  {
    name: "recovery finishes the gate's holder with the others",
    file: recovery,
    find: 'await this.othersFinished(decision, name)',
    replace: 'await Promise.resolve()',
    from: 3600, caughtBy: oneMoment,
  },
  { name: 'recovery does not show its fence', file: recovery, find: 'await (fence ??= this.assertNewest(lease))', replace: 'fence ??= undefined', caughtBy: ['a holder shows its fence'] },
  { name: 'recovery goes on with an old fence', file: recovery, find: 'if (isStaleFence(error)) throw error', replace: 'if (error === undefined) throw error', from: 2250, caughtBy: ['a holder shows its fence'] },
  { name: 'recovery goes on without its lease', file: recovery, find: 'lease?.lost.throwIfAborted()', replace: '', from: 5120, caughtBy: ['a holder that has lost its lock stops'] },
  {
    name: 'recovery takes what this router is committing',
    file: recovery,
    find: 'read === undefined || inFlight.has(read.id) ? []',
    replace: 'read === undefined || inFlight === undefined ? []',
    caughtBy: { harmless: 'a living coordinator that is taken for a dead one loses that transaction, never atomicity' },
  },
  { name: 'a snapshot is trusted though the gate was lost', file: gate, find: '!released.includes(false)', replace: 'released.length > 0', from: 200, caughtBy: oneMoment },
  { name: 'a reader holds the gate of some servers only', file: gate, find: 'const servers = this.parts.servers(database)', replace: 'const servers = this.parts.servers(database).slice(0, -1)', caughtBy: oneMoment },
  { name: 'decisions are forgotten while somebody has prepared', file: forget, find: `row.outcome === 'aborted' || isOver(row)`, replace: `row.outcome === 'aborted' || isOver !== undefined`, from: 730, caughtBy: ['decisions are kept', ...wholeOrNothing] },
  { name: 'a server that does not answer has nothing prepared', file: forget, find: 'pending.get(other)?.has(id) === false', replace: 'pending.get(other)?.has(id) !== true', from: 730, caughtBy: ['decisions are kept', ...wholeOrNothing] },
  { name: 'a no is forgotten while the transaction is open', file: forget, find: 'await server.openSince()', replace: 'Number.MAX_SAFE_INTEGER', from: 210, caughtBy: ['decisions are kept', ...wholeOrNothing] },
  {
    name: 'who asks what became of a transaction takes no answer for a no',
    file: status,
    find: 'server.settle(database, id).catch(',
    replace: `server.decision(database, id).then((row) => row ?? { id, outcome: 'aborted' as Outcome, others: undefined }).catch(`,
    from: 5900, caughtBy: ['told rolled back', 'one answer for ever'],
  },
  { name: 'a lease goes on though the store has given it away', file: locks, find: `if (!isMine) this.lose('it is no longer there')`, replace: '', caughtBy: ['a lost lock is known within a lease'] },
  {
    name: 'a lease that is not renewed goes on',
    file: locks,
    find: `this.stopExpiry = clock.after(Math.max(0, until - clock.ticks()), () => this.lose('it was not renewed in time'))`,
    replace: '',
    from: 930, caughtBy: ['a lost lock is known within a lease'],
  },
  { name: 'a lease is counted on the wall clock', file: clock, find: 'Math.floor(now + suspendedMs)', replace: 'wall()', from: 1480, caughtBy: ['a lost lock is known within a lease'] },
]

/**
 * Bugs to plant into a copy of the production code: each takes one safety step away, and the simulation must find out.
 */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Planted {
  readonly name: string
  /** Below src/. */
  readonly file: string
  readonly find: string
  readonly replace: string
}

export const planted: readonly Planted[] = [
  {
    name: 'the others commit before the decision',
    file: 'transaction/commit.ts',
    find: `    await decide(decider, others, part) // from this line on it is committed
    const isFinished = await finishAll(rest, 'COMMIT', part)`,
    replace: `    const isFinished = await finishAll(rest, 'COMMIT', part)
    await decide(decider, others, part)`,
  },
  { name: 'the decider does not write its decision down', file: 'transaction/commit.ts', find: 'decision: { id, others: others.map((other) => other.server.id), isAsked } })', replace: 'decision: undefined })' },
  { name: 'one that failed to prepare is overlooked', file: 'transaction/commit.ts', find: '  if (failure === undefined) return\n  await rollbackAll(others, part)', replace: '  if (failure === undefined || others.length > 1) return\n  await rollbackAll(others, part)' },
  { name: 'what could not be decided for sure counts as rolled back', file: 'transaction/commit.ts', find: `isUnknown(error as SqlError) ? await askDecider(decider, sentAt, part) : 'aborted'`, replace: `'aborted'` },
  { name: 'what could not be decided for sure counts as committed', file: 'transaction/commit.ts', find: `    if (outcome === undefined) throw unknownOutcome(decider)\n`, replace: `    if (outcome === undefined) return\n` },
  { name: 'the client is told before all have tried to finish, and nobody finishes', file: 'transaction/recovery.ts', find: `    await server.finish(database, name, verb)\n`, replace: '' },
  { name: 'a prepared transaction passes no gate', file: 'transaction/commit.ts', find: 'other.prepare(part.name, other === gateHolder)', replace: 'other.prepare(part.name, false)' },
  { name: 'the holder of the gate is finished with the others', file: 'transaction/commit.ts', find: `    const isFinished = await finishAll(rest, 'COMMIT', part)
    if (isFinished) await finishAll([gateHolder], 'COMMIT', part)`, replace: `    await finishAll([gateHolder, ...rest], 'COMMIT', part)` },
  { name: 'the holder of the gate is finished though others are not', file: 'transaction/commit.ts', find: '    if (isFinished) await finishAll', replace: '    if (isFinished || rest.length > 0) await finishAll' },
  { name: 'recovery finishes the holder of the gate like the others', file: 'transaction/recovery.ts', find: `if (verb === 'COMMIT' && decision.others?.[0] === server.id)`, replace: `if (verb === 'COMMIT' && server.id < 0)` },
  { name: 'recovery rolls back without asking', file: 'transaction/recovery.ts', find: `const verb = decision.outcome === 'committed' ? 'COMMIT' : 'ROLLBACK'`, replace: `const verb = decision.outcome === 'committed' && decision.others === undefined ? 'COMMIT' : 'ROLLBACK'` },
  { name: 'recovery commits without asking', file: 'transaction/recovery.ts', find: `const verb = decision.outcome === 'committed' ? 'COMMIT' : 'ROLLBACK'`, replace: `const verb = 'COMMIT'` },
  { name: 'recovery asks and does not settle', file: 'transaction/recovery.ts', find: 'await this.server(decider).settle(database, id)', replace: `((await this.server(decider).decision(database, id)) ?? { id, outcome: 'aborted' as const, others: undefined })` },
  { name: 'decisions are forgotten while somebody has the transaction prepared', file: 'transaction/forget-decisions.ts', find: `row.outcome === 'aborted' || isOver(row)`, replace: `row.outcome === 'aborted' || isOver(row) || old.length > 0` },
  { name: 'decisions are never forgotten', file: 'transaction/forget-decisions.ts', find: '  if (over.length > 0) await server.forget', replace: '  if (over.length > 1000) await server.forget' },
  { name: 'a reader does not look whether the gate was held throughout', file: 'transaction/commit-gate.ts', find: 'party.over.resolve(!released.includes(false))', replace: 'party.over.resolve(true)' },
  { name: 'a reader goes on with the gates that it got', file: 'transaction/commit-gate.ts', find: 'if (holds.length === servers.length) return holds', replace: 'if (holds.length >= servers.length - 1) return holds' },
  { name: 'a reader lets go of the gate before its snapshots are open', file: 'transaction/commit-gate.ts', find: '    await this.clockLimit(party.gone())\n', replace: '' },
  { name: 'a lease lasts longer than its holder may believe', file: 'coordination/leased-locks.ts', find: '  private lastUntil(until: number): void {\n', replace: '  private lastUntil(end: number): void {\n    const until = end + 10_000\n' },
  { name: 'a lease that is gone counts as renewed', file: 'coordination/leased-locks.ts', find: `    if (!isMine) this.lose('it is no longer there')\n`, replace: '' },
]

const root = fileURLToPath(new URL('../..', import.meta.url))

/** A folder like src/ with the bug in it; the caller removes its parent. Throws unless the text to replace is there once. */
export function plant({ file, find, replace }: Planted): { readonly source: string; readonly folder: string } {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'pgherd-planted-'))
  fs.cpSync(path.join(root, 'src'), path.join(folder, 'src'), { recursive: true })
  fs.cpSync(path.join(root, 'package.json'), path.join(folder, 'package.json'))
  fs.symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'))
  const target = path.join(folder, 'src', file)
  const text = fs.readFileSync(target, 'utf8')
  if (text.split(find).length !== 2) throw new Error(`${file} does not hold this once: ${find}`)
  fs.writeFileSync(target, text.replace(find, () => replace))
  return { source: path.join(folder, 'src'), folder }
}

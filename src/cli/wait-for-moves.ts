/** Waits until moves are over, and shows how far they are. */
import { msOfAll } from '../admin/move-speed.ts'
import { limits } from '../base/limits.ts'
import type { CommandContext } from './command.ts'
import { MovesDisplay } from './moves-display.ts'
import type { ReachValues } from './reach-router.ts'
import { NoRouter, withRouter } from './reach-router.ts'
import { count } from './units.ts'
import type { WatchedMove, WatchedRow } from './watched-move.ts'
import { asWatched, isOver, watchedColumns } from './watched-move.ts'

/** Gives the exit code: 0 when all of them have come to the wanted end. A router that goes away meanwhile may come back, or be another. */
export async function waitForMoves(ids: readonly number[], wanted: 'done' | 'undone', values: ReachValues, context: CommandContext): Promise<number> {
  const { terminal, clock, onInterrupt } = context
  const display = new MovesDisplay(terminal, clock)
  const interrupted = new AbortController()
  onInterrupt(() => interrupted.abort())
  if (!terminal.isTerminal) terminal.print(`waiting for ${count(ids.length, 'move')}; they go on without this command as well`)
  let answeredAt = clock.ticks()
  let moves: WatchedMove[] = []
  while (!interrupted.signal.aborted) {
    try {
      moves = await readMoves(ids, values)
      answeredAt = clock.ticks()
      display.show(moves, leftMs(moves))
      if (moves.every(isOver)) return summarise(moves, wanted, context)
    } catch (error) {
      if (!(error instanceof NoRouter) || clock.ticks() - answeredAt > limits.routerAwayMsMax) throw error
    }
    await clock.sleep(limits.movePollMs)
  }
  terminal.print('The moves go on. pgherd status shows them, pgherd cancel undoes what is not done.')
  return 130
}

async function readMoves(ids: readonly number[], values: ReachValues): Promise<WatchedMove[]> {
  const text = `SELECT ${watchedColumns} FROM pgherd.moves WHERE id = ANY ($1::bigint[]) ORDER BY id`
  const { rows } = await withRouter(values, (client) => client.query<WatchedRow>(text, [ids]))
  return rows.map(asWatched)
}

/** As long as those that are over have taken, less what the running ones have behind them. */
function leftMs(moves: readonly WatchedMove[]): number | undefined {
  const taken = moves.filter(isOver).flatMap(({ takenMs }) => takenMs ?? [])
  if (taken.length === 0) return undefined
  const usual = taken.reduce((sum, ms) => sum + ms, 0) / taken.length
  return msOfAll(moves.filter((move) => !isOver(move)).map(({ source, target, takenMs = 0 }) => ({ source, target, ms: Math.max(0, usual - takenMs) })))
}

function summarise(moves: readonly WatchedMove[], wanted: 'done' | 'undone', { terminal }: CommandContext): number {
  const good = moves.filter(({ stage }) => stage === wanted)
  const others = moves.filter(({ stage }) => stage !== wanted)
  const held = Math.max(0, ...moves.flatMap(({ heldMs }) => heldMs ?? []))
  terminal.print(`${count(good.length, 'move')} ${wanted}${others.length === 0 ? '' : `, ${others.length} ${others[0]?.stage}`}${wanted === 'done' ? `; no write was held for longer than ${held} ms` : ''}`)
  return others.length === 0 ? 0 : 1
}

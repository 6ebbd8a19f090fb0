/** Moves while they go on: on a terminal a bar for each that is drawn again and again, elsewhere lines that say what has changed. */
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import type { Terminal } from './command.ts'
import { count, timeText } from './units.ts'
import type { WatchedMove } from './watched-move.ts'
import { isOver, nameOf, outcomeOf, shareDone, stateOf } from './watched-move.ts'

const barWidth = 20

export class MovesDisplay {
  private readonly terminal: Terminal
  private readonly clock: Clock
  private readonly told = new Map<number, { readonly stage: string; readonly at: number }>()
  private drawn = 0

  constructor(terminal: Terminal, clock: Clock) {
    this.terminal = terminal
    this.clock = clock
  }

  /** `leftMs`: of all of them together. */
  show(moves: readonly WatchedMove[], leftMs: number | undefined): void {
    this.erase()
    for (const move of moves) this.tellChange(move)
    if (!this.terminal.isTerminal) return
    const running = moves.filter((move) => !isOver(move) && move.stage !== 'waiting')
    const over = moves.filter(isOver).length
    const summary = `${over} of ${count(moves.length, 'move')}${leftMs === undefined ? '' : `, about ${timeText(leftMs)} left`}`
    const lines = [...running.map((move) => `${bar(shareDone(move))} ${stateOf(move)}  ${nameOf(move)}`), `${bar(over / moves.length)} ${summary}`]
    // What does not fit is the end of the names, and never the numbers.
    for (const line of lines) this.terminal.write(`${line.slice(0, Math.max(20, this.terminal.columns - 1))}\n`)
    this.drawn = lines.length
  }

  private erase(): void {
    if (this.drawn > 0) this.terminal.write(`\u001b[${this.drawn}A\u001b[0J`)
    this.drawn = 0
  }

  /** What is over stays on the terminal. Elsewhere each stage is a line, and one that lasts is told of now and then. */
  private tellChange(move: WatchedMove): void {
    const { isTerminal } = this.terminal
    const last = this.told.get(move.id)
    const isNew = last?.stage !== move.stage
    const isDue = last !== undefined && this.clock.ticks() - last.at >= limits.moveLineEveryMs && move.stage !== 'waiting' && !isOver(move)
    if (!isNew && (isTerminal || !isDue)) return
    if (isOver(move)) this.terminal.print(`${nameOf(move)}: ${outcomeOf(move)}`)
    else if (!isTerminal && move.stage !== 'waiting') this.terminal.print(`${nameOf(move)}: ${stateOf(move)}`)
    this.told.set(move.id, { stage: move.stage, at: this.clock.ticks() })
  }
}

function bar(share: number): string {
  const full = Math.round(share * barWidth)
  return `[${'#'.repeat(full)}${'-'.repeat(barWidth - full)}] ${String(Math.floor(share * 100)).padStart(3)}%`
}

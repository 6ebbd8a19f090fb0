/** What a person sees of moves: bars on a terminal, lines elsewhere, sizes and times. */
import { expect, test } from 'vitest'
import { realClock } from '../../src/base/clock.ts'
import { limits } from '../../src/base/limits.ts'
import type { Terminal } from '../../src/cli/command.ts'
import { MovesDisplay } from '../../src/cli/moves-display.ts'
import { bytesText, timeText } from '../../src/cli/units.ts'
import type { WatchedMove } from '../../src/cli/watched-move.ts'

function display(isTerminal: boolean) {
  let written = ''
  let now = 0
  const terminal: Terminal = { isTerminal, columns: 120, print: (line) => (written += `${line}\n`), write: (text) => (written += text), ask: () => Promise.resolve(undefined) }
  const shown = new MovesDisplay(terminal, { ...realClock, ticks: () => now })
  return {
    /** What is written by this. */
    show(moves: readonly WatchedMove[], leftMs?: number) {
      written = ''
      shown.show(moves, leftMs)
      return written
    },
    pass: (ms: number) => (now += ms),
  }
}

function move(over: Partial<WatchedMove>): WatchedMove {
  const nothing = { bytesPerSecond: undefined, lagBytes: undefined, leftMs: undefined, takenMs: undefined, heldMs: undefined, rows: undefined, error: undefined }
  return { ...nothing, id: 1, tables: 't', bucket: 7, source: 1, target: 3, stage: 'waiting', wanted: 'done', bytes: 0, bytesTotal: 4_194_304, ...over }
}

const copying = move({ stage: 'copying', bytes: 2_097_152, bytesPerSecond: 1_048_576, leftMs: 2000 })
const done = move({ stage: 'done', bytes: 4_194_304, takenMs: 5000, rows: 900, heldMs: 80 })

test('without a terminal each stage is a line, once', () => {
  const { show } = display(false)
  expect(show([move({})])).toBe('')
  const line = 'move 1: bucket 7 of t, shard 1 -> 3: copying, 2.0 MB of 4.0 MB, 1.0 MB/s, 2 s left\n'
  expect(show([copying])).toBe(line)
  expect(show([copying])).toBe('')
  expect(show([done])).toBe('move 1: bucket 7 of t, shard 1 -> 3: done in 5 s, 4.0 MB, 900 rows compared, writes held for 80 ms at most\n')
  expect(show([done])).toBe('')
})

test('a stage that lasts is told of again after a while', () => {
  const { show, pass } = display(false)
  show([copying])
  pass(limits.moveLineEveryMs - 1)
  expect(show([copying])).toBe('')
  pass(1)
  expect(show([copying])).toContain('copying')
  expect(show([copying])).toBe('')
})

test('on a terminal there is a bar for each move that goes on, drawn over the last one', () => {
  const { show } = display(true)
  const waiting = move({ id: 2, bucket: 8 })
  expect(show([copying, waiting], 9000)).toBe(
    ['[#########-----------]  45% copying, 2.0 MB of 4.0 MB, 1.0 MB/s, 2 s left  move 1: bucket 7 of t, shard 1 -> 3', '[--------------------]   0% 0 of 2 moves, about 9 s left', ''].join('\n'),
  )
  const next = show([done, waiting], 4000)
  expect(next).toBe(
    ['\u001b[2A\u001b[0Jmove 1: bucket 7 of t, shard 1 -> 3: done in 5 s, 4.0 MB, 900 rows compared, writes held for 80 ms at most', '[##########----------]  50% 1 of 2 moves, about 4 s left', ''].join('\n'),
  )
})

test('no line is wider than the terminal, where it would wrap and be left behind', () => {
  const { show } = display(true)
  const lines = show([move({ ...copying, error: 'x'.repeat(300) })]).split('\n')
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(120)
})

test('what is paused, undone or held up says so', () => {
  const { show } = display(false)
  expect(show([move({ stage: 'catching-up', wanted: 'paused', lagBytes: 10 })])).toContain('catching-up (paused), 0 bytes, lag 10 bytes')
  expect(show([move({ id: 2, stage: 'copying', wanted: 'paused' })])).toContain('copying (to be paused)')
  expect(show([move({ id: 3, stage: 'copying', error: 'no answer' })])).toContain('held up: no answer')
  expect(show([move({ id: 4, stage: 'undone', takenMs: 1000, error: 'rows cannot be told apart' })])).toContain('undone in 1 s: rows cannot be told apart')
  expect(show([move({ id: 5, bucket: undefined, stage: 'copying' })])).toContain('move 5: t, shard 1 -> 3')
})

test.each([
  [0, '0 bytes'], [1023, '1023 bytes'], [1024, '1.0 kB'], [150 * 1024, '150 kB'], [3.5 * 1024 ** 3, '3.5 GB'], [2 ** 60, '1024 PB'],
])('%d bytes are %s', (bytes, text) => {
  expect(bytesText(bytes)).toBe(text)
})

test.each([
  [-5, '0 s'], [400, '0 s'], [119_400, '119 s'], [120_000, '2 min 0 s'], [7_199_000, '119 min 59 s'], [7_260_000, '2 h 1 min'],
])('%d ms are %s', (ms, text) => {
  expect(timeText(ms)).toBe(text)
})

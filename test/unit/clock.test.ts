import { expect, test } from 'vitest'
import { countOn, realClock } from '../../src/base/clock.ts'

/** A wall clock and a steady one, set by hand. */
function clocks(): { at: (wall: number, steady: number) => void; ticks: () => number } {
  let now = { wall: 1_800_000_000_000, steady: 5_000 }
  const ticks = countOn(
    () => now.wall,
    () => now.steady,
  )
  const start = now
  return { at: (wall, steady) => (now = { wall: start.wall + wall, steady: start.steady + steady }), ticks }
}

test('time goes on while the wall clock is put back, also in many small steps', () => {
  const { at, ticks } = clocks()
  const began = ticks()
  at(-3_600_000, 1_000)
  expect(ticks() - began).toBe(1_000)
  for (let i = 1; i <= 1_000; i++) {
    at(-3_600_000 - 50 * i, 1_000 + i)
    expect(ticks() - began).toBe(1_000 + i)
  }
})

test('the time counts that the machine was suspended', () => {
  const { at, ticks } = clocks()
  const began = ticks()
  at(60_010, 10)
  expect(ticks() - began).toBe(60_010)
  at(60_020, 20)
  expect(ticks() - began).toBe(60_020)
})

test('a wall clock that runs a little faster does not add up call by call', () => {
  const { at, ticks } = clocks()
  const began = ticks()
  for (let ms = 0; ms <= 10_000; ms += 0.5) {
    at(Math.floor(ms * 1.0005), ms)
    ticks()
  }
  expect(ticks() - began).toBe(10_000)
})

test('whole milliseconds, as the time passes', async () => {
  const began = realClock.ticks()
  await realClock.sleep(20)
  const took = realClock.ticks() - began
  expect(Number.isInteger(took)).toBe(true)
  expect(took).toBeGreaterThanOrEqual(19)
})

/** Estimates of how long moves take, from those that were seen. */
import { expect, test } from 'vitest'
import { msOf, msOfAll, speedOf } from '../../src/admin/move-speed.ts'
import { limits } from '../../src/base/limits.ts'

test('before any move was seen it is a guess', () => {
  expect(speedOf([])).toEqual({ fixedMs: limits.moveGuessMs, bytesPerSecond: limits.moveGuessBytesPerSecond })
})

test('moves of different sizes tell the fixed time and the rate', () => {
  const samples = [1, 2, 5, 10].map((megabytes) => ({ bytes: megabytes * 1e6, ms: 1500 + megabytes * 200 }))
  const speed = speedOf(samples)
  expect(speed.fixedMs).toBeCloseTo(1500)
  expect(speed.bytesPerSecond).toBeCloseTo(5e6)
  expect(msOf(20e6, speed)).toBeCloseTo(5500)
})

test('moves of one size tell their time, and never a negative one', () => {
  const alike = speedOf([{ bytes: 1e6, ms: 900 }, { bytes: 1.01e6, ms: 1100 }])
  expect(msOf(1.005e6, alike)).toBeCloseTo(1000)
  expect(speedOf([{ bytes: 1e9, ms: 10 }]).fixedMs).toBe(0)
})

test('the larger being the quicker by chance does not make the rate negative', () => {
  const speed = speedOf([{ bytes: 1e6, ms: 2000 }, { bytes: 9e6, ms: 1500 }])
  expect(speed.bytesPerSecond).toBeGreaterThan(0)
  expect(msOf(5e6, speed)).toBeGreaterThan(0)
})

test('moves that share a shard wait for each other, others go at once', () => {
  const move = (source: number, target: number, ms: number) => ({ source, target, ms })
  expect(msOfAll([])).toBe(0)
  expect(msOfAll([move(1, 3, 100), move(2, 3, 200), move(1, 3, 50)])).toBe(350)
  expect(msOfAll([move(1, 2, 100), move(3, 4, 250)])).toBe(250)
  expect(msOfAll([move(1, 2, 100), move(2, 3, 100), move(4, 5, 20)])).toBe(200)
  expect(msOfAll([move(1, 2, 0), move(1, 2, 0)])).toBe(0)
})

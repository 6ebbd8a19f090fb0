/** What a lock promises, wherever its leases are kept. Each test takes a name of its own. */
import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { describe, expect, test } from 'vitest'
import type { Clock } from '../../../src/base/clock.ts'
import { realClock } from '../../../src/base/clock.ts'
import { fenced, staleFence } from '../../../src/coordination/fences.ts'
import type { Lease, Locks } from '../../../src/coordination/locks.ts'
import { until } from '../../crash/support/until.ts'

/** Short, since tests wait for it, and long enough for a busy machine to renew in time. */
export const leaseMs = 1_500

export interface LocksUnderTest {
  /** One more that may hold locks. */
  party(clock?: Clock): Promise<Locks>
  /** All leases are forgotten. */
  wipe(): Promise<void>
  /** A connection to the cluster's database. */
  catalog(): Promise<pg.Client>
}

/** A process that is paused: its timers do not run. */
export const pausedClock: Clock = { ...realClock, every: () => () => undefined, after: () => () => undefined }

export const newName = () => `test ${randomBytes(6).toString('hex')}`

export async function mustAcquire(locks: Locks, name: string): Promise<Lease> {
  const lease = await locks.acquire(name)
  if (lease === undefined) throw new Error(`${name} is held by another`)
  return lease
}

/** Tries until nobody else has it. */
export async function acquireWhenFree(locks: Locks, name: string): Promise<Lease> {
  let lease: Lease | undefined
  await until(`${name} is free`, async () => (lease = await locks.acquire(name)) !== undefined)
  return lease as unknown as Lease
}

export function locksContract(title: string, under: () => LocksUnderTest): void {
  describe(title, () => {
    test('one holder at a time; given back, it is the next one\'s, with a larger fence', async () => {
      const name = newName()
      const [a, b] = [await under().party(), await under().party()]
      const first = await mustAcquire(a, name)
      expect(await b.acquire(name)).toBeUndefined()
      expect(await a.acquire(name), 'a second time by the same party').toBeUndefined()
      expect(first.lost.aborted).toBe(false)
      await first.release()
      expect(first.lost.aborted).toBe(true)
      const second = await mustAcquire(b, name)
      expect(second.fence).toBeGreaterThan(first.fence)
      expect(second.token).not.toBe(first.token)
      await second.release()
    })

    test('of many who ask at once one gets it', async () => {
      const name = newName()
      const parties = await Promise.all(Array.from({ length: 8 }, () => under().party()))
      const leases = (await Promise.all(parties.map((party) => party.acquire(name)))).filter((lease) => lease !== undefined)
      expect(leases).toHaveLength(1)
      await leases[0]?.release()
    })

    test('locks of different names know nothing of each other', async () => {
      const party = await under().party()
      const [one, other] = [await mustAcquire(party, newName()), await mustAcquire(party, newName())]
      await one.release()
      expect(await other.renew()).toBe(true)
      await other.release()
    })

    test('it is renewed by itself, for longer than a lease', async () => {
      const name = newName()
      const [a, b] = [await under().party(), await under().party()]
      const lease = await mustAcquire(a, name)
      for (const end = performance.now() + 2.5 * leaseMs; performance.now() < end; ) {
        expect(await b.acquire(name)).toBeUndefined()
        await realClock.sleep(20) // timers run
      }
      expect(lease.lost.aborted).toBe(false)
      await lease.release()
    })

    test('released, it is not renewed, and another\'s is not given back', async () => {
      const name = newName()
      const [a, b, c] = [await under().party(), await under().party(), await under().party()]
      const first = await mustAcquire(a, name)
      await first.release()
      const second = await mustAcquire(b, name)
      expect(await first.renew()).toBe(false)
      await first.release()
      expect(await c.acquire(name)).toBeUndefined()
      expect(await second.renew()).toBe(true)
      await second.release()
    })

    test('close gives back what is held', async () => {
      const name = newName()
      const [a, b] = [await under().party(), await under().party()]
      const lease = await mustAcquire(a, name)
      await a.close()
      expect(lease.lost.aborted).toBe(true)
      // Closing the store of a process closes it for all of the process.
      await (await acquireWhenFree(b, name)).release()
    })

    test('a paused holder loses it to another, cannot renew it, and takes nothing from the other', async () => {
      const name = newName()
      const [paused, b, c] = [await under().party(pausedClock), await under().party(), await under().party()]
      const old = await mustAcquire(paused, name)
      const taken = await acquireWhenFree(b, name)
      expect(taken.fence).toBeGreaterThan(old.fence)
      expect(await old.renew()).toBe(false)
      expect(old.lost.aborted).toBe(true)
      await old.release()
      expect(await c.acquire(name)).toBeUndefined()
      await taken.release()
    })

    test('what a paused holder writes after that is refused; what the new one writes is not', async () => {
      const name = newName()
      const [paused, b] = [await under().party(pausedClock), await under().party()]
      const old = await mustAcquire(paused, name)
      const client = await under().catalog()
      const write = (lease: Lease) => fenced(client, lease, () => client.query('INSERT INTO written VALUES ($1, $2)', [name, lease.fence]))
      await write(old)
      const taken = await acquireWhenFree(b, name)
      await expect(write(old)).rejects.toMatchObject({ code: staleFence })
      await write(taken)
      const { rows } = await client.query('SELECT fence::integer FROM written WHERE name = $1 ORDER BY fence', [name])
      expect(rows).toEqual([{ fence: old.fence }, { fence: taken.fence }])
      await taken.release()
    })

    test('while a fenced transaction is open nobody takes the lock; one that is paused in it is ended', async () => {
      const name = newName()
      const [paused, b] = [await under().party(pausedClock), await under().party()]
      const old = await mustAcquire(paused, name)
      const client = await under().catalog()
      let taken: Lease | undefined
      const write = fenced(client, old, async () => {
        await client.query('INSERT INTO written VALUES ($1, $2)', [name, old.fence])
        // Within this wait the transaction is idle. Whoever takes the lock has waited for its end.
        await until('another has the lock', async () => (taken = await b.acquire(name).catch(() => undefined)) !== undefined)
      })
      await expect(write).rejects.toThrow()
      expect(taken?.fence).toBeGreaterThan(old.fence)
      const { rows } = await (await under().catalog()).query('SELECT FROM written WHERE name = $1', [name])
      expect(rows).toEqual([])
      await taken?.release()
    })

    test('when all leases are forgotten the holder is told, and fences go on growing', async () => {
      const name = newName()
      const [a, b] = [await under().party(), await under().party()]
      const lease = await mustAcquire(a, name)
      const began = performance.now()
      await under().wipe()
      const next = await acquireWhenFree(b, name)
      expect(next.fence).toBeGreaterThan(lease.fence)
      await until('the holder is told', () => lease.lost.aborted)
      expect(performance.now() - began, 'ms until it was told').toBeLessThan(leaseMs + 500)
      expect(next.lost.aborted).toBe(false)
      await next.release()
    })

    test('the catalog names the holder, and nobody once it was given back', async () => {
      const name = newName()
      const lease = await mustAcquire(await under().party(), name)
      const client = await under().catalog()
      const row = async () => (await client.query('SELECT holder, since IS NULL AS free, fence::integer FROM pgherd.lock WHERE name = $1', [name])).rows[0]
      expect(await row()).toEqual({ holder: 'a router', free: false, fence: lease.fence })
      await lease.release()
      expect(await row()).toEqual({ holder: null, free: true, fence: lease.fence })
    })
  })
}

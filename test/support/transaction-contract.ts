/** What a server promises to commit and recovery: PostgreSQL over SQL, and the simulation's stand-in alike. */
import { describe, expect, test } from 'vitest'
import { limits } from '../../src/base/limits.ts'
import type { Branch, Decision } from '../../src/transaction/branch.ts'
import { preparedName } from '../../src/transaction/branch.ts'
import type { GateServer } from '../../src/transaction/commit-gate.ts'
import type { TransactionServer } from '../../src/transaction/transaction-server.ts'

export interface ServerUnderTest {
  readonly server: TransactionServer
  readonly gate: GateServer
  readonly database: string
  /** A transaction on a connection of its own that has written a row. */
  begin(id: string): Promise<OpenBranch>
  /** Whether what it wrote is there. */
  isVisible(id: string): Promise<boolean>
  sleep(ms: number): Promise<void>
}

export interface OpenBranch {
  readonly branch: Branch
  /** What happens when the connection breaks. */
  rollback(): Promise<void>
  /** A statement has failed in it. */
  fail(): Promise<void>
}

const cluster = 'contract'
let made = 0
const newId = () => `${process.pid.toString(16)}${(++made).toString(16).padStart(6, '0')}`
const deciding = (id: string, others: readonly number[] = [7]): Decision => ({ id, others, isAsked: false })
const name = (id: string) => preparedName(cluster, id, 1)

export function transactionContract(title: string, under: () => ServerUnderTest): void {
  describe(title, () => {
    const settle = (id: string) => under().server.settle(under().database, id)
    const decision = (id: string) => under().server.decision(under().database, id)
    const names = async (id: string, ageMs = 0) => (await under().server.prepared(name(id), ageMs)).map((one) => one.name)

    test('a commit with a decision shows both', async () => {
      const id = newId()
      const { branch } = await under().begin(id)
      expect(await decision(id)).toBeUndefined()
      await branch.commit({ throughGate: false, decision: deciding(id, [2, 3]) })
      expect(await decision(id)).toEqual({ id, outcome: 'committed', others: [2, 3] })
      expect(await settle(id)).toMatchObject({ outcome: 'committed', others: [2, 3] })
      expect(await under().isVisible(id)).toBe(true)
    })

    test('what is settled can never be committed any more', async () => {
      const id = newId()
      const { branch, rollback } = await under().begin(id)
      expect(await settle(id)).toMatchObject({ id, outcome: 'aborted' })
      expect(await settle(id)).toMatchObject({ id, outcome: 'aborted' })
      await expect(branch.commit({ throughGate: false, decision: deciding(id) })).rejects.toMatchObject({ code: '23505', fields: { schema: 'pgherd', table: 'decision' } })
      await rollback()
      expect(await decision(id)).toMatchObject({ outcome: 'aborted' })
      expect(await under().isVisible(id)).toBe(false)
    })

    test('a commit through the gate waits for who holds it', async () => {
      const id = newId()
      const { branch } = await under().begin(id)
      const hold = await under().gate.hold(under().database)
      const committing = branch.commit({ throughGate: true, decision: deciding(id) })
      await under().sleep(30)
      expect(await under().isVisible(id)).toBe(false)
      expect(await decision(id)).toBeUndefined()
      expect(await hold?.release()).toBe(true)
      await committing
      expect(await settle(id)).toMatchObject({ outcome: 'committed' })
      expect(await under().isVisible(id)).toBe(true)
    })

    test('a prepared transaction is there until it is finished, and not visible before', async () => {
      const id = newId()
      const { branch } = await under().begin(id)
      await branch.prepare(name(id), false)
      expect(await names(id)).toEqual([name(id)])
      expect(await names(id, 60_000)).toEqual([])
      expect(await under().isVisible(id)).toBe(false)
      await branch.finish(name(id), 'COMMIT')
      expect(await names(id)).toEqual([])
      expect(await under().isVisible(id)).toBe(true)
      await expect(branch.finish(name(id), 'COMMIT')).rejects.toMatchObject({ code: '42704' })
      await under().server.finish(under().database, name(id), 'COMMIT') // nothing happens
    })

    test('anybody may roll a prepared transaction back', async () => {
      const id = newId()
      const { branch } = await under().begin(id)
      await branch.prepare(name(id), true)
      await under().server.finish(under().database, name(id), 'ROLLBACK')
      expect(await names(id)).toEqual([])
      expect(await under().isVisible(id)).toBe(false)
      const hold = await under().gate.hold(under().database)
      expect(await hold?.release(), 'the gate is free').toBe(true)
    })

    test('who has prepared through the gate keeps it until the end; readers share it', async () => {
      const id = newId()
      const { branch } = await under().begin(id)
      await branch.prepare(name(id), true)
      expect(await under().gate.hold(under().database)).toBeUndefined()
      await branch.finish(name(id), 'COMMIT')
      const holds = await Promise.all([under().gate.hold(under().database), under().gate.hold(under().database)])
      expect(await Promise.all(holds.map((hold) => hold?.release()))).toEqual([true, true])
    })

    test('a hold that is left alone is lost', async () => {
      const hold = await under().gate.hold(under().database)
      await under().sleep(limits.gateHoldMsMax + 500)
      expect(await hold?.release()).toBe(false)
    })

    test('a transaction that has failed on the server does not commit', async () => {
      const [first, second] = [newId(), newId()]
      const [one, other] = [await under().begin(first), await under().begin(second)]
      await one.fail()
      await other.fail()
      await expect(one.branch.commit({ throughGate: false, decision: undefined })).rejects.toMatchObject({ code: '40000' })
      await expect(other.branch.prepare(name(second), false)).rejects.toMatchObject({ code: '40000' })
      expect(await under().isVisible(first)).toBe(false)
      expect(await names(second)).toEqual([])
    })

    test('old decisions: of a yes as soon as it is old, of a no not while a transaction is open that began before it', async () => {
      const [yes, no] = [newId(), newId()]
      const { branch } = await under().begin(yes)
      await branch.commit({ throughGate: false, decision: deciding(yes) })
      const open = await under().begin(newId())
      await settle(no)
      await under().sleep(20)
      const old = async (ageMs: number) => {
        const abortedBefore = await under().server.openSince()
        return (await under().server.oldDecisions(under().database, { ageMs, askedAgeMs: ageMs, abortedBefore })).map(({ id }) => id)
      }
      expect(await old(60_000)).not.toContain(yes)
      expect(await old(1)).toContain(yes)
      expect(await old(1)).not.toContain(no)
      await open.rollback()
      expect(await old(1)).toContain(no)
      await under().server.forget(under().database, [yes, no])
      expect(await decision(yes)).toBeUndefined()
      expect(await decision(no)).toBeUndefined()
    })

    test('of those whose id a client knows the longer age counts', async () => {
      const id = newId()
      const { branch } = await under().begin(id)
      await branch.commit({ throughGate: false, decision: { id, others: [], isAsked: true } })
      await under().sleep(20)
      const old = async (askedAgeMs: number) => (await under().server.oldDecisions(under().database, { ageMs: 1, askedAgeMs, abortedBefore: 0 })).map((row) => row.id)
      expect(await old(60_000)).not.toContain(id)
      expect(await old(1)).toContain(id)
    })

    test('it says which databases it has', async () => {
      expect(await under().server.databases()).toContain(under().database)
    })
  })
}

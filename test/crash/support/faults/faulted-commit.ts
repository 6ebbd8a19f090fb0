/**
 * One transaction whose commit fails at one message, and everything that must be true of it afterwards: its client is told the truth, it is
 * on all of its servers or on none, and it leaves neither a prepared transaction nor a lock behind.
 */
import type pg from 'pg'
import { catalogId } from '../../../../src/catalog/server-address.ts'
import type { ArmedFault, Action, When } from '../../../support/proxy/fault.ts'
import type { Recording } from '../../../support/proxy/fault-proxy.ts'
import { until } from '../until.ts'
import type { CommitPoint } from './commit-points.ts'
import { counts, nameOf } from './commit-points.ts'
import type { FaultCluster } from './fault-cluster.ts'
import { connect } from './fault-cluster.ts'
import type { Transfer } from './transfers.ts'
import { assertUnlocked, seenOn, write } from './transfers.ts'

export interface FaultCase {
  readonly point: CommitPoint
  readonly when: When
  /** away: the connection is cut, and the server takes no other until the client has been told. */
  readonly action: Action | 'away'
  /** The router that commits. */
  readonly port: number
  /** Another router runs: the first hangs until that one has done what it can. */
  readonly hasSecond: boolean
}

type Answer = 'COMMIT' | { readonly code: string; readonly message: string }

/** The client's connection ended without an answer. */
const noCode = 'no code'
const settledMsMax = 45_000

/** What is wrong; empty when nothing is. */
export async function faultedCommit(cluster: FaultCluster, transfer: Transfer, fault: FaultCase): Promise<string[]> {
  const what = `${fault.action} ${fault.when} ${nameOf(fault.point)}`
  try {
    return (await run(cluster, transfer, fault)).map((wrong) => `${what}: ${wrong}`)
  } catch (error) {
    return [`${what}: ${(error as Error).message}`]
  }
}

async function run(cluster: FaultCluster, transfer: Transfer, { point, when, action, port, hasSecond }: FaultCase): Promise<string[]> {
  const client = await connect(port)
  const proxy = cluster.proxy(point.server)
  const recordings = cluster.proxies.map((one) => one.record(transfer.marker))
  let isCommitting = false
  const armed = proxy.arm({
    matches: (message) => isCommitting && counts(message),
    nth: point.nth,
    marker: transfer.marker,
    when,
    action: action === 'away' ? 'hold' : action,
  })
  try {
    await write(client, transfer)
    isCommitting = true
    const answer = client.query('COMMIT').then(({ command }): Answer => (command === 'COMMIT' ? 'COMMIT' : { code: command, message: 'without an error' }), (error: pg.DatabaseError): Answer => ({ code: error.code ?? noCode, message: error.message }))
    await within('the message comes', Promise.race([armed.reached, answer]))
    if (!armed.hasHappened) return [`the message did not come: ${textOf(await answer)}`]
    if (action === 'away') proxy.goAway()
    if (hasSecond && (action === 'hold' || action === 'blackhole')) await otherRouterHasSettled(cluster, recordings, isAskedAt(point, when))
    end(armed, action)
    const told = await within('the client is told', answer)
    proxy.comeBack()
    return await judge(cluster, transfer, { told, client, names: preparedBy(recordings), isAway: action === 'away', mayEnd: transfer.scenario.hasTemporary && point.server === catalogId })
  } finally {
    proxy.comeBack()
    proxy.disarm(armed)
    armed.cut()
    for (const recording of recordings) recording.stop()
    await client.end().catch(() => undefined)
  }
}

function end(armed: ArmedFault, action: FaultCase['action']): void {
  if (action === 'hold') armed.release()
  if (action === 'blackhole') armed.cut()
}

const prepareText = /PREPARE TRANSACTION '([^']+)'/

/** Whether its PREPARE is kept from this one server. */
const isAskedAt = ({ message, server }: CommitPoint, when: When) => (when === 'before' && prepareText.test(message.text) ? server : undefined)

function preparedBy(recordings: readonly Recording[], except?: number): string[] {
  const texts = recordings.flatMap(({ messages }, server) => (server === except ? [] : messages.map(({ text }) => text)))
  return [...new Set(texts.flatMap((text) => prepareText.exec(text)?.[1] ?? []))]
}

/** What has been prepared anywhere is decided, by the other router where the first has not, and finished. */
async function otherRouterHasSettled(cluster: FaultCluster, recordings: readonly Recording[], keptFrom: number | undefined): Promise<void> {
  const [name] = preparedBy(recordings, keptFrom)
  if (name === undefined) return
  const [, , id = '', decider] = name.split(':')
  await until(
    `another router settles ${name}`,
    async () => {
      const decided = await cluster.ask(Number(decider), `SELECT FROM pgherd.decision WHERE id = '${id}'`)
      return decided.length === 1 && (await left(cluster, [name])).length === 0
    },
    settledMsMax,
  )
}

async function left(cluster: FaultCluster, names: readonly string[]): Promise<string[]> {
  const found = await Promise.all(cluster.servers.map(({ id }) => cluster.ask<{ gid: string }>(id, 'SELECT gid FROM pg_prepared_xacts')))
  return found.flat().map(({ gid }) => gid).filter((gid) => names.includes(gid))
}

interface Told {
  readonly told: Answer
  readonly client: pg.Client
  readonly names: readonly string[]
  readonly isAway: boolean
  /** The session's own connection to the catalog, with its temporary tables, is what the fault is on: the session ends with it. */
  readonly mayEnd: boolean
}

const textOf = (answer: Answer) => (answer === 'COMMIT' ? answer : `${answer.code} ${answer.message}`)

async function judge(cluster: FaultCluster, transfer: Transfer, { told, client, names, isAway, mayEnd }: Told): Promise<string[]> {
  const all = transfer.scenario.shards.length
  const text = textOf(told)
  const isUnknown = told !== 'COMMIT' && (told.code === '08007' || told.code === noCode)
  const wrong: string[] = []
  const atOnce = await seenOn(cluster, transfer)
  await until('nothing is left prepared', async () => (await left(cluster, names)).length === 0, settledMsMax)
  await until('its rows are free', async () => {
    await assertUnlocked(cluster, transfer)
    return true
  }, settledMsMax)
  const seen = await seenOn(cluster, transfer)
  if (seen !== 0 && seen !== all) wrong.push(`on ${seen} of ${all} servers`)
  if (isUnknown && !isAway) wrong.push(`the client need not have been left in doubt (${text})`)
  if (!isUnknown && seen !== (told === 'COMMIT' ? all : 0)) wrong.push(`the client was told ${text}, and it is on ${seen} of ${all} servers`)
  // A server that is away cannot be finished before the client is told.
  if (told === 'COMMIT' && atOnce !== all && !isAway) wrong.push(`the client was told before it could be seen: on ${atOnce} of ${all} servers`)
  const goesOn = await client.query<{ one: number }>('SELECT 1 AS one').then(({ rows }) => rows[0]?.one === 1, () => false)
  if (!goesOn && !mayEnd) wrong.push('the session is of no use any more')
  return wrong
}

async function within<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => (timer = setTimeout(() => reject(new Error(`not within ${settledMsMax} ms: ${what}`)), settledMsMax)))
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

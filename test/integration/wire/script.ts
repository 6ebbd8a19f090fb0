/**
 * Wire scripts: conversations with a server, message by message, which the router and a plain PostgreSQL must answer alike.
 *
 *   # A title
 *   ! a reason                    why the router is known to answer otherwise, if it is
 *   > Parse "", "SELECT 1"        what the client sends; it goes out with the next line, up to a Query, Sync or FunctionCall
 *   > Flush until ParseComplete   or up to a line that says what to wait for
 *   < ParseComplete               what the server answers, made by running the script on PostgreSQL with WIRE_UPDATE=1
 *
 * Each title is a scenario with a connection of its own, logged in unless its first message is one of the start-up exchange.
 * `until close` waits for the end of the connection, `until byte` for the answer to an encryption request, `until nothing`
 * does not wait. A Query or Sync that ends with `then` goes out with the next line; with `skipped` no answer is expected.
 */
import { RawClient } from '../hostile/raw-client.ts'
import { backendLine, backendType } from './backend-frames.ts'
import { frontendFrame } from './frontend-frames.ts'

export interface Packet {
  /** As they stand in the file, comments included. */
  readonly sends: readonly string[]
  readonly answers: readonly string[]
}

export interface Scenario {
  readonly title: string
  /** Why the router's answers are known to be others. */
  readonly difference: string | undefined
  readonly packets: readonly Packet[]
}

export function parseScript(text: string): Scenario[] {
  const scenarios: { title: string; difference: string | undefined; packets: { sends: string[]; answers: string[] }[] }[] = []
  for (const line of text.split('\n')) {
    const last = scenarios.at(-1)
    if (line.startsWith('# ')) scenarios.push({ title: line.slice(2), difference: undefined, packets: [] })
    else if (line.startsWith('! ') && last !== undefined) last.difference = line.slice(2)
    else if (line.startsWith('> ')) {
      const packet = last?.packets.at(-1)
      if (packet === undefined || packet.answers.length > 0 || isEnd(packet.sends)) last?.packets.push({ sends: [line.slice(2)], answers: [] })
      else packet.sends.push(line.slice(2))
    } else if (line.startsWith('< ')) last?.packets.at(-1)?.answers.push(line.slice(2))
    else if (line.trim() !== '') throw new Error(`not a line of a wire script: ${line}`)
  }
  return scenarios
}

export function printScript(scenarios: readonly Scenario[]): string {
  const blocks = scenarios.map(({ title, difference, packets }) => {
    const lines = packets.flatMap(({ sends, answers }) => [...sends.map((line) => `> ${line}`), ...answers.map((line) => `< ${line}`)])
    return [`# ${title}`, ...(difference === undefined ? [] : [`! ${difference}`]), ...lines].join('\n')
  })
  return `${blocks.join('\n\n')}\n`
}

const untilOf = (line: string): string | undefined => / until (\w+)$/.exec(line)?.[1]
const messageOf = (line: string): string => line.replace(/ (until \w+|then|skipped)$/, '')

const asksForReady = /^(Query|Sync|FunctionCall|StartUp)\b/
const startsUp = /^(StartUp|SSLRequest|GSSENCRequest)\b/

/** A packet ends where one waits. */
function isEnd(sends: readonly string[]): boolean {
  const last = sends.at(-1) ?? ''
  return untilOf(last) !== undefined || (asksForReady.test(last) && !/ (then|skipped)$/.test(last))
}

/** The scenario with the answers that this server gives. */
export async function runScenario(scenario: Scenario, port: number, database: string): Promise<Scenario> {
  const own = startsUp.test(scenario.packets[0]?.sends[0] ?? '')
  const client = own ? await RawClient.open(port) : await RawClient.logIn(port, database)
  const packets: Packet[] = []
  try {
    for (const { sends } of scenario.packets) packets.push({ sends, answers: await converse(client, sends, database) })
  } finally {
    client.socket.destroy()
  }
  return { ...scenario, packets }
}

async function converse(client: RawClient, sends: readonly string[], database: string): Promise<string[]> {
  client.send(...sends.map((line) => frontendFrame(messageOf(line).replaceAll('$DATABASE', database))))
  const until = sends.map(untilOf).find((one) => one !== undefined)
  if (until === 'nothing') return []
  if (until === 'byte') return [await client.untilByte()]
  if (until === 'close') await client.untilClosed()
  else if (until !== undefined) await client.until(() => client.closed || client.answers.some(({ type }) => type === backendType(until)))
  else {
    const ready = sends.filter((line) => asksForReady.test(line) && !line.endsWith(' skipped')).length
    await client.until(() => client.closed || client.answers.filter(({ type }) => type === 'Z').length >= ready)
  }
  const answers = client.answers.splice(0).map(backendLine)
  return client.closed ? [...answers, 'closed'] : answers
}

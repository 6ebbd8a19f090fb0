/** The messages of a commit, each a place where it can fail, found by looking at one that does not. */
import type pg from 'pg'
import type { Message } from '../../../support/proxy/read-message.ts'
import type { FaultCluster } from './fault-cluster.ts'
import type { Transfer } from './transfers.ts'
import { write } from './transfers.ts'

export interface CommitPoint {
  readonly server: number
  /** Which of the messages that count on its connection: 1 is the first after the client's COMMIT. */
  readonly nth: number
  readonly message: Message
}

const counted: Readonly<Record<Message['direction'], string>> = { frontend: 'QPBES', backend: 'CEZ' }

/** Rows, their descriptions and the like are not steps of a commit. */
export const counts = ({ direction, type }: Message) => counted[direction].includes(type)

export async function findCommitPoints(cluster: FaultCluster, client: pg.Client, transfer: Transfer): Promise<CommitPoint[]> {
  const recordings = cluster.proxies.map((proxy) => proxy.record(transfer.marker))
  await write(client, transfer)
  const before = recordings.map(({ messages }) => messages.length)
  await client.query('COMMIT')
  return recordings.flatMap((recording, server) => {
    recording.stop()
    return recording.messages
      .slice(before[server])
      .filter(counts)
      .map((message, i) => ({ server, nth: i + 1, message }))
  })
}

/** The same for each transaction, but for its id. */
export function nameOf({ server, message }: CommitPoint): string {
  const text = message.text.replace(/'[^']*'/g, "'...'").replaceAll('\u0000', '')
  return `server ${server}: ${message.type} ${message.type === 'Z' ? '' : text}`.trim()
}

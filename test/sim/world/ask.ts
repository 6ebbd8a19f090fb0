import { connectionLost } from '../../../src/base/errors.ts'
import type { Endpoint, Network, Peer } from './network.ts'
import type { Process } from './process.ts'

export interface Question {
  readonly network: Network
  readonly client: Process
  readonly peer: Peer
  readonly label: string
  readonly limitMs: number
}

/** One request on a connection of its own. Throws 08006 when no answer comes in time; what was asked may be done all the same. */
export async function ask<E extends Endpoint, T>({ network, client, peer, label, limitMs }: Question, accept: () => E, work: (endpoint: E) => Promise<T>): Promise<T> {
  const connection = network.connect(client, peer, accept)
  let stop: () => void = () => undefined
  const late = new Promise<never>((_, reject) => {
    stop = client.clock.after(limitMs, () => {
      connection.close()
      reject(connectionLost(peer.process.name, 'it does not answer'))
    })
  })
  try {
    return await Promise.race([connection.request(label, work), late])
  } finally {
    stop()
    connection.leave()
  }
}

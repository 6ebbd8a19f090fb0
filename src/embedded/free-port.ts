import { randomInt } from 'node:crypto'
import net from 'node:net'

/** Systems give outgoing connections ports above these: one of those may be taken before the server has started. */
const lowest = 10_000
const highest = 32_000
const triesMax = 200

/** A port of 127.0.0.1 that nobody listens on now, and that no outgoing connection will get. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < triesMax; tries++) {
    const port = randomInt(lowest, highest)
    if (await canListen(port)) return port
  }
  throw new Error(`no free port between ${lowest} and ${highest}`)
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = net.createServer()
    server.once('error', (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' || error.code === 'EACCES' ? resolve(false) : reject(error)))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

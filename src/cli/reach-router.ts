/** How commands find a running router: by its address, or by the data directory of an embedded cluster. */
import pg from 'pg'
import { readRouterFile } from '../embedded/router-file.ts'
import { wholeNumber } from './command.ts'

export const reachSynopsis = '[--data-dir DIR | --host 127.0.0.1 --port 6432] [--user postgres] [--database postgres]'

export const reachOptions = {
  'data-dir': { type: 'string' },
  host: { type: 'string' },
  port: { type: 'string' },
  user: { type: 'string', default: 'postgres' },
  database: { type: 'string', default: 'postgres' },
} as const

export interface ReachValues {
  readonly 'data-dir'?: string | undefined
  readonly host?: string | undefined
  readonly port?: string | undefined
  readonly user: string
  readonly database: string
}

/** None answers, or it went away in the middle of the work. */
export class NoRouter extends Error {}

/** Throws NoRouter when none answers, or what the work throws. */
export async function withRouter<T>(values: ReachValues, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const { host, port } = addressOf(values)
  const client = new pg.Client({ host, port, user: values.user, database: values.database, application_name: 'pgherd command' })
  client.on('error', () => undefined) // what waits on the client is told
  await client.connect().catch((error: Error & { code?: string }) => {
    if (error.code?.length === 5) throw error // a router has answered
    throw new NoRouter(`no router answers on ${host}:${port} (${error.message})`)
  })
  try {
    return await work(client)
  } catch (error) {
    const { code = '', message } = error as Error & { code?: string }
    throw isLost(code, message) ? new NoRouter(`the router on ${host}:${port} went away: ${message}`) : error
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** By the router, which says so when it stops, or by the system. */
const isLost = (code: string, message: string) => code.startsWith('57P') || /^E[A-Z]+$/.test(code) || /Connection terminated/.test(message)

function addressOf(values: ReachValues): { host: string; port: number } {
  const folder = values['data-dir']
  if (folder === undefined) return { host: values.host ?? '127.0.0.1', port: wholeNumber('--port', values.port ?? '6432', 1, 65535) }
  if (values.host !== undefined || values.port !== undefined) throw new Error('--data-dir finds the router itself: leave --host and --port out')
  return readRouterFile(folder)
}

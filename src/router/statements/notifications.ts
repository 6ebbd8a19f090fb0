/** LISTEN and NOTIFY go through the catalog: so they hold for the whole cluster, whichever router a client is on. */
import { runOnServer } from '../../executor/run-on-server.ts'
import type { Handler } from './run-statement.ts'

export const listen: Handler = async (statement, args, sink, session) => {
  const context = session.executionContext(await session.currentSnapshot())
  const { text } = statement.source
  const end = await runOnServer(session.services.catalog, { text, markers: [], writes: false, pins: true, cannotPrepare: true }, args, sink, context)
  const { pinned } = session.transaction
  if (pinned !== undefined) {
    pinned.onNotification = (payload) => session.notify(payload)
  }
  return end
}

export const notify: Handler = async (statement, args, sink, session) => {
  const context = session.executionContext(await session.currentSnapshot())
  return runOnServer(session.services.catalog, { text: statement.source.text, markers: [], writes: true, cannotPrepare: true }, args, sink, context)
}

/** `pgherd router` that can be held at a step of a move: ... --catalog URL --port N [--redis URL], and MOVE_STEPS for the folder. */
import { parseArgs } from 'node:util'
import { realClock } from '../../../../src/base/clock.ts'
import { parseCatalogUrl } from '../../../../src/cli/catalog-url.ts'
import { consoleLogger } from '../../../../src/observability/logger.ts'
import { Router } from '../../../../src/router/router.ts'
import { stopWhereHeld } from './step-gate.ts'

const { values } = parseArgs({ args: process.argv.slice(3), options: { catalog: { type: 'string', default: '' }, port: { type: 'string', default: '0' }, redis: { type: 'string' } } })
const folder = process.env['MOVE_STEPS'] ?? ''
const router = await Router.start({
  ...parseCatalogUrl(values.catalog),
  redis: values.redis,
  host: '127.0.0.1',
  port: Number(values.port),
  clock: realClock,
  log: consoleLogger(process.env['MOVE_LOG'] === undefined ? 'info' : 'debug'),
  onMoveStep: (step, move) => stopWhereHeld(folder, step, move),
})
process.stdout.write(`pgherd is ready: psql -h 127.0.0.1 -p ${router.port}\n`)
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void router.stop().then(() => process.exit(0)))

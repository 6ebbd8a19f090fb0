/**
 * What looks after shards, in a process of its own, which kills itself at a step: node ... <catalog's port> <URL of Redis> <step>.
 */
import { realClock } from '../../../src/base/clock.ts'
import { limits } from '../../../src/base/limits.ts'
import { catalogAddress } from '../../../src/coordination/bootstrap.ts'
import { CatalogFences } from '../../../src/coordination/fences.ts'
import { LeasedLocks } from '../../../src/coordination/leased-locks.ts'
import { OwnLeaseStore } from '../../../src/coordination/own-lease-store.ts'
import { RedisLeaseStore } from '../../../src/coordination/redis-lease-store.ts'
import { Guard } from '../../../src/failover/guard.ts'
import { consoleLogger } from '../../../src/observability/logger.ts'

const [port, redis = '', fatal = ''] = process.argv.slice(2)
const log = consoleLogger('info')
const catalog = catalogAddress('127.0.0.1', Number(port))
const credentials = { user: 'postgres' }
const store = redis === '' ? new OwnLeaseStore(realClock) : await RedisLeaseStore.open(redis, 'guards', log)
const locks = new LeasedLocks({ store, fences: new CatalogFences(catalog, credentials), holder: `process ${process.pid}`, leaseMs: limits.leaseMs, clock: realClock, log })
const onStep = (step: string) => {
  log.info(step)
  if (step === fatal) process.kill(process.pid, 'SIGKILL')
}
const guard = new Guard({ catalog, credentials, locks, clock: realClock, log, settings: () => ({ isOn: true, mode: 'available' }), onStep })
process.on('SIGTERM', () => void guard.stop().then(() => process.exit(0)))
setInterval(() => undefined, 1000)

/**
 * A process that takes a lock as soon as it is free and says so; each line that it is sent makes it write under its fence, and say what came of it.
 * It asks nobody before it writes: the catalog must be the one that refuses.
 *
 * Arguments: the port of the catalog, the URL of Redis, the name of the lock.
 */
import { createInterface } from 'node:readline'
import { realClock } from '../../../src/base/clock.ts'
import { limits } from '../../../src/base/limits.ts'
import { withAdmin } from '../../../src/coordination/admin-client.ts'
import { catalogAddress } from '../../../src/coordination/bootstrap.ts'
import { clusterDatabase } from '../../../src/coordination/catalog-store.ts'
import { CatalogFences, fenced } from '../../../src/coordination/fences.ts'
import { LeasedLocks } from '../../../src/coordination/leased-locks.ts'
import type { Lease } from '../../../src/coordination/locks.ts'
import { RedisLeaseStore } from '../../../src/coordination/redis-lease-store.ts'
import { consoleLogger } from '../../../src/observability/logger.ts'

const [port, redis = '', name = ''] = process.argv.slice(2)
const log = consoleLogger('debug')
const catalog = catalogAddress('127.0.0.1', Number(port))
const credentials = { user: 'postgres' }
const store = await RedisLeaseStore.open(redis, 'holders', log)
const locks = new LeasedLocks({ store, fences: new CatalogFences(catalog, credentials), holder: `process ${process.pid}`, leaseMs: limits.leaseMs, clock: realClock, log })
const lease = await whenFree()
process.stdout.write(`holds ${lease.fence}\n`)
lease.lost.addEventListener('abort', () => process.stdout.write('lost\n'))
async function whenFree(): Promise<Lease> {
  for (;;) {
    const held = await locks.acquire(name)
    if (held !== undefined) return held
    await realClock.sleep(100)
  }
}

createInterface({ input: process.stdin }).on('line', () => {
  withAdmin(catalog, clusterDatabase, credentials, (client) => fenced(client, lease, () => client.query('INSERT INTO written VALUES ($1, $2)', [name, lease.fence]))).then(
    () => process.stdout.write('written\n'),
    (error: Error & { code?: string }) => process.stdout.write(`refused ${error.code}\n`),
  )
})

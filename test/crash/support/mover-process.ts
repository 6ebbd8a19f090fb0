/**
 * A mover in a process of its own, which kills itself at a step: node ... <catalog's port> <group> <bucket> <target> <step>.
 * It asks for the move itself, so that no other mover is likely to have it; it says the move's number.
 */
import { realClock } from '../../../src/base/clock.ts'
import { limits } from '../../../src/base/limits.ts'
import { withAdmin } from '../../../src/coordination/admin-client.ts'
import { catalogAddress, readCluster } from '../../../src/coordination/bootstrap.ts'
import { CatalogFences } from '../../../src/coordination/fences.ts'
import { LeasedLocks } from '../../../src/coordination/leased-locks.ts'
import { OwnLeaseStore } from '../../../src/coordination/own-lease-store.ts'
import { singleCopyStatements } from '../../../src/executor/schema/single-copy.ts'
import { consoleLogger } from '../../../src/observability/logger.ts'
import { requestMoves } from '../../../src/rebalance/move-requests.ts'
import { Mover } from '../../../src/rebalance/mover.ts'
import type { CommitContext } from '../../../src/transaction/commit.ts'
import { SqlTransactionServer } from '../../../src/transaction/sql-transaction-server.ts'

const [port, group, bucket, target, fatal = ''] = process.argv.slice(2)
const log = consoleLogger('quiet')
const catalog = catalogAddress('127.0.0.1', Number(port))
const credentials = { user: 'postgres' }
const { id: clusterId, shards } = await readCluster(catalog, credentials)
const locks = new LeasedLocks({ store: new OwnLeaseStore(realClock), fences: new CatalogFences(catalog, credentials), holder: 'a mover', leaseMs: limits.leaseMs, clock: realClock, log })
const die = () => process.kill(process.pid, 'SIGKILL')

const inFlight = new Set<string>()
const commit: CommitContext = { clusterId, clock: realClock, log, inFlight, servers: [catalog, ...shards].map((server) => new SqlTransactionServer(server, credentials)) }
// A transaction's id is in flight from before its first PREPARE until all is finished.
if (fatal === 'prepared') {
  inFlight.add = (id: string) => {
    const look = setInterval(() => {
      for (const server of commit.servers) void server.prepared(`pgherd:${clusterId}:${id}`, 0).then((found) => found.length > 0 && die())
    }, 1)
    look.unref()
    return Set.prototype.add.call(inFlight, id) as Set<string>
  }
}
const mover = new Mover({ catalog, shards: () => shards, credentials, commit, singleCopy: singleCopyStatements, locks, databases: () => ['postgres'], clock: realClock, log, onStep: (step) => void (step === fatal && die()) })
const [id] = await withAdmin(catalog, 'postgres', credentials, (client) => requestMoves(client, [{ group: Number(group), bucket: Number(bucket), target: Number(target) }]))
process.stdout.write(`${id}\n`)
await mover.turn()
setInterval(() => undefined, 1000)

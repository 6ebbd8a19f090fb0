import type { Clock } from '../base/clock.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import type { Locks } from '../coordination/locks.ts'
import type { Logger } from '../observability/logger.ts'

/** What operators' work needs of the router that it was asked of. */
export interface AdminContext {
  readonly catalog: ServerAddress
  readonly credentials: Credentials
  readonly locks: Locks
  readonly clock: Clock
  readonly log: Logger
}

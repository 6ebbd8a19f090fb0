import type { ServerAddress } from '../catalog/server-address.ts'
import type { LaneGroup } from '../transaction/lanes.ts'
import type { Settings } from '../transaction/settings.ts'
import type { Session } from './session.ts'

/** Which shared connections are a session's: that depends on what it has set. */
export class SessionLanes {
  private readonly session: Session
  private readonly groups = new Map<number, LaneGroup>()
  private settings: Settings | undefined

  constructor(session: Session) {
    this.session = session
  }

  readonly to = (server: ServerAddress): LaneGroup => {
    const { services, transaction, database, user } = this.session
    const { settings } = transaction
    if (this.settings !== settings) {
      this.groups.clear()
      this.settings = settings
    }
    const known = this.groups.get(server.id)
    if (known?.isClosed === false) return known
    const group = services.lanes.group(server, database, user, settings)
    this.groups.set(server.id, group)
    return group
  }
}

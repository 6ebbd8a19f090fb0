/** Settings of the whole cluster, in the cluster's database. A change is seen by every router within `limits.clusterSettingsEveryMs`. */
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import type { Logger } from '../observability/logger.ts'
import { withAdmin } from './admin-client.ts'
import { clusterDatabase } from './catalog-store.ts'

export class ClusterSettings {
  values: Readonly<Record<string, string>> = {}
  private readonly catalog: ServerAddress
  private readonly credentials: Credentials
  private readonly stopTimer: () => void

  constructor(catalog: ServerAddress, credentials: Credentials, clock: Clock, log: Logger) {
    this.catalog = catalog
    this.credentials = credentials
    this.stopTimer = clock.every(limits.clusterSettingsEveryMs, () => {
      this.refresh().catch((error: Error) => log.debug(`settings of the cluster: ${error.message}`))
    })
  }

  async refresh(): Promise<void> {
    const { rows } = await withAdmin(this.catalog, clusterDatabase, this.credentials, (client) => client.query<{ name: string; value: string }>('SELECT name, value FROM pgherd.setting'), limits.serverAnswerMsMax)
    this.values = Object.fromEntries(rows.map(({ name, value }) => [name, value]))
  }

  async set(name: string, value: string): Promise<void> {
    await withAdmin(this.catalog, clusterDatabase, this.credentials, (client) =>
      client.query('INSERT INTO pgherd.setting VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value', [name, value]),
    )
    await this.refresh()
  }

  close(): void {
    this.stopTimer()
  }
}

/** Writes down on shards which timeline the catalog is on: who connects to them reads it, and takes no server on an earlier one for the catalog. */
import { limits } from '../base/limits.ts'
import { settleAll } from '../base/settle-all.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import type { Logger } from '../observability/logger.ts'
import { catalogSetting } from '../shard/server-identity.ts'
import { withAdmin } from './admin-client.ts'

/** Never goes back. A shard that does not answer is told when somebody looks at it the next time. Does not fail. */
export async function noteCatalogTimeline(shards: readonly ServerAddress[], timeline: number, credentials: Credentials, log: Logger): Promise<void> {
  await settleAll(
    shards.map((shard) =>
      withAdmin(shard, 'postgres', credentials, (client) => client.query(raise(timeline)), limits.primaryAnswerMsMax).catch((error: Error) =>
        log.debug(`timeline of the catalog on ${shard.name}: ${error.message}`),
      ),
    ),
  )
}

const raise = (timeline: number) => `DO $$ BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('${catalogSetting}', 0));
  IF NOT EXISTS (SELECT FROM pg_db_role_setting, unnest(setconfig) one
                 WHERE setdatabase = 0 AND setrole = 0 AND starts_with(one, '${catalogSetting}=') AND split_part(one, '=', 2)::int8 >= ${timeline}) THEN
    ALTER ROLE ALL SET ${catalogSetting} = '${timeline}';
  END IF;
END $$`

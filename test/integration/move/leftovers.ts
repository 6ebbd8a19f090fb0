/** What moves make on a shard and are to take away again: nothing should be left of it once they are over. */
import type pg from 'pg'

export async function leftoversOn(client: pg.Client, name: string): Promise<string[]> {
  const { rows } = await client.query<{ what: string }>(
    `SELECT 'slot ' || slot_name AS what FROM pg_replication_slots WHERE slot_type = 'logical'
     UNION ALL SELECT 'publication ' || pubname FROM pg_publication
     UNION ALL SELECT 'subscription ' || subname FROM pg_subscription
     UNION ALL SELECT 'origin ' || roname FROM pg_replication_origin
     UNION ALL SELECT 'table ' || relname FROM pg_class WHERE relnamespace = 'pgherd_data'::regnamespace AND relkind = 'r' AND NOT relispartition AND relname !~ '^m[0-9]+_v'
     UNION ALL SELECT 'markers ' || string_agg(relname, ', ') FROM pg_class WHERE relnamespace = 'pgherd_data'::regnamespace AND relname ~ '^m[0-9]+_v' GROUP BY split_part(relname, '_', 1) HAVING count(*) > 1
     UNION ALL SELECT 'identity of ' || relname FROM pg_class WHERE relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) AND relkind = 'r' AND relreplident <> 'd'
     UNION ALL SELECT 'table ' || relname FROM pg_class WHERE relname LIKE 'pgherd\\_gone%'
     UNION ALL SELECT 'disabled ' || tgname FROM pg_trigger WHERE tgenabled = 'D'
     UNION ALL SELECT 'check of ' || conrelid::regclass FROM pg_constraint WHERE conname ~ '^pgherd_(move|gone)_'
     UNION ALL SELECT 'prepared ' || gid FROM pg_prepared_xacts`,
  )
  return rows.map(({ what }) => `${name}: ${what}`)
}

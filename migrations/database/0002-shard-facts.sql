-- What shards say of their tables comes to temporary tables like this view; these functions add it up.
CREATE VIEW pgherd.shard_facts AS SELECT NULL::text AS schema, NULL::text AS name, NULL::jsonb AS facts WHERE false;
GRANT SELECT ON pgherd.shard_facts TO PUBLIC;

-- Everything that the shards say of one thing: numbers are added, of times the last one counts. Empty when they say nothing.
CREATE FUNCTION pgherd.merged_facts(source name, schema text, name text) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
    merged jsonb;
BEGIN
    EXECUTE pg_catalog.format($q$
        SELECT pg_catalog.jsonb_object_agg(key, value) FROM (
            SELECT f.key, CASE WHEN pg_catalog.bool_or(pg_catalog.jsonb_typeof(f.value) = 'number') THEN pg_catalog.to_jsonb(pg_catalog.sum((f.value #>> '{}')::numeric) FILTER (WHERE pg_catalog.jsonb_typeof(f.value) = 'number'))
                               ELSE pg_catalog.to_jsonb(pg_catalog.max(f.value #>> '{}')) END AS value
            FROM pg_temp.%I t, pg_catalog.jsonb_each(t.facts) f WHERE t.schema = $1 AND t.name = $2 AND pg_catalog.jsonb_typeof(f.value) <> 'null' GROUP BY f.key) merged
        $q$, source) USING schema, name INTO merged;
    RETURN coalesce(merged, '{}');
END $$;

CREATE FUNCTION pgherd.shard_facts(source name, relation oid) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT pgherd.merged_facts(source, n.nspname, c.relname)
                     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation), '{}')
$$;

-- Where the shards say nothing (a reference table, a sequence, a table of the system) the catalog's own size counts.
CREATE FUNCTION pgherd.pg_relation_size(source name, relation regclass, fork text) RETURNS bigint LANGUAGE sql STABLE STRICT AS $$
    SELECT CASE WHEN own IS NOT NULL THEN coalesce((pgherd.shard_facts(source, relation) ->> fork)::bigint, own) END
    FROM pg_catalog.pg_relation_size(relation, fork) own
$$;
CREATE FUNCTION pgherd.pg_relation_size(source name, relation regclass) RETURNS bigint LANGUAGE sql STABLE STRICT AS $$
    SELECT pgherd.pg_relation_size(source, relation, 'main')
$$;
CREATE FUNCTION pgherd.pg_table_size(source name, relation regclass) RETURNS bigint LANGUAGE sql STABLE STRICT AS $$
    SELECT CASE WHEN own IS NOT NULL THEN coalesce((pgherd.shard_facts(source, relation) ->> 'table')::bigint, own) END FROM pg_catalog.pg_table_size(relation) own
$$;
CREATE FUNCTION pgherd.pg_indexes_size(source name, relation regclass) RETURNS bigint LANGUAGE sql STABLE STRICT AS $$
    SELECT CASE WHEN own IS NOT NULL THEN coalesce((pgherd.shard_facts(source, relation) ->> 'indexes')::bigint, own) END FROM pg_catalog.pg_indexes_size(relation) own
$$;
CREATE FUNCTION pgherd.pg_total_relation_size(source name, relation regclass) RETURNS bigint LANGUAGE sql STABLE STRICT AS $$
    SELECT CASE WHEN own IS NOT NULL THEN coalesce((pgherd.shard_facts(source, relation) ->> 'total')::bigint, own) END FROM pg_catalog.pg_total_relation_size(relation) own
$$;

-- A database, and a tablespace, is on every server: all count.
CREATE FUNCTION pgherd.pg_database_size(source name, database name) RETURNS bigint LANGUAGE sql STABLE STRICT AS $$
    SELECT pg_catalog.pg_database_size(database) + coalesce((pgherd.merged_facts(source, '', database) ->> 'size')::bigint, 0)
$$;
CREATE FUNCTION pgherd.pg_database_size(source name, database oid) RETURNS bigint LANGUAGE sql STABLE STRICT AS $$
    SELECT pgherd.pg_database_size(source, d.datname) FROM pg_catalog.pg_database d WHERE d.oid = database
$$;
CREATE FUNCTION pgherd.pg_tablespace_size(source name, tablespace name) RETURNS bigint LANGUAGE sql STABLE STRICT AS $$
    SELECT pg_catalog.pg_tablespace_size(tablespace) + coalesce((pgherd.merged_facts(source, '', tablespace) ->> 'size')::bigint, 0)
$$;
CREATE FUNCTION pgherd.pg_tablespace_size(source name, tablespace oid) RETURNS bigint LANGUAGE sql STABLE STRICT AS $$
    SELECT pgherd.pg_tablespace_size(source, t.spcname) FROM pg_catalog.pg_tablespace t WHERE t.oid = tablespace
$$;

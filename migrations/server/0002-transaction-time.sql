-- What triggers on shards ask instead of now(): the time of the whole transaction, where another server's clock gave it.
CREATE FUNCTION pgherd.now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT coalesce(nullif(pg_catalog.current_setting('pgherd.now', true), '')::timestamptz, pg_catalog.now()) $$;
GRANT EXECUTE ON FUNCTION pgherd.now() TO PUBLIC;

-- A client that wants to know what became of a transaction asks for its id before it commits. The router answers both of these
-- where they stand alone in a SELECT; it never runs these bodies.
CREATE FUNCTION pgherd.transaction_id() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'pgherd.transaction_id() is supported alone in a SELECT' USING ERRCODE = '0A000';
END $$;
CREATE FUNCTION pgherd.transaction_status(id text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'pgherd.transaction_status() is supported alone in a SELECT, with a constant or a parameter' USING ERRCODE = '0A000';
END $$;

-- As long as the transaction is open its id is locked on the catalog, so that another router can tell that it is.
CREATE FUNCTION pgherd.open_transaction(id text) RETURNS text LANGUAGE sql
    SET search_path = pg_catalog
    AS $$ SELECT id FROM (SELECT pg_advisory_xact_lock(hashtextextended('pgherd.transaction ' || id, 0))) AS locked $$;
CREATE FUNCTION pgherd.is_transaction_open(id text) RETURNS boolean LANGUAGE sql
    SET search_path = pg_catalog
    AS $$ SELECT NOT pg_try_advisory_xact_lock_shared(hashtextextended('pgherd.transaction ' || id, 0)) $$;

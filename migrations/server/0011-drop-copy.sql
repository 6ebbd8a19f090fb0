-- A single table on its way to this shard is here under its own name, with the move's CHECK, before anybody may know of it. A schema change
-- that makes a table of this name here goes first: the move finds that the schema has changed, and begins again or ends.
CREATE FUNCTION pgherd.drop_copy(name text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog
    AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass(name) AND contype = 'c' AND conname ~ '^pgherd_move_[0-9]+$') THEN
        EXECUTE format('DROP TABLE %s CASCADE', to_regclass(name));
    END IF;
END $$;
GRANT EXECUTE ON FUNCTION pgherd.drop_copy(text) TO PUBLIC;

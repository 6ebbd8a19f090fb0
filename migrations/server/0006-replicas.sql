-- What a read of a replica asks first, in the same request: has the replica replayed the primary's log as far as the read must see?
CREATE FUNCTION pgherd.must_have_replayed(wanted pg_lsn) RETURNS void LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog
    AS $$
BEGIN
    IF NOT pg_is_in_recovery() THEN
        RAISE EXCEPTION 'this server is no replica any more' USING ERRCODE = 'PH002';
    ELSIF pg_last_wal_replay_lsn() < wanted THEN
        RAISE EXCEPTION 'the replica is at %, behind %', pg_last_wal_replay_lsn(), wanted USING ERRCODE = 'PH002';
    END IF;
END $$;
GRANT EXECUTE ON FUNCTION pgherd.must_have_replayed(pg_lsn) TO PUBLIC;

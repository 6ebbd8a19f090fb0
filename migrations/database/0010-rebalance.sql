-- Which rebalance a move is part of: the fence of the lock under which it was asked for. NULL: it was asked for by itself.
ALTER TABLE pgherd.move ADD COLUMN rebalance bigint;
-- When the copy that counts was begun, and when it was whole.
ALTER TABLE pgherd.move ADD COLUMN copying_at timestamptz;
ALTER TABLE pgherd.move ADD COLUMN copied_at timestamptz;
-- Then its time tells nothing of how long moves take.
ALTER TABLE pgherd.move ADD COLUMN was_paused boolean NOT NULL DEFAULT false;

-- The tables of a move, by name. (A move of a single table has its number in a column that a later file adds.)
CREATE FUNCTION pgherd.tables_of_move(m pgherd.move) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT string_agg(p.oid::regclass::text, ', ' ORDER BY p.id) FROM pgherd.placement p WHERE p.group_id = m.group_id OR p.id = m.table_id);
END $$;

DROP VIEW pgherd.moves;
CREATE VIEW pgherd.moves AS
    SELECT m.id, m.rebalance, m.group_id AS table_group, m.bucket, pgherd.tables_of_move(m) AS tables, m.source, m.target, m.stage, m.wanted, m.bytes, m.bytes_total, r.bytes_per_second, m.lag_bytes,
           CASE WHEN m.stage = 'copying' THEN make_interval(secs => greatest(m.bytes_total - m.bytes, 0) / nullif(r.bytes_per_second, 0)::float8)
                WHEN m.stage IN ('catching-up', 'cutting-over') THEN make_interval(secs => m.lag_bytes / nullif(r.bytes_per_second, 0)::float8) END AS time_left,
           m.rows, m.verified, m.cutovers, m.held_ms, m.error, m.requested_at, m.started_at, m.changed_at, m.ended_at
    FROM pgherd.move m
    CROSS JOIN LATERAL (SELECT round(m.bytes / nullif(extract(epoch FROM coalesce(m.copied_at, clock_timestamp()) - m.copying_at), 0))::bigint AS bytes_per_second) r;
GRANT SELECT ON pgherd.moves TO PUBLIC;

CREATE FUNCTION pgherd.done() RETURNS void LANGUAGE sql AS '';

-- What operators call. The router answers these; here are their types, for whoever asks for them before the call. Those with Citus's names
-- are called without a schema.
CREATE FUNCTION pgherd.answered_by_router() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the functions of pgherd that operators call are supported alone in a SELECT, with constants or parameters' USING ERRCODE = '0A000';
END $$;

CREATE FUNCTION pgherd.rebalance_plan(by text DEFAULT 'buckets') RETURNS TABLE (table_group integer, tables text, bucket integer, source integer, target integer, bytes bigint, estimated interval)
    LANGUAGE sql AS $$ SELECT pgherd.answered_by_router(); SELECT NULL::integer, NULL::text, NULL::integer, NULL::integer, NULL::integer, NULL::bigint, NULL::interval $$;
CREATE FUNCTION pgherd.rebalance(by text DEFAULT 'buckets') RETURNS bigint LANGUAGE sql AS $$ SELECT pgherd.answered_by_router(); SELECT NULL::bigint $$;
CREATE FUNCTION pgherd.move_bucket(table_name text, bucket integer, shard integer) RETURNS bigint LANGUAGE sql AS $$ SELECT pgherd.answered_by_router(); SELECT NULL::bigint $$;
CREATE FUNCTION pgherd.move_bucket(table_group integer, bucket integer, shard integer) RETURNS bigint LANGUAGE sql AS $$ SELECT pgherd.answered_by_router(); SELECT NULL::bigint $$;
CREATE FUNCTION pgherd.pause_moves(id bigint DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$ SELECT pgherd.answered_by_router(); SELECT NULL::bigint $$;
CREATE FUNCTION pgherd.resume_moves(id bigint DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$ SELECT pgherd.answered_by_router(); SELECT NULL::bigint $$;
CREATE FUNCTION pgherd.cancel_moves(id bigint DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$ SELECT pgherd.answered_by_router(); SELECT NULL::bigint $$;
CREATE FUNCTION pgherd.undo_move(id bigint) RETURNS bigint LANGUAGE sql AS $$ SELECT pgherd.answered_by_router(); SELECT NULL::bigint $$;
CREATE FUNCTION pgherd.wait_for_moves() RETURNS void LANGUAGE sql AS $$ SELECT pgherd.answered_by_router() $$;

CREATE FUNCTION pgherd.rebalance_table_shards(relation text DEFAULT NULL, threshold real DEFAULT NULL, max_shard_moves integer DEFAULT NULL, excluded_shard_list text DEFAULT NULL,
    shard_transfer_mode text DEFAULT 'auto', drain_only boolean DEFAULT false, rebalance_strategy text DEFAULT 'by_shard_count') RETURNS void
    LANGUAGE sql AS $$ SELECT pgherd.answered_by_router() $$;
CREATE FUNCTION pgherd.citus_rebalance_start(rebalance_strategy text DEFAULT 'by_shard_count', drain_only boolean DEFAULT false, shard_transfer_mode text DEFAULT 'auto') RETURNS bigint
    LANGUAGE sql AS $$ SELECT pgherd.answered_by_router(); SELECT NULL::bigint $$;
CREATE FUNCTION pgherd.citus_rebalance_stop() RETURNS void LANGUAGE sql AS $$ SELECT pgherd.answered_by_router() $$;
CREATE FUNCTION pgherd.citus_rebalance_wait() RETURNS void LANGUAGE sql AS $$ SELECT pgherd.answered_by_router() $$;
CREATE FUNCTION pgherd.get_rebalance_table_shards_plan(relation text DEFAULT NULL, threshold real DEFAULT NULL, max_shard_moves integer DEFAULT NULL, excluded_shard_list text DEFAULT NULL,
    drain_only boolean DEFAULT false, rebalance_strategy text DEFAULT 'by_shard_count')
    RETURNS TABLE (table_name text, shardid bigint, shard_size bigint, sourcename text, sourceport integer, targetname text, targetport integer)
    LANGUAGE sql AS $$ SELECT pgherd.answered_by_router(); SELECT NULL::text, NULL::bigint, NULL::bigint, NULL::text, NULL::integer, NULL::text, NULL::integer $$;
CREATE FUNCTION pgherd.get_rebalance_progress()
    RETURNS TABLE (sessionid integer, table_name text, shardid bigint, shard_size bigint, sourcename text, sourceport integer, targetname text, targetport integer,
                   progress bigint, source_shard_size bigint, target_shard_size bigint, operation_type text, status text)
    LANGUAGE sql AS $$ SELECT pgherd.answered_by_router(); SELECT NULL::integer, NULL::text, NULL::bigint, NULL::bigint, NULL::text, NULL::integer, NULL::text, NULL::integer,
        NULL::bigint, NULL::bigint, NULL::bigint, NULL::text, NULL::text $$;

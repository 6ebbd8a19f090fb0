-- Moves of buckets to other shards. A row is there before anything else of the move is, and says what comes next: whichever router
-- has the lock of the database's moves goes on from there.
CREATE TABLE pgherd.move (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    group_id integer NOT NULL,
    bucket integer NOT NULL,
    source integer NOT NULL,
    target integer NOT NULL CHECK (target <> source),
    stage text NOT NULL DEFAULT 'waiting'
        CHECK (stage IN ('waiting', 'copying', 'catching-up', 'cutting-over', 'cleaning', 'done', 'undoing', 'undone')),
    -- What an operator wants of it: to wait where it is, or to be undone as long as it has not been cut over.
    wanted text NOT NULL DEFAULT 'done' CHECK (wanted IN ('done', 'paused', 'undone')),
    -- Of the lock under which it was last worked on. Who shows an older number is refused.
    fence bigint NOT NULL DEFAULT 0,
    -- When its mover last said that it is at work; NULL when it has stopped.
    worked_at timestamptz,
    -- The tables as they were when the copy began: a schema change since then makes it begin again.
    definition text,
    -- The subscription's number on the target: part of the names of slots on the source.
    subscription oid,
    -- As far as they are known: on the target so far, on the source in all, and what the target has still to apply.
    bytes bigint NOT NULL DEFAULT 0,
    bytes_total bigint NOT NULL DEFAULT 0,
    lag_bytes bigint,
    -- How often the cut-over was tried, and for how long, at most, it has held writes.
    cutovers integer NOT NULL DEFAULT 0,
    held_ms integer,
    -- Rows that were compared by count and checksum; and whether that was with the writes held ('held') or before ('before').
    rows bigint,
    verified text CHECK (verified IN ('held', 'before')),
    -- Why it was last held up, or undone.
    error text,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz
);
CREATE UNIQUE INDEX move_one_a_bucket ON pgherd.move (group_id, bucket) WHERE stage NOT IN ('done', 'undone');

-- How often the buckets of a group that a shard has were changed: the markers of the group's tables there carry this number in place of
-- the table's own. No row: never.
CREATE TABLE pgherd.shard_layout (
    group_id integer NOT NULL REFERENCES pgherd.table_group ON DELETE CASCADE,
    shard_id integer NOT NULL,
    layout integer NOT NULL CHECK (layout > 0),
    PRIMARY KEY (group_id, shard_id)
);

CREATE VIEW pgherd.moves AS
    SELECT id, group_id AS table_group, bucket, source, target, stage, wanted, bytes, bytes_total, lag_bytes, rows, verified, cutovers, held_ms, error,
           requested_at, started_at, changed_at, ended_at
    FROM pgherd.move;

GRANT SELECT ON pgherd.moves, pgherd.move, pgherd.shard_layout TO PUBLIC;

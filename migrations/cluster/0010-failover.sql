-- Replicas of which is known: every commit that the shard's primary has acknowledged is on one of them. So the next primary is the most
-- advanced of all of them, and none, where this is empty. It is said of one term of the shard, and says nothing of another.
CREATE TABLE pgherd.in_sync (
    host text NOT NULL,
    port integer NOT NULL,
    shard_id integer NOT NULL REFERENCES pgherd.shard,
    term bigint NOT NULL,
    -- By which the primary knows it (application_name).
    name text NOT NULL,
    PRIMARY KEY (host, port)
);

-- Primaries that pgherd replaces or has replaced. A row is there before anything else of it is, and says what comes next: whichever router
-- has the lock goes on from there.
CREATE TABLE pgherd.failover (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shard_id integer NOT NULL REFERENCES pgherd.shard,
    -- The one that it begins.
    term bigint NOT NULL,
    step text NOT NULL CHECK (step IN ('cutting off', 'promoting', 'done')),
    -- host:port. Of those that were in sync one is promoted, once none of them hears from the old primary any more.
    in_sync text[] NOT NULL,
    old_primary text NOT NULL,
    new_primary text,
    error text,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    UNIQUE (shard_id, term)
);
CREATE UNIQUE INDEX failover_one_at_a_time ON pgherd.failover (shard_id) WHERE step <> 'done';

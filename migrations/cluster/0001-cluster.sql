CREATE TABLE pgherd.cluster (
    -- Part of the names of prepared transactions, so that clusters that share a server never touch each other's.
    id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT one_row CHECK (id <> '')
);

CREATE TABLE pgherd.shard (
    id integer PRIMARY KEY CHECK (id > 0),
    name text NOT NULL UNIQUE,
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'draining', 'removed'))
);

CREATE TABLE pgherd.server (
    shard_id integer NOT NULL REFERENCES pgherd.shard,
    host text NOT NULL,
    port integer NOT NULL,
    role text NOT NULL CHECK (role IN ('primary', 'replica')),
    PRIMARY KEY (host, port)
);
CREATE UNIQUE INDEX server_one_primary ON pgherd.server (shard_id) WHERE role = 'primary';

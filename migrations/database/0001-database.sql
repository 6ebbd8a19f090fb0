-- One row. Every schema change raises it in its own transaction; the row's lock makes schema changes come one by one.
CREATE TABLE pgherd.schema_version (version bigint NOT NULL);
INSERT INTO pgherd.schema_version VALUES (1);

-- Tables whose keys have the same type and the same number of buckets: equal keys are on the same shard.
CREATE TABLE pgherd.table_group (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key_type text NOT NULL,
    bucket_count integer NOT NULL CHECK (bucket_count > 0)
);

CREATE TABLE pgherd.bucket (
    group_id integer NOT NULL REFERENCES pgherd.table_group ON DELETE CASCADE,
    bucket integer NOT NULL CHECK (bucket >= 0),
    shard_id integer NOT NULL CHECK (shard_id > 0),
    PRIMARY KEY (group_id, bucket)
);

CREATE TABLE pgherd.placement (
    -- The table in the shell. Renames need no change here.
    oid oid PRIMARY KEY,
    -- The number in the names of leaves and markers: never used again.
    id integer GENERATED ALWAYS AS IDENTITY UNIQUE,
    kind text NOT NULL CHECK (kind IN ('distributed', 'reference', 'single')),
    key_column name,
    key_type text,
    group_id integer REFERENCES pgherd.table_group,
    shard_id integer,
    layout integer NOT NULL DEFAULT 1,
    by_default boolean NOT NULL DEFAULT true,
    CHECK ((kind = 'distributed') = (key_column IS NOT NULL AND key_type IS NOT NULL AND group_id IS NOT NULL)),
    CHECK ((kind = 'single') = (shard_id IS NOT NULL))
);

-- Functions whose body touches tables: on the shell they would see empty ones, so calling them is refused.
CREATE TABLE pgherd.function_note (
    oid oid PRIMARY KEY,
    touches_tables text NOT NULL
);

CREATE VIEW pgherd.tables AS
    SELECT c.oid::regclass::text AS table_name, p.kind, p.key_column::text AS shard_key, p.group_id AS table_group,
           CASE p.kind WHEN 'distributed' THEN g.bucket_count END AS buckets
    FROM pgherd.placement p
    JOIN pg_class c ON c.oid = p.oid
    LEFT JOIN pgherd.table_group g ON g.id = p.group_id;

CREATE VIEW pgherd.buckets AS
    SELECT b.group_id AS table_group, b.bucket, b.shard_id AS shard FROM pgherd.bucket b;

-- The columns of what the router answers itself.
CREATE VIEW pgherd.shards AS
    SELECT NULL::integer AS id, NULL::text AS name, NULL::text AS role, NULL::text AS host, NULL::integer AS port,
           NULL::text AS state, NULL::integer AS buckets
    WHERE false;

CREATE FUNCTION pgherd.version() RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'pgherd 0.1.0' $$;

GRANT USAGE ON SCHEMA pgherd TO PUBLIC;
GRANT SELECT ON pgherd.tables, pgherd.buckets, pgherd.shards TO PUBLIC;
GRANT SELECT ON pgherd.placement, pgherd.bucket, pgherd.table_group TO PUBLIC;

-- Sessions keep these themselves, as the role that changes the schema; the router lets no statement of a client write here.
GRANT SELECT, INSERT, UPDATE, DELETE ON pgherd.placement, pgherd.bucket, pgherd.table_group, pgherd.function_note TO PUBLIC;
GRANT SELECT, UPDATE ON pgherd.schema_version TO PUBLIC;

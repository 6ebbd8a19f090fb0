-- Indexes that are being built concurrently: written before the first server is touched, taken away when nothing of the build is
-- left that is not part of an index. Whoever builds holds an advisory lock; a row that nobody holds was left by a router that died.
CREATE TABLE pgherd.index_change (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    database text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now()
);

-- Databases that are being made or dropped: written before the first server is touched, taken away when all are done. Whoever
-- works on one holds an advisory lock; a row that nobody holds was left by a router that died, and any other finishes it.
CREATE TABLE pgherd.database_change (
    name text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('create', 'drop')),
    started_at timestamptz NOT NULL DEFAULT now()
);

-- What routers tell each other of transactions that wait for a lock on one server while they keep locks on others, so that each
-- sees deadlocks over several. A row a router, replaced as a whole, and there only while it has such transactions; what it says of a wait stays
-- true as long as the wait lasts, so that an old row misleads nobody. Nothing of it outlives a crash.
CREATE UNLOGGED TABLE pgherd.waits (
    router text PRIMARY KEY,
    told_at timestamptz NOT NULL,
    transactions jsonb NOT NULL
);

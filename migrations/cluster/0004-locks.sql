-- The locks of the control plane. Who holds one is decided in Redis (or in the only router); here is the number that each taking of
-- a lock increments. What acts under a lock shows its number, and an older one is refused: a lock that was lost or given out twice
-- costs time, never data.
CREATE TABLE pgherd.lock (
    name text PRIMARY KEY,
    fence bigint NOT NULL CHECK (fence > 0),
    -- The router that took it last; NULL once it has given it back.
    holder text,
    since timestamptz,
    CHECK ((holder IS NULL) = (since IS NULL))
);

CREATE FUNCTION pgherd.take_lock(lock_name text, new_holder text) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO pgherd.lock AS l (name, fence, holder, since) VALUES (lock_name, 1, new_holder, clock_timestamp())
    ON CONFLICT (name) DO UPDATE SET fence = l.fence + 1, holder = excluded.holder, since = excluded.since
    RETURNING fence;
$$;

-- Until the end of the transaction that calls it nobody takes the lock. A number that is not the newest is refused; one that is newer
-- than the catalog's own belongs to a catalog that is no more.
CREATE FUNCTION pgherd.hold_fence(lock_name text, held bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    newest bigint;
BEGIN
    SELECT fence INTO newest FROM pgherd.lock WHERE name = lock_name FOR SHARE;
    IF newest IS DISTINCT FROM held THEN
        RAISE EXCEPTION 'the lock "%" was taken by another: fence % is not %', lock_name, held, coalesce(newest::text, 'known') USING ERRCODE = 'PH001';
    END IF;
END $$;

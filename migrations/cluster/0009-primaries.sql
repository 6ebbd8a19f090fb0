-- Which server is the primary of a shard is an agreement of all routers, and this is where it is kept. `term` grows with each change, and who
-- changes it shows the term that it knows. A timeline of PostgreSQL has one primary: another server becomes the primary only on a
-- later timeline, so that one that was left behind never comes back as what it was. NULL as long as no router has asked the primary.
ALTER TABLE pgherd.shard
    ADD term bigint NOT NULL DEFAULT 1,
    ADD timeline bigint CHECK (timeline > 0),
    -- Of initdb: a server with another one is none of the shard's, whatever its address.
    ADD system_identifier text,
    ADD primary_since timestamptz;

-- The new term; NULL when the term, the timeline or the server is not one that may follow, and then nothing has changed.
CREATE FUNCTION pgherd.change_primary(changed_shard integer, known_term bigint, new_host text, new_port integer, new_timeline bigint, new_system text)
    RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    new_term bigint;
BEGIN
    UPDATE pgherd.shard s
    SET term = s.term + 1, timeline = new_timeline, system_identifier = new_system, primary_since = clock_timestamp()
    WHERE s.id = changed_shard AND s.term = known_term
      AND (s.timeline IS NULL OR s.timeline < new_timeline)
      AND (s.system_identifier IS NULL OR s.system_identifier = new_system)
      AND EXISTS (SELECT FROM pgherd.server v WHERE v.shard_id = changed_shard AND v.host = new_host AND v.port = new_port
                  AND (s.timeline IS NOT NULL OR v.role = 'primary'))
    RETURNING s.term INTO new_term;
    IF new_term IS NULL THEN
        RETURN NULL;
    END IF;
    UPDATE pgherd.server SET role = 'replica' WHERE shard_id = changed_shard AND role = 'primary' AND (host, port) <> (new_host, new_port);
    UPDATE pgherd.server SET role = 'primary' WHERE shard_id = changed_shard AND host = new_host AND port = new_port;
    RETURN new_term;
END $$;

-- Which servers had prepared the transaction, the first of them the one that is finished last; and whether a client knows its id.
-- Its age is its own, and not that of a transaction that may have been open for long.
ALTER TABLE pgherd.decision ADD others integer[], ADD asked boolean NOT NULL DEFAULT false, ALTER decided_at SET DEFAULT clock_timestamp();
CREATE INDEX decision_decided_at ON pgherd.decision (decided_at);

-- A decision has to be on disk before the client, or another server, hears of it, whatever the session has chosen for its own commits.
CREATE FUNCTION pgherd.decide(transaction_id text, other_servers integer[], is_asked boolean) RETURNS void LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog
    AS $$ INSERT INTO pgherd.decision (id, outcome, others, asked) VALUES (transaction_id, 'committed', other_servers, is_asked) $$;
GRANT EXECUTE ON FUNCTION pgherd.decide(text, integer[], boolean) TO PUBLIC;

-- The gate: a commit over several servers holds ROW EXCLUSIVE from before its first decision until its last part is visible; who takes
-- a snapshot of several servers holds SHARE on all of them. So no such snapshot shows one part of a commit and not another.
CREATE TABLE pgherd.commit_gate ();
CREATE FUNCTION pgherd.pass_gate() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog SET lock_timeout = 0
    AS $$ BEGIN LOCK TABLE pgherd.commit_gate IN ROW EXCLUSIVE MODE; END $$;
GRANT EXECUTE ON FUNCTION pgherd.pass_gate() TO PUBLIC;

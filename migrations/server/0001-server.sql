-- The outcome of transactions that this server decided. 'committed' is inserted by the decider's own commit, 'aborted' by
-- recovery: the primary key lets only one of them be.
CREATE TABLE pgherd.decision (
    id text PRIMARY KEY,
    outcome text NOT NULL CHECK (outcome IN ('committed', 'aborted')),
    decided_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION pgherd.decide(transaction_id text) RETURNS void LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog
    AS $$ INSERT INTO pgherd.decision (id, outcome) VALUES (transaction_id, 'committed') $$;

-- Leaves and markers.
CREATE SCHEMA pgherd_data;

GRANT USAGE ON SCHEMA pgherd TO PUBLIC;
GRANT USAGE, CREATE ON SCHEMA pgherd_data TO PUBLIC;
GRANT EXECUTE ON FUNCTION pgherd.decide(text) TO PUBLIC;

-- The shards that this database is on. A shard joins the cluster database by database: the transaction that gives it this database's
-- tables inserts its row here, so that whoever can see the row finds all of them there. Only then do statements use the shard.
-- 'gone' stays: the number of a shard is never used again, and whoever still tries to let it join is refused.
CREATE TABLE pgherd.member (
    shard_id integer PRIMARY KEY CHECK (shard_id > 0),
    state text NOT NULL DEFAULT 'in' CHECK (state IN ('in', 'gone'))
);
GRANT SELECT ON pgherd.member TO PUBLIC;

-- Roles, and settings of databases, are the same on all servers. A change of them holds this until it ends, over all databases of the catalog's
-- server: who lets a shard join waits for it, and then copies what there is.
CREATE FUNCTION pgherd.change_globals() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog
    AS $$ BEGIN LOCK TABLE pg_catalog.pg_authid IN ROW EXCLUSIVE MODE; END $$;
GRANT EXECUTE ON FUNCTION pgherd.change_globals() TO PUBLIC;

-- The router answers these; it never runs their bodies. A shard is named by its name or its number; replicas are HOST:PORT, separated by commas.
CREATE FUNCTION pgherd.add_shard(host text, port integer, replicas text DEFAULT '') RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM pgherd.answered_by_router(); RETURN NULL; END $$;
CREATE FUNCTION pgherd.drain_shard(shard text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM pgherd.answered_by_router(); RETURN NULL; END $$;
CREATE FUNCTION pgherd.undrain_shard(shard text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM pgherd.answered_by_router(); RETURN NULL; END $$;
CREATE FUNCTION pgherd.remove_shard(shard text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM pgherd.answered_by_router(); RETURN NULL; END $$;
CREATE FUNCTION pgherd.citus_add_node(nodename text, nodeport integer, groupid integer DEFAULT -1, noderole text DEFAULT 'primary', nodecluster text DEFAULT 'default') RETURNS integer LANGUAGE plpgsql AS $$ BEGIN PERFORM pgherd.answered_by_router(); RETURN NULL; END $$;
CREATE FUNCTION pgherd.citus_remove_node(nodename text, nodeport integer) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM pgherd.answered_by_router(); END $$;
CREATE FUNCTION pgherd.citus_get_active_worker_nodes() RETURNS TABLE (node_name text, node_port bigint) LANGUAGE plpgsql AS $$ BEGIN PERFORM pgherd.answered_by_router(); END $$;

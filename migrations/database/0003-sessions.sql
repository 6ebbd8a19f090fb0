-- The sessions of the router that is asked come to temporary tables like this view.
CREATE VIEW pgherd.sessions AS
    SELECT NULL::integer AS pid, NULL::name AS datname, NULL::name AS usename, NULL::text AS application_name, NULL::inet AS client_addr,
           NULL::integer AS client_port, NULL::timestamptz AS backend_start, NULL::timestamptz AS xact_start, NULL::timestamptz AS query_start,
           NULL::timestamptz AS state_change, NULL::text AS state, NULL::text AS query, NULL::integer AS server_pid
    WHERE false;
GRANT SELECT ON pgherd.sessions TO PUBLIC;

-- pg_stat_activity with clients' sessions in place of the connections that routers keep to the catalog.
CREATE FUNCTION pgherd.activity(source name) RETURNS SETOF pg_catalog.pg_stat_activity LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY EXECUTE pg_catalog.format($q$
        SELECT r.* FROM (
            SELECT d.oid AS datid, s.datname, s.pid, u.oid AS usesysid, s.usename, s.application_name, s.backend_start, 'client backend' AS backend_type,
                   CASE WHEN v.may THEN s.client_addr END AS client_addr, CASE WHEN v.may THEN s.client_port END AS client_port,
                   CASE WHEN v.may THEN s.xact_start END AS xact_start, CASE WHEN v.may THEN s.query_start END AS query_start,
                   CASE WHEN v.may THEN s.state_change END AS state_change, CASE WHEN v.may THEN s.state END AS state,
                   CASE WHEN v.may THEN s.query ELSE '<insufficient privilege>' END AS query,
                   CASE WHEN v.may AND s.state <> 'active' THEN 'Client' END AS wait_event_type, CASE WHEN v.may AND s.state <> 'active' THEN 'ClientRead' END AS wait_event
            FROM pg_temp.%I s LEFT JOIN pg_catalog.pg_database d ON d.datname = s.datname LEFT JOIN pg_catalog.pg_roles u ON u.rolname = s.usename
            CROSS JOIN LATERAL (SELECT pg_catalog.pg_has_role(u.oid, 'USAGE') OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') AS may) v
        ) x CROSS JOIN LATERAL pg_catalog.jsonb_populate_record(NULL::pg_catalog.pg_stat_activity, pg_catalog.to_jsonb(x)) r
        UNION ALL SELECT a.* FROM pg_catalog.pg_stat_activity a WHERE a.backend_type IS DISTINCT FROM 'client backend'
        $q$, source);
END $$;

-- pg_locks of the catalog, where advisory locks are, with the numbers of the sessions that hold them.
CREATE FUNCTION pgherd.locks(source name) RETURNS SETOF pg_catalog.pg_locks LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY EXECUTE pg_catalog.format($q$
        SELECT r.* FROM pg_catalog.pg_locks l LEFT JOIN pg_temp.%I s ON s.server_pid = l.pid
        CROSS JOIN LATERAL pg_catalog.jsonb_populate_record(l, CASE WHEN s.pid IS NULL THEN '{}' ELSE pg_catalog.jsonb_build_object('pid', s.pid) END) r
        $q$, source);
END $$;

-- The router puts in the session's own number.
CREATE FUNCTION pgherd.pg_backend_pid(session integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT session';

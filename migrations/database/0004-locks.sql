-- The locks of the control plane, which the cluster's database knows: the router brings its rows to temporary tables like this view.
CREATE VIEW pgherd.locks AS
    SELECT NULL::text AS name, NULL::text AS holder, NULL::timestamptz AS since, NULL::bigint AS fence WHERE false;
GRANT SELECT ON pgherd.locks TO PUBLIC;

CREATE FUNCTION pgherd.lock_rows(source name) RETURNS SETOF pgherd.locks LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY EXECUTE pg_catalog.format('SELECT name, holder, since, fence FROM pg_temp.%I', source);
END $$;

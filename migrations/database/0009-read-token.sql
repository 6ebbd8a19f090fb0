-- The router answers these where they stand alone in a SELECT; it never runs their bodies.
CREATE FUNCTION pgherd.read_token() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'pgherd.read_token() is supported alone in a SELECT' USING ERRCODE = '0A000';
END $$;

CREATE FUNCTION pgherd.set_cluster_setting(name text, value text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'pgherd.set_cluster_setting() is supported alone in a SELECT, with constants or parameters' USING ERRCODE = '0A000';
END $$;

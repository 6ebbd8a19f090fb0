-- The router answers it where it stands alone in a SELECT; it never runs this body.
CREATE FUNCTION pgherd.read_token() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'pgherd.read_token() is supported alone in a SELECT' USING ERRCODE = '0A000';
END $$;

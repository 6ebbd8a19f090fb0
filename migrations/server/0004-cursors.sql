-- Cursors that all see what the calling statement sees: a STABLE function's queries have its snapshot, whatever the isolation level.
CREATE FUNCTION pgherd.open_cursors(names text[], queries text[]) RETURNS void LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    one refcursor;
BEGIN
    FOR i IN 1 .. pg_catalog.array_length(names, 1) LOOP
        one := names[i];
        OPEN one FOR EXECUTE queries[i];
    END LOOP;
END $$;
GRANT EXECUTE ON FUNCTION pgherd.open_cursors(text[], text[]) TO PUBLIC;

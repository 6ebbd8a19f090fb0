-- As the others that operators call: the router answers it.
CREATE FUNCTION pgherd.move_table(table_name text, shard integer) RETURNS bigint LANGUAGE sql AS $$ SELECT pgherd.answered_by_router(); SELECT NULL::bigint $$;

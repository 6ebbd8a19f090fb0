-- DO and CALL, as migrations of ORMs send them.
CREATE TABLE t (id int PRIMARY KEY, a text);
CREATE TABLE kid (id int PRIMARY KEY, t_id int);
INSERT INTO t SELECT g, 'a' || g FROM generate_series(1, 30) g;
INSERT INTO kid SELECT g, g FROM generate_series(1, 30) g;

-- no schema, no table
DO $$ BEGIN RAISE NOTICE 'hello'; END $$;
DO LANGUAGE plpgsql 'DECLARE n int := 1; BEGIN n := n + 1; ASSERT n = 2; END';
DO $$ BEGIN RAISE EXCEPTION 'mine' USING ERRCODE = 'P1234'; END $$;
DO $$ DECLARE n int; BEGIN SELECT count(*) INTO n FROM pg_class; IF n = 0 THEN RAISE EXCEPTION 'none'; END IF; END $$;
DO $$ BEGIN SELEC 1; END $$;
DO $$ BEGIN IF; END $$;
DO $$ BEGIN x := 1; END $$;
DO LANGUAGE nope 'x';
DO LANGUAGE sql 'SELECT 1';

-- types, guarded
DO $$ BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_type WHERE typname = 'mood') THEN
    CREATE TYPE mood AS ENUM ('sad', 'happy');
  END IF;
END $$;
DO $$ BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_type WHERE typname = 'mood') THEN
    CREATE TYPE mood AS ENUM ('other');
  END IF;
END $$;
SELECT enum_range(NULL::mood);
DO $$ BEGIN CREATE TYPE mood AS ENUM ('third'); EXCEPTION WHEN duplicate_object THEN null; END $$;
DO $$ BEGIN CREATE TYPE colour AS ENUM ('red'); EXCEPTION WHEN duplicate_object THEN null; END $$;
DO $$ BEGIN CREATE TYPE mood AS ENUM ('third'); END $$;
ALTER TABLE t ADD COLUMN m mood DEFAULT 'sad', ADD COLUMN c colour;
INSERT INTO t VALUES (31, 'x', 'happy', 'red') RETURNING m, c;
SELECT m, count(*) FROM t GROUP BY m ORDER BY m;

-- constraints and columns, guarded
DO $$ BEGIN
 ALTER TABLE "kid" ADD CONSTRAINT "kid_t_fk" FOREIGN KEY ("t_id") REFERENCES "public"."t"("id") ON DELETE no action ON UPDATE no action;
EXCEPTION
 WHEN duplicate_object THEN null;
END $$;
DO $$ BEGIN
 ALTER TABLE "kid" ADD CONSTRAINT "kid_t_fk" FOREIGN KEY ("t_id") REFERENCES "public"."t"("id") ON DELETE no action ON UPDATE no action;
EXCEPTION
 WHEN duplicate_object THEN null;
END $$;
SELECT conname FROM pg_constraint WHERE conrelid = 'kid'::regclass AND contype = 'f';
INSERT INTO kid VALUES (50, 999);
DO $$ BEGIN
  BEGIN
    ALTER TABLE t ADD COLUMN b int DEFAULT 5;
  EXCEPTION WHEN duplicate_column THEN RAISE NOTICE 'column b exists';
  END;
END $$;
DO $$ BEGIN
  BEGIN
    ALTER TABLE t ADD COLUMN b int DEFAULT 6;
  EXCEPTION WHEN duplicate_column THEN RAISE NOTICE 'column b exists';
  END;
END $$;
SELECT b, count(*) FROM t GROUP BY b;
DO $$ BEGIN
  IF NOT EXISTS (SELECT 1 FROM information_schema.columns WHERE table_name = 't' AND column_name = 'd') THEN
    ALTER TABLE t ADD COLUMN d text; ALTER TABLE t ADD CONSTRAINT t_d CHECK (d <> '');
  ELSE
    ALTER TABLE t DROP COLUMN d;
  END IF;
END $$;
INSERT INTO t (id, d) VALUES (32, '');
INSERT INTO t (id, d) VALUES (32, 'd') RETURNING id, d, b;
DO $$ BEGIN ALTER TABLE t RENAME COLUMN d TO dd; ALTER TABLE t RENAME TO tt; ALTER TABLE tt RENAME TO t; END $$;
SELECT id, dd FROM t WHERE dd IS NOT NULL;

-- all or nothing
DO $$ BEGIN CREATE TABLE half (id int PRIMARY KEY); ALTER TABLE nope ADD COLUMN x int; END $$;
SELECT * FROM half;
DO $$ BEGIN CREATE TABLE half (id int PRIMARY KEY); RAISE EXCEPTION 'stop'; END $$;
SELECT * FROM half;
DO $$ BEGIN
  CREATE TABLE whole (id int PRIMARY KEY);
  BEGIN CREATE TABLE half (id int PRIMARY KEY); RAISE EXCEPTION 'stop'; EXCEPTION WHEN OTHERS THEN RAISE NOTICE '%', SQLERRM; END;
END $$;
SELECT * FROM half;
INSERT INTO whole SELECT generate_series(1, 20);
SELECT count(*) FROM whole;
BEGIN;
DO $$ BEGIN CREATE TABLE in_block (id int PRIMARY KEY); END $$;
INSERT INTO in_block VALUES (1), (2), (3);
SELECT count(*) FROM in_block;
ROLLBACK;
SELECT count(*) FROM in_block;
BEGIN;
SAVEPOINT a;
DO $$ BEGIN CREATE TABLE in_block (id int PRIMARY KEY); END $$;
ROLLBACK TO a;
DO $$ BEGIN CREATE TABLE in_block2 (id int PRIMARY KEY); END $$;
COMMIT;
SELECT count(*) FROM in_block2;

-- EXECUTE, loops over the catalog, comments and strings that look like statements
DO $$ DECLARE r record; BEGIN
  FOR r IN SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND c.relkind = 'r' AND c.relname LIKE 'in\_block%' LOOP
    EXECUTE 'DROP TABLE ' || quote_ident(r.relname) || ' CASCADE';
  END LOOP;
END $$;
SELECT count(*) FROM in_block2;
DO $$ BEGIN
  FOR i IN 1..3 LOOP
    EXECUTE format('CREATE TABLE part_%s (id int PRIMARY KEY, v int DEFAULT %s)', i, i * 10);
  END LOOP;
END $$;
INSERT INTO part_2 (id) SELECT generate_series(1, 9);
SELECT sum(v) FROM part_2;
DO $$ BEGIN /* CREATE TABLE no1 (id int) */ CREATE TABLE yes1 (id int); -- CREATE TABLE yes1 (id int)
  RAISE NOTICE 'CREATE TABLE yes2 (id int)'; CREATE TABLE yes2 (id int); CREATE TABLE IF NOT EXISTS yes2 (id int); CREATE TABLE IF NOT EXISTS yes2 (id int);
  CREATE FUNCTION f1() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN RETURN 1; END $f$;
  CREATE VIEW v1 AS SELECT id FROM t; COMMENT ON VIEW v1 IS 'it''s';
  CREATE INDEX t_b ON t (b); GRANT SELECT ON t TO PUBLIC;
END $$;
SELECT relname FROM pg_class WHERE relname LIKE 'yes%' OR relname LIKE 'no_' OR relname IN ('v1', 't_b') ORDER BY 1;
SELECT f1(), (SELECT count(*) FROM v1), obj_description('v1'::regclass);
DO $$ DECLARE n int := 3; BEGIN CREATE TABLE made AS SELECT id, a FROM t WHERE id < 4; END $$;
SELECT * FROM made ORDER BY id;

-- rows of tables in a block are refused
DO $$ BEGIN IF EXISTS (SELECT 1 FROM t) THEN CREATE TABLE wrong (id int); END IF; END $$;
DO $$ BEGIN UPDATE t SET a = 'z' WHERE id = 1; END $$;
DO $$ BEGIN CREATE TABLE filled (id int); INSERT INTO filled VALUES (1); END $$;
DO $$ DECLARE n int; BEGIN EXECUTE 'SELECT count(*) FROM t' INTO n; IF n = 0 THEN EXECUTE 'CREATE TABLE wrong (id int)'; END IF; END $$;
DO $$ BEGIN BEGIN EXECUTE 'SELECT 1 / count(*) FROM t'; EXCEPTION WHEN OTHERS THEN EXECUTE 'CREATE TABLE wrong (id int)'; END; END $$;
SELECT count(*) FROM wrong;

-- CALL
CREATE PROCEDURE p1(x int) LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'x is %', x; END $$;
CREATE PROCEDURE p2(IN x int, INOUT y int) LANGUAGE plpgsql AS $$ BEGIN y := x * 2 + coalesce(y, 0); END $$;
CREATE PROCEDURE p3() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;
CREATE PROCEDURE p4() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO t (id) VALUES (1000); END $$;
CALL p1(5);
CALL p2(5, 1);
CALL p2(y => 3, x => 4);
CALL p3();
BEGIN;
CALL p2(1, NULL);
CALL p3();
ROLLBACK;
CALL nope();
CALL p1('x');
CALL p4();
SELECT count(*) FROM t WHERE id = 1000;
DO $$ BEGIN CALL p1(1); END $$;
DO $$ BEGIN CALL p4(); END $$;
DO $$ BEGIN PERFORM set_config('search_path', 'pg_catalog', false); END $$;
SHOW search_path;

-- a function that changes the schema is not called on one server only
CREATE FUNCTION makes_type() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CREATE TYPE from_f AS ENUM ('x'); END $$;
SELECT makes_type();
CREATE TABLE uses_type (id int PRIMARY KEY, x from_f);
RESET search_path;
CREATE FUNCTION reads_left() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN IF reads_t() = 31 THEN RETURN true; END IF; RETURN false; END $$;
CREATE FUNCTION reads_t() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM t';
SELECT reads_left();

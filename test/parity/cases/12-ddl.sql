-- Changing the schema: columns, defaults, constraints, indexes, schemas, search_path, types,
-- sequences, TRUNCATE, CREATE TABLE AS, temporary tables, comments.
CREATE TABLE t (id int PRIMARY KEY, a text, b int);
INSERT INTO t SELECT g, 'a' || g % 9, g % 5 FROM generate_series(1, 60) g;

-- columns
ALTER TABLE t ADD COLUMN c int;
SELECT * FROM t WHERE id = 1;
ALTER TABLE t ADD COLUMN d text NOT NULL DEFAULT 'dd', ADD COLUMN e numeric(6,2) DEFAULT 1.5;
SELECT * FROM t WHERE id IN (2, 3) ORDER BY id;
INSERT INTO t (id) VALUES (61) RETURNING *;
UPDATE t SET c = id * 2 WHERE id % 2 = 0;
ALTER TABLE t RENAME COLUMN c TO cc;
SELECT id, cc FROM t WHERE cc > 100 ORDER BY id;
SELECT c FROM t;
ALTER TABLE t ALTER COLUMN cc SET DEFAULT 7;
INSERT INTO t (id) VALUES (62) RETURNING cc;
ALTER TABLE t ALTER cc DROP DEFAULT;
INSERT INTO t (id) VALUES (63) RETURNING cc;
ALTER TABLE t ALTER COLUMN cc SET NOT NULL;
UPDATE t SET cc = 0 WHERE cc IS NULL;
ALTER TABLE t ALTER COLUMN cc SET NOT NULL;
INSERT INTO t (id) VALUES (64);
ALTER TABLE t ALTER COLUMN cc DROP NOT NULL;
INSERT INTO t (id) VALUES (64) RETURNING id, cc;
ALTER TABLE t ALTER COLUMN b TYPE bigint USING b * 10;
SELECT id, b FROM t WHERE id < 6 ORDER BY id;
ALTER TABLE t ALTER COLUMN a TYPE int;
ALTER TABLE t DROP COLUMN e;
SELECT * FROM t WHERE id = 5;
ALTER TABLE t DROP COLUMN nope;
ALTER TABLE t DROP COLUMN IF EXISTS nope;
ALTER TABLE t ADD COLUMN a int;
ALTER TABLE t ADD COLUMN IF NOT EXISTS a int;
ALTER TABLE t RENAME TO tt;
SELECT count(*) FROM t;
SELECT count(*) FROM tt;
ALTER TABLE tt RENAME TO t;
ALTER TABLE IF EXISTS nope ADD COLUMN x int;
ALTER TABLE nope ADD COLUMN x int;

-- constraints
ALTER TABLE t ADD CONSTRAINT b_small CHECK (b < 1000);
INSERT INTO t (id, b) VALUES (65, 1000);
ALTER TABLE t ADD CHECK (b > 0);
ALTER TABLE t ADD CONSTRAINT b_pos CHECK (b > 0) NOT VALID;
INSERT INTO t (id, b) VALUES (65, 0);
ALTER TABLE t DROP CONSTRAINT b_pos;
INSERT INTO t (id, b) VALUES (65, 0);
ALTER TABLE t DROP CONSTRAINT nope;
ALTER TABLE t RENAME CONSTRAINT b_small TO b_little;
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 't'::regclass AND contype = 'c' ORDER BY conname;

-- indexes
CREATE INDEX t_a ON t (a);
CREATE INDEX ON t (lower(a), b DESC) WHERE b > 0;
CREATE UNIQUE INDEX t_id_b ON t (id, b);
SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND tablename = 't' ORDER BY indexname;
SELECT count(*) FROM t WHERE a = 'a3';
CREATE INDEX t_a ON t (b);
CREATE INDEX IF NOT EXISTS t_a ON t (b);
CREATE INDEX ON t (nope);
CREATE UNIQUE INDEX t_a_unique ON t (a);
ALTER INDEX t_a RENAME TO t_a2;
DROP INDEX t_a;
DROP INDEX t_a2;
DROP INDEX IF EXISTS t_a2;
CREATE INDEX t_hash ON t USING hash (a);
CREATE INDEX t_expr ON t ((b + id));
SELECT id FROM t WHERE b + id = 47;

-- schemas and the search path
CREATE SCHEMA s1;
CREATE SCHEMA s2;
CREATE TABLE s1.t (id int PRIMARY KEY, v text);
CREATE TABLE s2.t (id text PRIMARY KEY, w int);
INSERT INTO s1.t SELECT g, 's1 ' || g FROM generate_series(1, 20) g;
INSERT INTO s2.t SELECT 'k' || g, g FROM generate_series(1, 20) g;
SELECT count(*) FROM t;
SELECT v FROM s1.t WHERE id = 3;
SELECT a.v, b.w FROM s1.t a JOIN s2.t b ON b.w = a.id WHERE a.id < 4 ORDER BY a.id;
SET search_path TO s1, public;
SELECT v FROM t WHERE id = 4;
SELECT current_schema(), current_schemas(false);
SET search_path TO s2;
SELECT w FROM t WHERE id = 'k4';
CREATE TABLE made_in_s2 (id int PRIMARY KEY);
INSERT INTO made_in_s2 VALUES (1), (2);
SHOW search_path;
RESET search_path;
SELECT count(*) FROM s2.made_in_s2;
SELECT count(*) FROM made_in_s2;
ALTER TABLE s2.made_in_s2 SET SCHEMA s1;
SELECT count(*) FROM s1.made_in_s2;
ALTER SCHEMA s2 RENAME TO s3;
SELECT count(*) FROM s3.t;
SELECT count(*) FROM s2.t;
DROP SCHEMA s3;
DROP SCHEMA s3 CASCADE;
CREATE SCHEMA s1;
CREATE SCHEMA IF NOT EXISTS s1;
CREATE TABLE nowhere.t (id int);
SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema IN ('s1', 's3', 'public') ORDER BY 1, 2;

-- types
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE people (id int PRIMARY KEY, m mood);
INSERT INTO people SELECT g, (ARRAY['sad', 'ok'])[1 + g % 2]::mood FROM generate_series(1, 12) g;
ALTER TYPE mood ADD VALUE 'happy';
ALTER TYPE mood ADD VALUE 'so-so' BEFORE 'ok';
INSERT INTO people VALUES (13, 'happy'), (14, 'so-so');
SELECT m, count(*) FROM people GROUP BY m ORDER BY m;
ALTER TYPE mood RENAME VALUE 'ok' TO 'fine';
SELECT id FROM people WHERE m = 'fine' ORDER BY id;
SELECT enum_range(NULL::mood);
INSERT INTO people VALUES (15, 'ok');
DROP TYPE mood;
CREATE DOMAIN pct AS int DEFAULT 50 CONSTRAINT pct_range CHECK (VALUE BETWEEN 0 AND 100);
CREATE TABLE marks (id int PRIMARY KEY, p pct);
INSERT INTO marks (id) VALUES (1);
INSERT INTO marks VALUES (2, 101);
SELECT * FROM marks;
ALTER DOMAIN pct DROP CONSTRAINT pct_range;
INSERT INTO marks VALUES (2, 101) RETURNING p + 1 AS q;
CREATE TYPE pair AS (x int, y text);
CREATE TABLE pairs (id int PRIMARY KEY, p pair);
INSERT INTO pairs VALUES (1, (1, 'one')), (2, ROW(2, 'two'));
SELECT (p).y, p FROM pairs ORDER BY id;
DROP TYPE nope;
DROP TYPE IF EXISTS nope;

-- sequences
CREATE SEQUENCE sq START 10 INCREMENT 5;
SELECT currval('sq');
SELECT nextval('sq');
SELECT nextval('sq'), nextval('public.sq');
SELECT currval('sq');
SELECT setval('sq', 100);
SELECT nextval('sq');
SELECT setval('sq', 200, false);
SELECT nextval('sq');
SELECT last_value, is_called FROM sq;
ALTER SEQUENCE sq RESTART WITH 7;
SELECT nextval('sq');
SELECT nextval('nope');
CREATE SEQUENCE small MAXVALUE 2;
SELECT nextval('small') FROM generate_series(1, 2);
SELECT nextval('small');
CREATE TABLE with_sq (id int DEFAULT nextval('sq') PRIMARY KEY, v text);
INSERT INTO with_sq (v) VALUES ('a'), ('b') RETURNING id;
DROP SEQUENCE sq;
DROP SEQUENCE small;

-- CREATE TABLE AS and SELECT INTO
CREATE TABLE copy1 AS SELECT * FROM t WHERE id <= 10;
SELECT count(*), sum(id) FROM copy1;
CREATE TABLE copy2 (k, n) AS SELECT a, count(*) FROM t GROUP BY a;
SELECT * FROM copy2;
SELECT id, a INTO copy3 FROM t WHERE b = 20;
SELECT * FROM copy3;
CREATE TABLE copy4 AS TABLE copy3 WITH NO DATA;
SELECT * FROM copy4;
CREATE TABLE copy1 AS SELECT 1;
CREATE TABLE IF NOT EXISTS copy1 AS SELECT 1;

-- temporary tables
CREATE TEMP TABLE tmp (id int PRIMARY KEY, v text);
INSERT INTO tmp SELECT g, 'tmp' || g FROM generate_series(55, 70) g;
SELECT t.id, tmp.v FROM t JOIN tmp USING (id) ORDER BY t.id;
CREATE TEMP TABLE copy3 AS SELECT 'temp'::text AS which;
SELECT which FROM copy3;
DROP TABLE copy3;
SELECT count(*) FROM copy3;
BEGIN;
CREATE TEMP TABLE gone (id int) ON COMMIT DROP;
INSERT INTO gone VALUES (1);
SELECT * FROM gone;
COMMIT;
SELECT * FROM gone;
CREATE TEMP TABLE emptied (id int) ON COMMIT DELETE ROWS;
INSERT INTO emptied VALUES (1);
SELECT count(*) FROM emptied;

-- TRUNCATE, comments, drop
TRUNCATE copy1;
SELECT count(*) FROM copy1;
TRUNCATE TABLE copy2, s1.t;
SELECT (SELECT count(*) FROM copy2) + (SELECT count(*) FROM s1.t) AS n;
CREATE TABLE ser (id serial PRIMARY KEY, v int);
INSERT INTO ser (v) VALUES (1), (2), (3);
TRUNCATE ser RESTART IDENTITY;
INSERT INTO ser (v) VALUES (9) RETURNING id;
TRUNCATE nope;
COMMENT ON TABLE t IS 'the table';
COMMENT ON COLUMN t.a IS 'its column';
SELECT obj_description('t'::regclass, 'pg_class'), col_description('t'::regclass, 2);
COMMENT ON TABLE t IS NULL;
SELECT obj_description('t'::regclass, 'pg_class');
ANALYZE t;
DROP TABLE copy1, copy2;
DROP TABLE copy1;
DROP TABLE IF EXISTS copy1, copy4;
DROP VIEW t;
DROP TABLE t;
CREATE TABLE t (id text PRIMARY KEY, other bool);
INSERT INTO t VALUES ('again', true) RETURNING *;

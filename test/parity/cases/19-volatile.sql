-- each row gets a value of its own
CREATE TABLE t (id int PRIMARY KEY, u uuid DEFAULT gen_random_uuid(), r float8, c timestamptz, n int);
INSERT INTO t (id) SELECT g FROM generate_series(1, 50) g;
CREATE TABLE o (id int PRIMARY KEY, tid int);
INSERT INTO o SELECT g, g + 1 FROM generate_series(1, 60) g;
UPDATE t SET u = gen_random_uuid(), r = random(), c = clock_timestamp();
SELECT count(*), count(DISTINCT u), count(DISTINCT r) > 45, bool_and(r >= 0 AND r < 1), bool_and(c >= now() - interval '1 minute') FROM t;
UPDATE t SET u = DEFAULT WHERE id < 20 RETURNING u IS NOT NULL;
UPDATE t SET r = random() + 5 FROM o WHERE o.tid = t.id AND o.id < 10;
DELETE FROM t WHERE random() < 0 RETURNING id;
SELECT count(*), count(DISTINCT u), count(*) FILTER (WHERE r >= 5) FROM t;
-- a subquery is computed once for all rows
UPDATE t SET r = (SELECT random());
SELECT count(DISTINCT r) FROM t;
UPDATE t SET u = x.u FROM (SELECT gen_random_uuid() AS u) x;
SELECT count(DISTINCT u) FROM t;
UPDATE t SET r = (SELECT random() + t.id - t.id);
WITH x AS (SELECT random() AS r) UPDATE t SET r = x.r FROM x;
SELECT count(DISTINCT r) FROM t;
-- values of a sequence
CREATE SEQUENCE s;
UPDATE t SET n = nextval('s');
SELECT count(DISTINCT n), min(n), max(n) FROM t;
UPDATE t SET n = nextval('s') WHERE id <= 10 RETURNING n > 50;
SELECT count(DISTINCT n), max(n) FROM t;
CREATE FUNCTION random(text) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 7';
UPDATE t SET n = random('x') WHERE id > 40;
SELECT n, count(*) FROM t WHERE id > 40 GROUP BY n;

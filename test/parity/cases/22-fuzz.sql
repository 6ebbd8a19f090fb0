-- Differences that the random tester found, each as small as it could be made.

-- RETURNING may name the target with its schema
CREATE SCHEMA other;
CREATE TABLE other.w (id smallint PRIMARY KEY, b smallint);
CREATE TABLE items (id smallint, a smallint);
INSERT INTO items VALUES (1, 2), (3, 4), (5, 6);
INSERT INTO other.w (id, b) SELECT id, a FROM items RETURNING other.w.*;
INSERT INTO other.w (id, b) VALUES (7, 8), (8, 9), (10, 11) RETURNING other.w.id, other.w.b;
INSERT INTO other.w (id) VALUES (20) RETURNING other.w.id;
INSERT INTO other.w (id, b) VALUES (7, 1), (8, 1) ON CONFLICT (id) DO UPDATE SET b = other.w.b + 1 RETURNING *;
UPDATE other.w SET b = 0 WHERE other.w.id = 20 RETURNING other.w.id;
DELETE FROM other.w WHERE other.w.b = 0 RETURNING other.w.*;
CREATE SCHEMA "a.b";
CREATE TABLE "a.b".t (id int PRIMARY KEY, n int);
INSERT INTO "a.b".t VALUES (1, 2) RETURNING "a.b".t.n;
SELECT "a.b".t.n FROM "a.b".t WHERE "a.b" . t . id = 1;
SELECT "a.b".t.n FROM "a.b".t;

-- a parameter of a user's type whose row goes to one shard, beside rows that go to others
CREATE DOMAIN small_number AS int CHECK (VALUE < 1000);
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE d (k text PRIMARY KEY, n small_number, m mood);
PREPARE d_rows (small_number, mood) AS INSERT INTO d VALUES ('a', 1, 'ok'), ('b', $1, $2), ('c', 3, NULL), ('d', 4, NULL), ('e', 5, NULL);
EXECUTE d_rows (7, 'sad');
SELECT * FROM d;

-- arguments of a statement without parameters are not looked at
PREPARE none AS SELECT 1 AS one;
EXECUTE none (1, 'x');

-- a join with a UNION is tied to a key only when all arms are
CREATE TABLE a (id int PRIMARY KEY, n int, x text);
CREATE TABLE b (id int PRIMARY KEY, n int, y text);
CREATE TABLE c (id int PRIMARY KEY, n int, z text);
INSERT INTO a SELECT g, g % 5, 'a' || g FROM generate_series(1, 30) g;
INSERT INTO b SELECT g, g % 4, 'b' || g FROM generate_series(11, 40) g;
INSERT INTO c SELECT g, g % 3, 'c' || g FROM generate_series(5, 20) g;
SELECT q.id FROM (SELECT id FROM b WHERE id = 12 UNION ALL SELECT id FROM c) q JOIN a ON a.id = q.id;
SELECT q.id FROM (SELECT id FROM b WHERE id = 12 UNION SELECT id FROM c) q JOIN a ON a.id = q.id;
SELECT id FROM a WHERE id IN (SELECT id FROM b WHERE id = 12 UNION ALL SELECT id FROM c);
SELECT id FROM a WHERE id IN (SELECT id FROM b EXCEPT SELECT id FROM c WHERE id = 12);
SELECT q.id FROM (SELECT id FROM b WHERE id = 12 UNION ALL SELECT id FROM c WHERE id = 12) q JOIN a ON a.id = q.id;

-- a WITH query means the same where it is used: its tables, and the columns of the query around it
WITH w AS (SELECT id FROM b WHERE id < 14) SELECT * FROM (WITH b AS (SELECT 1 AS id) SELECT w.id AS w, b.id AS b, b2.id AS b2 FROM w, b, b b2) q ORDER BY 1;
WITH w AS (SELECT id FROM b WHERE id < 14), b AS (SELECT 1 AS id) SELECT w.id, b.id, b2.id FROM w, b, b b2 ORDER BY 1;
SELECT a.id, (WITH w AS (SELECT a.n AS v) SELECT max(s.v) FROM (SELECT (SELECT w.v FROM w) AS v FROM b a) s) FROM a ORDER BY 1;
SELECT a.id, (WITH w AS (SELECT a.n AS v) SELECT (SELECT w.v FROM w) FROM b a WHERE a.id = 11) FROM a ORDER BY 1;
WITH "Mixed Case" AS (SELECT id FROM a), "select" (c1) AS (SELECT id FROM b) SELECT count(*) FROM "Mixed Case", "select" WHERE id = c1;
WITH "View 0" (c1) AS (SELECT id FROM a WHERE n = 1) SELECT c1 FROM "View 0" WHERE c1 = 11;
-- one that is not used is read all the same
WITH w AS (SELECT current_date + id::bigint FROM a) SELECT id FROM a WHERE id < 4;

-- an argument of EXECUTE is of its parameter's type whatever its length
CREATE TABLE ch (id int PRIMARY KEY, c char(6), b bit(5));
INSERT INTO ch VALUES (1, 'ab', B'10101'), (2, 'a', B'10000'), (3, 'abc', B'11111');
PREPARE by_char AS SELECT id FROM ch WHERE c = $1;
EXECUTE by_char ('ab');
PREPARE by_bit AS SELECT id FROM ch WHERE b = $1;
EXECUTE by_bit (B'10101');
PREPARE declared (char, bit, varchar, numeric) AS SELECT $1, $2, $3, $4;
EXECUTE declared ('abc', B'101', 'xyz', 1.25);

-- several columns from one subquery
UPDATE b SET (n, y) = (SELECT count(*), max(x) FROM a WHERE a.id = b.id) WHERE id < 15 RETURNING *;
UPDATE b SET (y, n) = (SELECT x, n FROM a WHERE a.n = b.n ORDER BY a.id LIMIT 1), id = id WHERE id = 16 RETURNING *;
UPDATE b SET (n, y) = (SELECT max(a.n), min(c.z) FROM a, c) WHERE id > 36;
SELECT * FROM b;

-- a string without a cast is of the type that the other arm has
CREATE TABLE vc (id int PRIMARY KEY, y varchar(20), d date);
INSERT INTO vc VALUES (1, 'A', '2024-01-01'), (2, 'B', NULL), (3, 'A', '2024-01-02');
SELECT 'A', ' 5' FROM a INTERSECT ALL SELECT y, y FROM vc;
SELECT 'A' FROM a INTERSECT SELECT y FROM vc;
SELECT '2024-01-01' FROM a UNION SELECT d FROM vc;
SELECT NULL FROM a EXCEPT SELECT id FROM vc;
(SELECT '7' FROM a ORDER BY id LIMIT 2) UNION ALL SELECT id FROM vc;

-- rows of a reference table change one by one where they could meet in a unique index, on the catalog too
CREATE TABLE ref (id bigint PRIMARY KEY, n int);
/* cluster */ SELECT create_reference_table('ref');
INSERT INTO ref SELECT g, g FROM generate_series(1, 13) g;
UPDATE ref SET id = id + 1000 WHERE EXISTS (SELECT 1 FROM a) RETURNING *;
UPDATE ref SET id = id + 1 FROM b WHERE b.id = ref.n RETURNING ref.id;
SELECT * FROM ref;
DELETE FROM ref WHERE n IN (SELECT id FROM a WHERE id > 5) RETURNING id;
SELECT count(*), sum(id) FROM ref;

-- a column of the query around a lateral subquery that has an output of the same name
SELECT s.c1, l.n FROM (SELECT id AS c1 FROM a) s LEFT JOIN LATERAL (SELECT b.id AS c1, b.n FROM b WHERE c1 = b.id + 1 ORDER BY 1 LIMIT 2) l ON true ORDER BY 1, 2;
SELECT s.c1, l.* FROM (SELECT n AS c1 FROM a) s, LATERAL (SELECT count(*) AS c1 FROM b WHERE b.n = c1) l ORDER BY 1, 2;

-- two tables of one name: the schema says which is meant
CREATE TABLE other.a (id int PRIMARY KEY, n int);
INSERT INTO other.a SELECT g, g % 3 FROM generate_series(1, 10) g;
SELECT count(*) FROM other.a WHERE EXISTS (SELECT 1 FROM a WHERE a.id = other.a.n);
SELECT other.a.id FROM other.a WHERE other.a.id = 3 AND EXISTS (SELECT 1 FROM a WHERE a.id = 3 AND a.n = other.a.n);
SELECT count(*) FROM other.a WHERE other.a.n = 1 AND EXISTS (SELECT 1 FROM a AS q WHERE q.id = other.a.n);

-- a WITH that writes a reference table writes all of its copies, whatever stands beside it
CREATE TABLE alone (x int);
INSERT INTO alone VALUES (1);
WITH w AS (INSERT INTO ref VALUES (2000, 1) ON CONFLICT (id) DO UPDATE SET n = 5 RETURNING id) SELECT * FROM w, alone;
SELECT * FROM ref WHERE id = 2000;
SELECT * FROM ref JOIN a ON a.id = ref.n WHERE ref.id = 2000;
WITH w AS (UPDATE ref SET n = 77 WHERE id = 2000) UPDATE alone SET x = x + 1 RETURNING x;
WITH w AS (DELETE FROM ref WHERE n = 6 RETURNING id) SELECT w.id, a.n FROM w, a WHERE a.id = 1;
SELECT * FROM ref JOIN alone ON true;
SELECT ref.*, a.id FROM ref JOIN a ON a.id = 1;
SELECT * FROM ref;

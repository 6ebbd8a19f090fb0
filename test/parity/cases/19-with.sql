-- WITH that writes, over several shards: all parts see the rows as they were
CREATE TABLE src (id int PRIMARY KEY, v int, owner text);
CREATE TABLE arch (id int PRIMARY KEY, v int, why text DEFAULT 'moved');
CREATE TABLE ser (id serial PRIMARY KEY, sid int, at timestamptz DEFAULT now());
INSERT INTO src SELECT g, g % 10, 'o' || g % 3 FROM generate_series(1, 60) g;
WITH d AS (DELETE FROM src WHERE v > 7 RETURNING *) INSERT INTO arch (id, v) SELECT id, v FROM d;
SELECT count(*), sum(id) FROM src;
SELECT count(*), sum(id), min(why) FROM arch;
WITH d AS (DELETE FROM src WHERE v = 7 RETURNING *) SELECT owner, count(*), sum(id) FROM d GROUP BY owner ORDER BY owner;
WITH u AS (UPDATE src SET v = v + 100 WHERE owner = 'o1' RETURNING id, v) SELECT u.id, u.v, src.v FROM u JOIN src USING (id) ORDER BY 1;
WITH i AS (INSERT INTO src VALUES (500, 5, 'new'), (501, 6, 'new') RETURNING *) SELECT count(*), (SELECT count(*) FROM src) FROM i;
WITH i AS (INSERT INTO src VALUES (600, 5, 'new') RETURNING *), d AS (DELETE FROM src WHERE id < 5 RETURNING id) INSERT INTO arch SELECT i.id, d.id + 1000, 'both' FROM i, d WHERE d.id = 1 RETURNING *;
WITH i AS (INSERT INTO src VALUES (600, 5, 'again') RETURNING *) SELECT * FROM i;
WITH a AS (INSERT INTO ser (sid) SELECT id FROM src WHERE owner = 'new' RETURNING id, sid) SELECT count(*), count(DISTINCT id), sum(sid) FROM a;
WITH a AS (INSERT INTO ser (sid) VALUES (1), (2), (3) RETURNING id), b AS (INSERT INTO ser (sid) VALUES (4) RETURNING id) SELECT count(*) FROM (SELECT * FROM a UNION SELECT * FROM b) x;
WITH d AS (DELETE FROM src WHERE id = 10 RETURNING *), i AS (INSERT INTO arch (id, v) SELECT id + 5000, v FROM d RETURNING id) UPDATE src SET v = -1 WHERE id IN (11, 12, 13) AND EXISTS (SELECT FROM i) RETURNING id, v;
WITH u AS (UPDATE src SET id = id + 300 WHERE id IN (20, 21, 22) RETURNING id) DELETE FROM arch WHERE v > 8 AND (SELECT count(*) FROM u) = 3 RETURNING id;
WITH u AS (UPDATE src SET v = 1 WHERE id = 30 RETURNING *) DELETE FROM src WHERE id = 31 RETURNING id, (SELECT id FROM u);
WITH RECURSIVE t (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5), d AS (DELETE FROM src WHERE id IN (SELECT n + 40 FROM t) RETURNING id) SELECT * FROM d ORDER BY id;
WITH x AS (INSERT INTO arch VALUES (1, 1), (8, 8) ON CONFLICT (id) DO UPDATE SET why = 'conflict' RETURNING *) SELECT * FROM x ORDER BY id;
WITH x AS (INSERT INTO arch SELECT id, 0 FROM src WHERE id < 20 ON CONFLICT DO NOTHING RETURNING id) SELECT count(*) FROM x;
WITH w AS (UPDATE src SET v = 0) SELECT count(*) FROM src WHERE v = 0;
SELECT count(*), sum(id), sum(v) FROM src;
SELECT count(*), sum(id), sum(v) FROM arch;
SELECT count(*), sum(sid), count(DISTINCT at) > 0 FROM ser;

-- errors leave nothing
WITH d AS (DELETE FROM src RETURNING *) INSERT INTO arch SELECT id / 2, v FROM d;
WITH d AS (DELETE FROM src RETURNING *) INSERT INTO arch SELECT id + 10000, 1 / (id - 33) FROM d;
WITH d AS (DELETE FROM src WHERE id > 10 RETURNING *) INSERT INTO arch SELECT NULL, v FROM d;
WITH d AS (UPDATE src SET id = 1 WHERE id > 10 RETURNING *) SELECT count(*) FROM d;
SELECT count(*), sum(id), sum(v) FROM src;
SELECT count(*), sum(id), sum(v) FROM arch;
BEGIN;
WITH d AS (DELETE FROM src WHERE id > 10 RETURNING *) INSERT INTO arch (id) SELECT id + 10000 FROM d;
SAVEPOINT a;
WITH d AS (DELETE FROM src RETURNING *) INSERT INTO arch (id) SELECT id FROM d WHERE false;
SELECT count(*) FROM src;
ROLLBACK TO a;
SELECT count(*) FROM src;
SELECT count(*) FROM arch WHERE id > 10000;
ROLLBACK;
SELECT count(*), sum(id), sum(v) FROM src;

-- foreign keys between the parts
CREATE TABLE par (id int PRIMARY KEY);
CREATE TABLE kid (pid int PRIMARY KEY REFERENCES par, v int);
WITH p AS (INSERT INTO par SELECT g FROM generate_series(1, 9) g RETURNING id) INSERT INTO kid SELECT id, id FROM p;
WITH k AS (DELETE FROM kid WHERE pid < 4 RETURNING pid) DELETE FROM par WHERE id < 4 RETURNING id;
WITH k AS (DELETE FROM kid WHERE pid < 5 RETURNING pid) DELETE FROM par WHERE id < 7;
SELECT count(*) FROM par;
SELECT count(*) FROM kid;

-- temporary and single tables in it
CREATE TEMP TABLE scratch (id int, v int);
WITH d AS (DELETE FROM src WHERE id > 50 RETURNING id, v) INSERT INTO scratch SELECT id, v FROM d;
SELECT count(*), sum(id) FROM scratch;
CREATE TABLE one (a int, b int);
WITH d AS (DELETE FROM src WHERE id > 40 RETURNING id, v) INSERT INTO one SELECT id, v FROM d RETURNING a;
WITH d AS (DELETE FROM one WHERE a > 45 RETURNING *), u AS (UPDATE one SET b = b + 1000 WHERE a <= 45 RETURNING *) INSERT INTO src SELECT a, b, 'back' FROM d;
SELECT * FROM one ORDER BY a;
SELECT * FROM src WHERE owner = 'back' ORDER BY id;
CREATE TABLE country (code text PRIMARY KEY, n int);
/* cluster */ SELECT create_reference_table('country');
WITH i AS (INSERT INTO country VALUES ('CH', 1), ('AT', 2) RETURNING *) INSERT INTO src SELECT 700 + n, n, code FROM i RETURNING id, owner;
WITH d AS (DELETE FROM country WHERE n = 1 RETURNING *) SELECT code, (SELECT count(*) FROM country) FROM d;
UPDATE country SET n = (SELECT count(*) FROM src WHERE owner = code) RETURNING *;
INSERT INTO country VALUES ('IT', random() * 0 + 3), ('AT', 9) ON CONFLICT (code) DO UPDATE SET n = EXCLUDED.n + 1 RETURNING *;
INSERT INTO country SELECT 'X' || g, g FROM generate_series(1, 3) g;
DELETE FROM country WHERE n IN (SELECT v FROM src) AND random() >= 0 RETURNING code;
SELECT count(*), sum(n) FROM country;

-- subqueries behind the rows of an INSERT
INSERT INTO arch VALUES (900, 1) RETURNING id, (SELECT count(*) FROM arch);
INSERT INTO arch SELECT 901, 1 RETURNING id, (SELECT sum(v) FROM src);
INSERT INTO arch VALUES (900, 1), (902, 2) ON CONFLICT (id) DO UPDATE SET v = (SELECT max(id) FROM src) RETURNING *;
INSERT INTO arch VALUES (900, 7) ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v + 1 WHERE arch.v < (SELECT max(v) FROM arch) RETURNING v;
PREPARE up (int, int, text) AS INSERT INTO arch SELECT g, $2 FROM generate_series($1, $1 + 2) g ON CONFLICT (id) DO UPDATE SET why = $3 RETURNING id, v, why, $2 AS given;
EXECUTE up (899, 4, 'x');
EXECUTE up (902, 5, 'y');
SELECT id, v, why FROM arch WHERE id BETWEEN 890 AND 910 ORDER BY id;

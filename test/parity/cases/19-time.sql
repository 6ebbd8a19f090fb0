-- one time for a whole transaction, wherever its rows are
CREATE TABLE t (id int PRIMARY KEY, at timestamptz DEFAULT now(), d date DEFAULT CURRENT_DATE, note text);
CREATE TABLE one (id int, at timestamptz DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE ref (code text PRIMARY KEY, at timestamptz DEFAULT now());
/* cluster */ SELECT create_reference_table('ref');
CREATE FUNCTION mine() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT now()';
CREATE FUNCTION mine2() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT mine()';
CREATE VIEW v AS SELECT id, at = now() AS same, now() AS t FROM t;

-- defaults, one row at a time
BEGIN;
INSERT INTO t (id) VALUES (1);
INSERT INTO t (id) VALUES (2);
INSERT INTO t (id) VALUES (3);
INSERT INTO t VALUES (4, DEFAULT);
INSERT INTO t VALUES (5, now());
INSERT INTO t VALUES (6, CURRENT_TIMESTAMP), (7, DEFAULT), (8, localtimestamp);
INSERT INTO t (id) SELECT g FROM generate_series(9, 20) g;
INSERT INTO t (id, at) SELECT g, transaction_timestamp() FROM generate_series(21, 30) g;
INSERT INTO one VALUES (1), (2);
INSERT INTO one VALUES (3, now());
INSERT INTO ref (code) VALUES ('a');
INSERT INTO ref VALUES ('b', now());
SELECT count(DISTINCT at), count(*) FROM t;
SELECT count(*) FROM t WHERE at = now();
SELECT count(*) FROM t WHERE at = now() AND id = 5;
SELECT at = now() FROM t WHERE id = 3;
SELECT at = CURRENT_TIMESTAMP FROM t WHERE id = 7;
SELECT count(*) FROM t, one WHERE t.at = one.at;
SELECT count(*) FROM t, ref WHERE t.at = ref.at;
SELECT same, t = now() FROM v WHERE id IN (1, 2, 3);
SELECT count(*) FROM v WHERE t = (SELECT max(at) FROM one);
SELECT now() = (SELECT max(at) FROM t);
COMMIT;

-- updates
BEGIN;
SELECT pg_sleep(0.01) IS NULL;
UPDATE t SET at = now() WHERE id = 1;
UPDATE t SET at = now() WHERE id = 2;
UPDATE t SET at = CURRENT_TIMESTAMP WHERE id IN (3, 4, 5);
UPDATE t SET at = DEFAULT WHERE id = 6;
UPDATE t SET at = DEFAULT WHERE id IN (7, 8);
UPDATE t SET (note, at) = ('x', DEFAULT) WHERE id IN (9, 10);
UPDATE one SET at = DEFAULT WHERE id = 1;
UPDATE ref SET at = now() WHERE code = 'a';
UPDATE t SET at = now() FROM one WHERE one.id = t.note::int AND false;
INSERT INTO t (id) VALUES (11) ON CONFLICT (id) DO UPDATE SET at = DEFAULT;
INSERT INTO t (id) VALUES (12), (13) ON CONFLICT (id) DO UPDATE SET at = now();
INSERT INTO t (id) SELECT 14 ON CONFLICT (id) DO UPDATE SET at = EXCLUDED.at, note = 'again';
INSERT INTO t (id) SELECT g FROM generate_series(15, 17) g ON CONFLICT (id) DO UPDATE SET at = now() RETURNING id, at = now();
SELECT count(*), count(DISTINCT at) FROM t WHERE at = (SELECT at FROM ref WHERE code = 'a');
SELECT count(*) FROM one WHERE at = now();
COMMIT;
SELECT id FROM t WHERE at = (SELECT at FROM ref WHERE code = 'a') ORDER BY id;

-- names of the columns that the time gives
BEGIN;
SELECT count(*) FROM t WHERE at < now();
SELECT now(), CURRENT_DATE, CURRENT_TIMESTAMP::date, now()::text COLLATE "C", id FROM t WHERE id = 1 AND false;
SELECT now(), localtime, now() + '1 day', date_trunc('day', now()) FROM t WHERE id = 2 AND false;
SELECT x.now FROM (SELECT now() FROM t WHERE id = 3) x WHERE x.now IS NULL;
UPDATE t SET note = 'r' WHERE id = 4 RETURNING now() = at, CURRENT_DATE = d;
SELECT now() - at < '1 hour' AS near FROM t WHERE id = 4;
COMMIT;
SELECT now() >= at, CURRENT_DATE >= d FROM t WHERE id < 4;
SELECT now(), CURRENT_TIME(0), id FROM t WHERE at IS NULL;
SELECT DISTINCT CURRENT_DATE FROM t WHERE id < 0;

-- a failed statement, savepoints
BEGIN;
SAVEPOINT a;
INSERT INTO t (id) VALUES (31);
INSERT INTO t (id) VALUES (1);
ROLLBACK TO a;
INSERT INTO t (id) VALUES (32);
INSERT INTO t (id) VALUES (33), (34), (35), (36);
SELECT count(DISTINCT at), count(*) FROM t WHERE id > 30;
ROLLBACK;
SELECT count(*) FROM t WHERE id > 30;

-- outside of a block every statement has one time
INSERT INTO t (id) VALUES (41), (42), (43), (44);
INSERT INTO t (id, at) VALUES (45, now()), (46, DEFAULT), (47, now()), (48, CURRENT_TIMESTAMP) RETURNING id;
SELECT count(DISTINCT at) FROM t WHERE id BETWEEN 41 AND 44;
SELECT count(DISTINCT at) FROM t WHERE id BETWEEN 45 AND 48;
UPDATE t SET at = DEFAULT WHERE id > 40;
SELECT count(DISTINCT at) FROM t WHERE id > 40;

-- the time inside a function
SELECT count(*) FROM t WHERE at < mine();
SELECT count(*) FROM t WHERE at < mine2() AND id = 4;
INSERT INTO t (id, at) VALUES (51, mine()), (52, mine2()), (53, mine()), (54, 'now');
SELECT count(DISTINCT at) FROM t WHERE id > 50;
UPDATE t SET at = mine() WHERE id = 51;

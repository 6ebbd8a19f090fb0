-- rows move with their keys
CREATE TABLE acc (id int PRIMARY KEY, owner text, balance numeric DEFAULT 0, twice numeric GENERATED ALWAYS AS (balance * 2) STORED, note text CHECK (note <> 'bad'));
INSERT INTO acc (id, owner, balance, note) SELECT g, 'o' || g % 5, g * 10, 'n' || g FROM generate_series(1, 60) g;
UPDATE acc SET id = 1001 WHERE id = 1 RETURNING *;
UPDATE acc SET id = 2 WHERE id = 2 RETURNING id, twice;
UPDATE acc SET id = id + 2000 WHERE id BETWEEN 20 AND 25 RETURNING id, owner, balance, twice, note;
UPDATE acc SET id = -id, note = note || '!' WHERE owner = 'o3' RETURNING id, note;
UPDATE acc SET id = id WHERE id < 12;
UPDATE acc SET (id, balance) = (id + 5000, balance + 1) WHERE id IN (30, 31, 32) RETURNING id, balance, twice;
UPDATE acc SET id = (SELECT max(id) + 1 FROM acc) WHERE id = 40 RETURNING id;
UPDATE acc a SET id = v.n FROM (VALUES (41, 7001), (42, 7002), (9999, 7003)) v (o, n) WHERE a.id = v.o RETURNING a.id, v.o, a.*;
UPDATE acc SET id = 8000 WHERE false RETURNING id;
SELECT * FROM acc ORDER BY id;
SELECT count(*), sum(id), sum(balance), sum(twice), count(DISTINCT note) FROM acc;

-- what may not be
UPDATE acc SET id = 2 WHERE id = 4;
UPDATE acc SET id = 1;
UPDATE acc SET id = NULL WHERE id = 4;
UPDATE acc SET id = NULL;
UPDATE acc SET id = 3000000000 WHERE id = 4;
UPDATE acc SET id = 9000, note = 'bad' WHERE id = 4;
UPDATE acc SET id = id + 9000, note = 'bad' WHERE id IN (5, 6);
UPDATE acc SET id = id % 2 WHERE id IN (4, 5, 6);
UPDATE acc SET id = 1001 WHERE id IN (4, 5);
UPDATE acc SET id = 'x' WHERE id = 4;
UPDATE acc SET id = id + 1, nothing = 2;
UPDATE acc SET twice = 1, id = id + 1;
SELECT count(*), sum(id), sum(balance) FROM acc;

-- inside transactions
BEGIN;
UPDATE acc SET id = id + 10000 WHERE owner = 'o1';
SELECT count(*), sum(id) FROM acc;
SAVEPOINT a;
UPDATE acc SET id = id + 10000 WHERE owner = 'o2';
UPDATE acc SET id = 5 WHERE id = 7;
SELECT 1;
ROLLBACK TO a;
SELECT count(*), sum(id) FROM acc;
SAVEPOINT b;
UPDATE acc SET id = id + 20000 WHERE id > 10000 RETURNING id;
RELEASE b;
COMMIT;
SELECT count(*), sum(id) FROM acc;
BEGIN;
UPDATE acc SET id = id - 30000 WHERE id > 30000;
SELECT id FROM acc WHERE owner = 'o1' ORDER BY id;
ROLLBACK;
SELECT count(*), sum(id) FROM acc;
UPDATE acc SET id = id - 30000 WHERE id > 30000;
SELECT count(*), sum(id) FROM acc;

-- parameters, and a key that stays where it is
PREPARE rename_it (int, int) AS UPDATE acc SET id = $1, note = 'p' WHERE id = $2 RETURNING id, note;
EXECUTE rename_it (6, 6);
EXECUTE rename_it (60001, 6);
EXECUTE rename_it (6, 60001);
EXECUTE rename_it (7, 6);
EXECUTE rename_it (NULL, 6);
EXECUTE rename_it (1, 123456);

-- text keys, upserts of the key
CREATE TABLE names (name varchar(10) PRIMARY KEY, n int UNIQUE DEFAULT 0 CHECK (n < 1000));
CREATE TABLE words (name varchar(10) PRIMARY KEY, n int DEFAULT 5);
INSERT INTO words SELECT 'w' || g, g FROM generate_series(1, 20) g;
UPDATE words SET name = upper(name) WHERE n % 2 = 0 RETURNING name, n;
UPDATE words SET name = 'a name that is too long' WHERE n = 1;
UPDATE words SET name = 'trailing          ' WHERE n = 1 RETURNING name, length(name);
UPDATE words SET name = 'trail' || '' WHERE name = 'trailing  ' RETURNING name;
UPDATE words SET name = DEFAULT WHERE n = 3;
INSERT INTO words VALUES ('w5', 100), ('w500', 1) ON CONFLICT (name) DO UPDATE SET name = EXCLUDED.name || 'x', n = words.n + EXCLUDED.n RETURNING *;
INSERT INTO words VALUES ('w7', 1) ON CONFLICT ON CONSTRAINT words_pkey DO UPDATE SET name = 'w9';
SELECT * FROM words ORDER BY name COLLATE "C";

-- rows without a primary key: rows that are the same in all columns
CREATE TABLE bag (k int, v text);
/* cluster */ SELECT create_distributed_table('bag', 'k');
INSERT INTO bag SELECT g % 4, 'v' || g % 2 FROM generate_series(1, 24) g;
INSERT INTO bag VALUES (NULL, 'null'), (NULL, 'null');
UPDATE bag SET k = k + 100 WHERE v = 'v0';
UPDATE bag SET k = 7 WHERE k IS NULL RETURNING *;
UPDATE bag SET k = NULL WHERE k = 101;
SELECT k, v, count(*) FROM bag GROUP BY k, v ORDER BY k, v;

-- rows that others refer to
CREATE TABLE par (id int PRIMARY KEY, v text);
CREATE TABLE kid (pid int PRIMARY KEY REFERENCES par ON DELETE CASCADE, v text);
INSERT INTO par SELECT g, 'p' FROM generate_series(1, 20) g;
INSERT INTO kid SELECT g, 'k' FROM generate_series(1, 5) g;
UPDATE par SET id = id + 100 WHERE id > 5;
UPDATE par SET id = 300 WHERE id = 2;
UPDATE par SET id = id + 1000 WHERE id < 3;
SELECT count(*), sum(id) FROM par;
SELECT count(*), sum(pid) FROM kid;
UPDATE kid SET pid = 106 WHERE pid = 1 RETURNING *;
UPDATE kid SET pid = 999 WHERE pid = 2;
SELECT count(*), sum(pid) FROM kid;
CREATE TABLE par2 (id int PRIMARY KEY);
CREATE TABLE kid2 (pid int PRIMARY KEY REFERENCES par2 ON UPDATE CASCADE);
INSERT INTO par2 SELECT g FROM generate_series(1, 4) g;
INSERT INTO kid2 VALUES (1);
UPDATE par2 SET id = 200 WHERE id = 2;
UPDATE par2 SET id = 100 WHERE id = 1;
SELECT * FROM kid2;

-- identity columns
CREATE TABLE ident (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text);
INSERT INTO ident (v) SELECT 'v' || g FROM generate_series(1, 6) g;
UPDATE ident SET id = 100 WHERE id = 1;
UPDATE ident SET v = 'x', id = DEFAULT WHERE id = 2 RETURNING *;
UPDATE ident SET id = DEFAULT WHERE id > 4 RETURNING id;
CREATE TABLE ser (id serial PRIMARY KEY, n int DEFAULT nextval('ser_id_seq'), v text);
INSERT INTO ser (v) SELECT 'v' || g FROM generate_series(1, 4) g;
UPDATE ser SET n = DEFAULT WHERE id = 1 RETURNING id, n;
UPDATE ser SET (n, v) = (DEFAULT, 'd') WHERE id < 4 RETURNING v;
SELECT count(*), count(DISTINCT n) FROM ser;
INSERT INTO ser (id, v) VALUES (1, 'z') ON CONFLICT (id) DO UPDATE SET n = DEFAULT, v = EXCLUDED.v RETURNING id, v;

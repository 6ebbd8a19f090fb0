-- UPDATE and DELETE: by the key, by other columns, of all rows, with expressions, joins, RETURNING,
-- and of the key itself.
CREATE TABLE acc (id int PRIMARY KEY, owner text NOT NULL, balance numeric(10,2) NOT NULL CHECK (balance >= 0), note text, n int);
INSERT INTO acc SELECT g, 'own' || g % 7, g * 10, CASE WHEN g % 5 = 0 THEN NULL ELSE 'note' || g END, g % 4 FROM generate_series(1, 120) g;
CREATE TABLE owners (name text PRIMARY KEY, bonus numeric(6,2), grade int);
INSERT INTO owners SELECT 'own' || g, g * 1.5, g % 3 FROM generate_series(0, 5) g;
CREATE TABLE bag (a int, b text);
INSERT INTO bag SELECT g % 10, 'b' || g % 3 FROM generate_series(1, 60) g;

-- by the key
UPDATE acc SET note = 'changed' WHERE id = 1;
SELECT * FROM acc WHERE id = 1;
UPDATE acc SET balance = balance + 5, n = n + 1 WHERE id = 2;
UPDATE acc SET balance = balance - 1 WHERE id = 2 RETURNING *;
UPDATE acc SET note = NULL WHERE id = 3 RETURNING id, note, balance / 4 AS quarter;
UPDATE acc SET note = 'x' WHERE id = 99999;
UPDATE acc SET note = 'x' WHERE id = 99999 RETURNING id;
UPDATE acc SET note = id::text || owner WHERE id IN (4, 5, 6) RETURNING id, note;
UPDATE acc SET (balance, note) = (77, 'row') WHERE id = 7 RETURNING balance, note;
UPDATE acc SET (balance, note) = (SELECT 78, 'sub') WHERE id = 8 RETURNING balance, note;
UPDATE acc SET n = DEFAULT WHERE id = 9 RETURNING n;
UPDATE acc AS a SET n = a.n * 100 WHERE a.id = 10 RETURNING a.n;
UPDATE acc SET n = n, balance = n WHERE id = 11 RETURNING n, balance;
UPDATE acc SET note = 'even' WHERE id = -1 OR id = 12 OR id = 14;

-- by another column, by expressions, of all rows
UPDATE acc SET note = 'own3' WHERE owner = 'own3';
UPDATE acc SET balance = balance * 2 WHERE n = 1 AND id < 30 RETURNING id, balance;
UPDATE acc SET note = 'was null' WHERE note IS NULL;
UPDATE acc SET n = n + 1;
UPDATE acc SET n = CASE WHEN id % 2 = 0 THEN n ELSE -n END;
UPDATE acc SET n = 0 WHERE false;
UPDATE acc SET note = repeat('z', id % 3) WHERE balance BETWEEN 500 AND 600;
SELECT * FROM acc;
SELECT count(*), sum(balance), sum(n), count(note), count(DISTINCT note) FROM acc;

-- of the key: the row may move to another server
UPDATE acc SET id = 1001 WHERE id = 1 RETURNING id, owner;
SELECT id, owner FROM acc WHERE id IN (1, 1001);
UPDATE acc SET id = id + 2000 WHERE id BETWEEN 20 AND 25;
SELECT id, owner, balance FROM acc WHERE id > 1000 ORDER BY id;
UPDATE acc SET id = 2 WHERE id = 4;
UPDATE acc SET id = NULL WHERE id = 4;
UPDATE acc SET id = 4 WHERE id = 4;
UPDATE acc SET id = -id WHERE n = 3 AND id < 40 RETURNING id;
UPDATE owners SET name = upper(name) WHERE name IN ('own1', 'own2') RETURNING name;
UPDATE owners SET name = lower(name) WHERE name ~ '^OWN';
UPDATE owners SET name = 'own4' WHERE name = 'own5';
SELECT name FROM owners ORDER BY name;

-- errors
UPDATE acc SET balance = balance - 100000 WHERE id = 50;
UPDATE acc SET balance = balance - 700;
UPDATE acc SET owner = NULL WHERE id = 50;
UPDATE acc SET nope = 1;
UPDATE acc SET balance = 'x' WHERE id = 50;
UPDATE acc SET balance = 1 / (id - id) WHERE id = 50;
UPDATE nope SET a = 1;
UPDATE acc SET n = 1, n = 2 WHERE id = 50;
UPDATE acc SET n = count(*) WHERE id = 50;
SELECT count(*), sum(balance), sum(n), sum(id) FROM acc;

-- with other tables
UPDATE acc SET balance = balance + o.bonus FROM owners o WHERE o.name = acc.owner AND acc.id BETWEEN 60 AND 70 RETURNING acc.id, acc.balance, o.bonus;
UPDATE acc a SET note = 'grade' || o.grade FROM owners o WHERE o.name = a.owner AND o.grade = 2;
UPDATE acc SET note = (SELECT 'g' || grade FROM owners WHERE name = acc.owner) WHERE id BETWEEN 71 AND 80 RETURNING id, note;
UPDATE acc SET n = (SELECT count(*) FROM bag WHERE bag.a = acc.id % 10) WHERE id IN (81, 82, 83) RETURNING id, n;
UPDATE acc SET n = 500 WHERE owner IN (SELECT name FROM owners WHERE bonus > 5);
UPDATE acc SET n = 600 WHERE NOT EXISTS (SELECT 1 FROM owners WHERE name = acc.owner);
UPDATE acc SET n = (SELECT max(id) FROM acc) WHERE id = 90 RETURNING n;
UPDATE acc SET balance = (SELECT avg(balance) FROM acc a2 WHERE a2.owner = acc.owner) WHERE id = 91 RETURNING balance;
UPDATE acc a SET note = b.note FROM acc b WHERE b.id = 92 AND a.id = 93 RETURNING a.id, a.note, b.id;
WITH big AS (SELECT id FROM acc WHERE balance > 1000) UPDATE acc SET note = 'big' WHERE id IN (SELECT id FROM big);
WITH up AS (UPDATE acc SET n = 7 WHERE id BETWEEN 95 AND 99 RETURNING id, balance) SELECT count(*), sum(balance) FROM up;
SELECT note, count(*), sum(n), sum(balance) FROM acc GROUP BY note;

-- a table without a key
UPDATE bag SET b = 'seven' WHERE a = 7;
UPDATE bag SET a = a + 1 WHERE b = 'b1' RETURNING a, b;
UPDATE bag SET b = NULL WHERE a = 2;
SELECT * FROM bag;
DELETE FROM bag WHERE b IS NULL;
DELETE FROM bag WHERE a = 3 RETURNING *;
SELECT a, b, count(*) FROM bag GROUP BY a, b;

-- DELETE
DELETE FROM acc WHERE id = 100;
DELETE FROM acc WHERE id = 100;
DELETE FROM acc WHERE id = 101 RETURNING *;
DELETE FROM acc WHERE id IN (102, 103, 104) RETURNING id, balance;
DELETE FROM acc AS a WHERE a.id = 105 RETURNING a.owner;
DELETE FROM acc WHERE owner = 'own2' AND balance < 500;
DELETE FROM acc WHERE owner = 'own4' AND id < 60 RETURNING id;
DELETE FROM acc USING owners o WHERE o.name = acc.owner AND o.grade = 0 AND acc.id > 80 RETURNING acc.id, o.name;
DELETE FROM acc WHERE owner IN (SELECT name FROM owners WHERE grade = 1) AND id BETWEEN 30 AND 60;
DELETE FROM acc a WHERE EXISTS (SELECT 1 FROM acc b WHERE b.owner = a.owner AND b.balance > a.balance + 900);
DELETE FROM acc WHERE id = (SELECT min(id) FROM acc) RETURNING id;
WITH del AS (DELETE FROM acc WHERE id BETWEEN 110 AND 115 RETURNING *) SELECT owner, count(*) FROM del GROUP BY owner ORDER BY owner;
WITH moved AS (DELETE FROM acc WHERE id BETWEEN 10 AND 19 RETURNING id, owner) INSERT INTO bag SELECT id, owner FROM moved;
SELECT * FROM bag WHERE b LIKE 'own%' ORDER BY a, b;
DELETE FROM acc WHERE nope = 1;
DELETE FROM acc WHERE false;
SELECT * FROM acc;
DELETE FROM owners;
SELECT count(*) FROM owners;
DELETE FROM acc RETURNING id;
SELECT count(*), sum(balance) FROM acc;
DELETE FROM acc;

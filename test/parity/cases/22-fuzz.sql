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

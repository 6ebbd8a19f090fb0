-- ORDER BY (with NULLs, expressions, collations), LIMIT, OFFSET, FETCH, DISTINCT ON.
SET timezone TO 'UTC';
CREATE TABLE p (id int PRIMARY KEY, name text, score int, price numeric(8,3), d date, f double precision, flag bool);
INSERT INTO p SELECT g, CASE g % 6 WHEN 0 THEN NULL WHEN 1 THEN 'a' || g % 10 WHEN 2 THEN 'B' || g % 10 WHEN 3 THEN 'c ' || g % 10 WHEN 4 THEN '_' || g % 10 ELSE 'é' || g % 10 END, CASE WHEN g % 9 = 0 THEN NULL ELSE g % 10 END, (g * 13 % 50) / 8.0, date '2024-06-01' - g % 30, CASE g % 20 WHEN 0 THEN 'NaN' WHEN 1 THEN 'Infinity' WHEN 2 THEN '-Infinity' WHEN 3 THEN NULL ELSE g / 8.0 END, CASE WHEN g % 5 = 0 THEN NULL ELSE g % 2 = 0 END FROM generate_series(1, 100) g;
CREATE TABLE words (w text PRIMARY KEY);
INSERT INTO words VALUES ('apple'), ('Apple'), ('APPLE'), ('banana'), ('Banana'), ('cherry pie'), ('cherry-pie'), ('cherrypie'), (''), ('1'), ('10'), ('2'), ('~'), ('école'), ('zebra');
CREATE TYPE size AS ENUM ('small', 'medium', 'large');
CREATE TABLE shirts (id int PRIMARY KEY, sz size, tags text[], at timestamptz, u uuid, b bytea, j jsonb, iv interval);
INSERT INTO shirts SELECT g, (ARRAY['large', 'small', 'medium', NULL])[1 + g % 4]::size, ARRAY['t' || g % 3, 'x'], timestamptz '2024-01-01 00:00+00' + g % 7 * interval '1 hour', md5((g % 9)::text)::uuid, decode(md5((g % 5)::text), 'hex'), to_jsonb(g % 6), (g % 4) * interval '10 days' + (g % 3) * interval '5 hours' FROM generate_series(1, 40) g;
CREATE TABLE none (id int PRIMARY KEY);

-- directions and nulls
SELECT id FROM p ORDER BY id;
SELECT id FROM p ORDER BY id DESC;
SELECT id, score FROM p ORDER BY score, id;
SELECT id, score FROM p ORDER BY score DESC, id;
SELECT id, score FROM p ORDER BY score NULLS FIRST, id DESC;
SELECT id, score FROM p ORDER BY score DESC NULLS LAST, id;
SELECT id, score FROM p WHERE id < 30 ORDER BY score USING >, id USING <;
SELECT id, f FROM p ORDER BY f, id;
SELECT id, f FROM p ORDER BY f DESC NULLS FIRST, id DESC;
SELECT id, price FROM p ORDER BY price DESC, id;
SELECT id, d FROM p ORDER BY d, id;
SELECT id, flag FROM p ORDER BY flag DESC, id;
SELECT id, flag, score FROM p ORDER BY flag, score DESC, id LIMIT 30;

-- by number, alias, expression, and by what is not shown
SELECT id, score * 2 AS twice FROM p ORDER BY twice, id LIMIT 10;
SELECT score, id FROM p ORDER BY 1 DESC, 2 LIMIT 10;
SELECT id FROM p ORDER BY score + id % 3, id LIMIT 10;
SELECT id FROM p ORDER BY -id LIMIT 5;
SELECT name FROM p WHERE name IS NOT NULL ORDER BY price, id LIMIT 10;
SELECT -id AS id FROM p ORDER BY id LIMIT 3;
SELECT id FROM p ORDER BY CASE WHEN score = 5 THEN 0 ELSE 1 END, id LIMIT 15;
SELECT id FROM p ORDER BY (flag IS NULL), (id % 7, id) LIMIT 10;
SELECT id, 'same' AS k FROM p ORDER BY k, id LIMIT 4;
SELECT id FROM p ORDER BY length(name) NULLS FIRST, id LIMIT 25;

-- collations
SELECT w FROM words ORDER BY w COLLATE "C";
SELECT w FROM words ORDER BY w COLLATE "C" DESC LIMIT 5;
SELECT w FROM words ORDER BY w COLLATE "POSIX" OFFSET 3 LIMIT 3;
SELECT w FROM words ORDER BY lower(w) COLLATE "C", w COLLATE "C" DESC;
SELECT id, name FROM p ORDER BY name COLLATE "C", id;
SELECT id, name FROM p ORDER BY name COLLATE "C" DESC NULLS LAST, id LIMIT 12;
SELECT min(w COLLATE "C"), max(w COLLATE "C") FROM words;
SELECT count(*) FROM words WHERE w COLLATE "C" > 'Z';
SELECT w FROM words WHERE w COLLATE "C" BETWEEN 'B' AND 'b' ORDER BY w COLLATE "C";
SELECT 'a' COLLATE "C" < 'B' COLLATE "C" AS lt, 'a' < 'b' COLLATE "C" AS lt2;
SELECT w FROM words ORDER BY w COLLATE "nope";
SELECT 'a' COLLATE "C" < 'b' COLLATE "POSIX";
SELECT id FROM p ORDER BY id COLLATE "C";
CREATE TABLE cc (k text COLLATE "C" PRIMARY KEY, v int);
INSERT INTO cc SELECT w, length(w) FROM words;
SELECT k FROM cc ORDER BY k;
SELECT k FROM cc ORDER BY k DESC LIMIT 3 OFFSET 2;
SELECT k, v FROM cc WHERE k > 'a' ORDER BY v DESC, k;

-- other types
SELECT sz, id FROM shirts ORDER BY sz, id;
SELECT sz, id FROM shirts ORDER BY sz DESC NULLS LAST, id LIMIT 12;
SELECT min(sz), max(sz) FROM shirts;
SELECT tags, id FROM shirts ORDER BY tags COLLATE "C" DESC, id LIMIT 8;
SELECT at, id FROM shirts ORDER BY at DESC, id LIMIT 9;
SELECT u, id FROM shirts ORDER BY u, id LIMIT 9;
SELECT b, id FROM shirts ORDER BY b DESC, id LIMIT 9;
SELECT j, id FROM shirts ORDER BY j, id LIMIT 15;
SELECT iv, id FROM shirts ORDER BY iv, id;

-- limit, offset, fetch
SELECT id FROM p ORDER BY id LIMIT 0;
SELECT id FROM p ORDER BY id LIMIT 5 OFFSET 10;
SELECT id FROM p ORDER BY id OFFSET 95;
SELECT id FROM p ORDER BY id OFFSET 1000;
SELECT id FROM p ORDER BY id DESC LIMIT ALL OFFSET 97;
SELECT id FROM p ORDER BY id LIMIT NULL OFFSET 98;
SELECT id FROM p ORDER BY id LIMIT 1 + 2 OFFSET length('abcd');
SELECT id FROM p ORDER BY id LIMIT (SELECT count(*) / 20 FROM p);
SELECT id FROM p ORDER BY id LIMIT '3';
SELECT id FROM p ORDER BY id FETCH FIRST ROW ONLY;
SELECT id FROM p ORDER BY id OFFSET 2 ROWS FETCH NEXT 3 ROWS ONLY;
SELECT score, id FROM p WHERE score IS NOT NULL ORDER BY score, id FETCH FIRST 4 ROWS WITH TIES;
SELECT score FROM p WHERE score IS NOT NULL ORDER BY score FETCH FIRST 3 ROWS WITH TIES;
SELECT score, count(*) FROM p GROUP BY score ORDER BY count(*) DESC, score LIMIT 4;
SELECT id FROM p WHERE id % 10 = 0 ORDER BY id LIMIT 3;
SELECT count(*) FROM (SELECT id FROM p LIMIT 17) s;
SELECT count(*) FROM (SELECT id FROM p OFFSET 17) s;
SELECT sum(id) FROM (SELECT id FROM p ORDER BY price, id LIMIT 11) s;
SELECT id FROM (SELECT id FROM p ORDER BY id DESC LIMIT 10) s ORDER BY id LIMIT 3;
SELECT id FROM none ORDER BY id LIMIT 3;
SELECT id FROM p ORDER BY id LIMIT -1;
SELECT id FROM p ORDER BY id OFFSET -1;
SELECT id FROM p ORDER BY id LIMIT 'x';
SELECT id FROM p LIMIT id;
SELECT id FROM p FETCH FIRST 3 ROWS WITH TIES;

-- distinct on
SELECT DISTINCT ON (score) score, id, price FROM p ORDER BY score, price DESC, id;
SELECT DISTINCT ON (flag, score) flag, score, id FROM p ORDER BY flag, score, id DESC;
SELECT DISTINCT ON (score) id FROM p ORDER BY score NULLS FIRST, id LIMIT 5;
SELECT DISTINCT ON (id % 4) id % 4 AS m, id FROM p ORDER BY id % 4, d, id;
SELECT DISTINCT ON (id) id, name FROM p ORDER BY id LIMIT 4;
SELECT count(*) FROM (SELECT DISTINCT ON (score) * FROM p ORDER BY score, id) s;
SELECT DISTINCT score, flag FROM p ORDER BY score DESC, flag LIMIT 7;
SELECT DISTINCT ON (score) score, id FROM p ORDER BY id;
SELECT DISTINCT score FROM p ORDER BY id;
SELECT id FROM p ORDER BY 3;
SELECT id FROM p ORDER BY nope;

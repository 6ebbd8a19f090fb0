-- Reads by the primary key in every way that a client writes them.
SET timezone TO 'UTC';
CREATE TABLE users (id int PRIMARY KEY, name text, age int, active bool);
INSERT INTO users SELECT g, 'user' || g, CASE WHEN g % 10 = 0 THEN NULL ELSE 18 + g % 50 END, g % 3 <> 0 FROM generate_series(-20, 100) g;
CREATE TABLE docs (id bigint PRIMARY KEY, body jsonb, tags text[]);
INSERT INTO docs SELECT g * 10000000000, jsonb_build_object('n', g, 'even', g % 2 = 0), ARRAY['t' || g % 4, 'all'] FROM generate_series(1, 80) g;
CREATE TABLE names (code text PRIMARY KEY, n int);
INSERT INTO names SELECT chr(97 + g % 26) || g, g FROM generate_series(1, 90) g;
CREATE TABLE things (id uuid PRIMARY KEY, n int);
INSERT INTO things SELECT md5('thing' || g)::uuid, g FROM generate_series(1, 60) g;
CREATE TABLE days (d date PRIMARY KEY, n int);
INSERT INTO days SELECT date '2023-12-20' + g, g FROM generate_series(1, 40) g;
CREATE TABLE orders (tenant int, no int, total numeric(8,2), PRIMARY KEY (tenant, no));
INSERT INTO orders SELECT g % 6, g, g * 1.25 FROM generate_series(1, 72) g;

-- constants
SELECT * FROM users WHERE id = 1;
SELECT * FROM users WHERE id = 42;
SELECT * FROM users WHERE 42 = id;
SELECT name FROM users WHERE users.id = 7;
SELECT u.name, u.age + 1 AS next_age FROM users AS u WHERE u.id = 7;
SELECT u.* FROM users u WHERE u.id = 30;
SELECT name FROM public.users WHERE id = 8;
SELECT "name" FROM "users" WHERE "id" = 9;

-- negative numbers, zero, signs and arithmetic
SELECT * FROM users WHERE id = -5;
SELECT * FROM users WHERE id = 0;
SELECT * FROM users WHERE id = -0;
SELECT * FROM users WHERE id = +12;
SELECT * FROM users WHERE id = - -12;
SELECT * FROM users WHERE id = 10 + 5;
SELECT * FROM users WHERE id + 1 = 16;
SELECT * FROM users WHERE -id = 15;
SELECT * FROM users WHERE id = abs(-33);

-- casts and quoted literals
SELECT name FROM users WHERE id = '17';
SELECT name FROM users WHERE id = ' 17 ';
SELECT name FROM users WHERE id = '17'::int;
SELECT name FROM users WHERE id = CAST('17' AS integer);
SELECT name FROM users WHERE id = int '17';
SELECT name FROM users WHERE id = 17::bigint;
SELECT name FROM users WHERE id = 17::smallint;
SELECT name FROM users WHERE id = 17.0;
SELECT name FROM users WHERE id = 17.5;
SELECT name FROM users WHERE id = 1.7e1;
SELECT name FROM users WHERE id::text = '17';
SELECT name FROM users WHERE id::numeric = 17.0;
SELECT name FROM users WHERE id = length('seventeen chars!!');
SELECT name FROM users WHERE id = '17.0';
SELECT name FROM users WHERE id = 'seventeen';

-- values beyond the type of the key
SELECT name FROM users WHERE id = 5000000000;
SELECT name FROM users WHERE id = 99999999999999999999999;
SELECT name FROM users WHERE id = '5000000000';

-- no match and null
SELECT * FROM users WHERE id = 100000;
SELECT * FROM users WHERE id = NULL;
SELECT * FROM users WHERE id IS NULL;
SELECT count(*) FROM users WHERE id IS NOT NULL;
SELECT * FROM users WHERE id IS NOT DISTINCT FROM 3;
SELECT count(*) FROM users WHERE id IS DISTINCT FROM 3;
SELECT * FROM users WHERE id = 3 AND false;
SELECT * FROM users WHERE id = 3 AND NULL;

-- key with more conditions
SELECT * FROM users WHERE id = 5 AND active;
SELECT * FROM users WHERE id = 6 AND active;
SELECT * FROM users WHERE id = 6 AND NOT active AND age > 20;
SELECT * FROM users WHERE id = 5 AND id = 5;
SELECT * FROM users WHERE id = 5 AND id = 6;
SELECT * FROM users WHERE (id = 5) IS TRUE;
SELECT * FROM users WHERE NOT (id <> 5);
SELECT * FROM users WHERE id = 10 AND age IS NULL;
SELECT * FROM users WHERE id BETWEEN 5 AND 5;
SELECT * FROM users WHERE id >= 5 AND id <= 5;

-- IN, ANY, OR
SELECT id, name FROM users WHERE id IN (1, 2, 3);
SELECT id, name FROM users WHERE id IN (3, 1, 2, 3, 1) ORDER BY id;
SELECT id, name FROM users WHERE id IN (1000, 2000);
SELECT id, name FROM users WHERE id IN (7);
SELECT id, name FROM users WHERE id IN (-1, '4', 5 + 1, NULL);
SELECT count(*) FROM users WHERE id NOT IN (1, 2, 3);
SELECT count(*) FROM users WHERE id NOT IN (1, 2, NULL);
SELECT id, name FROM users WHERE id = ANY (ARRAY[4, 5, 6]);
SELECT id, name FROM users WHERE id = ANY ('{4,5,6,null}');
SELECT id, name FROM users WHERE id = ANY ('{}'::int[]);
SELECT id FROM users WHERE id = ALL (ARRAY[4, 4]);
SELECT id, name FROM users WHERE id = 11 OR id = 12;
SELECT id, name FROM users WHERE id = 11 OR name = 'user13';
SELECT id, name FROM users WHERE id = 11 OR (id = 12 AND age > 1000);
SELECT id, name FROM users WHERE (id = 11 OR id = 12) AND active ORDER BY id DESC;
SELECT id FROM users WHERE (id, name) = (14, 'user14');
SELECT id FROM users WHERE (id, name) IN ((14, 'user14'), (15, 'user16'), (16, 'user16'));
SELECT id FROM users WHERE id BETWEEN 10 AND 15 ORDER BY id;
SELECT id FROM users WHERE id BETWEEN SYMMETRIC 15 AND 12 ORDER BY id;
SELECT id FROM users WHERE id > 97 OR id < -17 ORDER BY id;

-- what may be asked of the row
SELECT 1 FROM users WHERE id = 4;
SELECT count(*) FROM users WHERE id = 4;
SELECT count(*) FROM users WHERE id = 100001;
SELECT max(name), min(age), sum(age) FROM users WHERE id = 100001;
SELECT EXISTS (SELECT 1 FROM users WHERE id = 4);
SELECT EXISTS (SELECT 1 FROM users WHERE id = 100001);
SELECT (SELECT name FROM users WHERE id = 4) AS a, (SELECT name FROM users WHERE id = 5) AS b, (SELECT name FROM users WHERE id = 100001) AS c;
SELECT upper(name), CASE WHEN active THEN 'yes' ELSE 'no' END, age IS NULL FROM users WHERE id = 20;
SELECT name FROM users WHERE id = 4 LIMIT 1;
SELECT name FROM users WHERE id = 4 ORDER BY name LIMIT 1 OFFSET 1;
SELECT name FROM users WHERE id = 4 FOR UPDATE;
SELECT name, name FROM users WHERE id = 4;
SELECT u FROM users u WHERE id = 4;
SELECT FROM users WHERE id = 4;
TABLE days ORDER BY d LIMIT 3;

-- other types of key
SELECT body, tags FROM docs WHERE id = 30000000000;
SELECT body->>'n' AS n FROM docs WHERE id = 30000000000::bigint;
SELECT id FROM docs WHERE body @> '{"n": 5}';
SELECT id FROM docs WHERE id IN (10000000000, 20000000000, 5) ORDER BY id;
SELECT n FROM names WHERE code = 'b1';
SELECT n FROM names WHERE code = 'b1'::text;
SELECT n FROM names WHERE code = 'b1'::varchar;
SELECT n FROM names WHERE code = 'b' || '1';
SELECT n FROM names WHERE code = lower('B1');
SELECT n FROM names WHERE code = $$b1$$;
SELECT n FROM names WHERE code = E'b\x31';
SELECT n FROM names WHERE code = 'B1';
SELECT n FROM names WHERE code = 'b1 ';
SELECT code, n FROM names WHERE code IN ('c2', 'd3', 'zzz') ORDER BY n;
SELECT code FROM names WHERE code LIKE 'c%' ORDER BY code COLLATE "C";
SELECT n FROM names WHERE code = 'b1' COLLATE "C";
SELECT n FROM things WHERE id = md5('thing7')::uuid;
SELECT n FROM things WHERE id = 'ffffffff-ffff-ffff-ffff-ffffffffffff';
SELECT n FROM things WHERE id = 'not a uuid';
SELECT n FROM things WHERE id IN (md5('thing1')::uuid, md5('thing2')::uuid) ORDER BY n;
SELECT n FROM days WHERE d = '2024-01-01';
SELECT n FROM days WHERE d = date '2024-01-01' + 1;
SELECT n FROM days WHERE d = timestamp '2024-01-03 00:00:00';
SELECT n FROM days WHERE d = timestamp '2024-01-03 00:00:01';
SELECT n FROM days WHERE d = to_date('04/01/2024', 'DD/MM/YYYY');
SELECT total FROM orders WHERE tenant = 1 AND no = 7;
SELECT no, total FROM orders WHERE tenant = 1 ORDER BY no;
SELECT tenant, no FROM orders WHERE (tenant, no) IN ((1, 7), (2, 8), (2, 9)) ORDER BY tenant, no;

-- Tables of every kind: keys of many types, no key, composite keys, constraints, and the
-- values of every common type read back.
SET timezone TO 'UTC';

-- a plain table with an integer key
CREATE TABLE t_int (id int PRIMARY KEY, name text NOT NULL, qty int DEFAULT 5, CHECK (qty >= 0));
INSERT INTO t_int (id, name, qty) SELECT g, 'item' || g, CASE WHEN g % 7 = 0 THEN NULL ELSE g % 5 END FROM generate_series(1, 60) g;
SELECT * FROM t_int;
SELECT id, name FROM t_int WHERE qty IS NULL ORDER BY id;

-- a bigint key, negative and large values
CREATE TABLE t_big (id bigint PRIMARY KEY, v numeric(12,3));
INSERT INTO t_big VALUES (-9223372036854775808, 1.5), (9223372036854775807, -1.5), (0, 0), (-1, 123456789.123), (4294967296, NULL);
SELECT * FROM t_big ORDER BY id;
SELECT v FROM t_big WHERE id = -9223372036854775808;

-- a smallint key
CREATE TABLE t_small (id smallint PRIMARY KEY, v real, w double precision);
INSERT INTO t_small VALUES (1, 1.5, 0.1), (-2, 'NaN', 'Infinity'), (32767, '-Infinity', 1e300), (4, 0, -0.0);
SELECT * FROM t_small ORDER BY id;

-- text, varchar and char keys
CREATE TABLE t_text (code text PRIMARY KEY, n int);
INSERT INTO t_text SELECT 'k' || lpad(g::text, 3, '0'), g * g FROM generate_series(1, 40) g;
INSERT INTO t_text VALUES ('', -1), ('it''s', -2), ('back\slash', -3), (E'tab\there', -4), ('ünïcode €', -5);
SELECT * FROM t_text;
SELECT n FROM t_text WHERE code = '';
SELECT n FROM t_text WHERE code = 'it''s';
SELECT n, length(code), octet_length(code) FROM t_text WHERE code = 'ünïcode €';
CREATE TABLE t_vc (code varchar(10) PRIMARY KEY, note varchar);
INSERT INTO t_vc VALUES ('abc', 'x'), ('abc ', 'y'), ('', NULL);
SELECT code, length(code), note FROM t_vc;
SELECT note FROM t_vc WHERE code = 'abc ';
CREATE TABLE t_char (code char(5) PRIMARY KEY, n int);
INSERT INTO t_char VALUES ('ab', 1), ('abcde', 2), ('c    ', 3);
SELECT code, n, length(code) FROM t_char;
SELECT n FROM t_char WHERE code = 'ab   ';
SELECT n FROM t_char WHERE code = 'c';
-- padding does not make another key
INSERT INTO t_char VALUES ('ab ', 4);

-- a uuid key
CREATE TABLE t_uuid (id uuid PRIMARY KEY, n int NOT NULL);
INSERT INTO t_uuid SELECT md5(g::text)::uuid, g FROM generate_series(1, 50) g;
SELECT count(*), sum(n) FROM t_uuid;
SELECT id, n FROM t_uuid ORDER BY id LIMIT 10;
SELECT n FROM t_uuid WHERE id = 'c4ca4238a0b923820dcc509a6f75849b';
SELECT n FROM t_uuid WHERE id = '{C4CA4238-A0B9-2382-0DCC-509A6F75849B}';

-- numeric keys: 1, 1.0 and 1.00 are one value
CREATE TABLE t_num (id numeric PRIMARY KEY, v text);
INSERT INTO t_num VALUES (1.0, 'one'), (2.50, 'two and a half'), (-3, 'minus three'), (1e20, 'big'), ('NaN', 'nan');
SELECT v FROM t_num WHERE id = 1;
SELECT v FROM t_num WHERE id = 2.5;
SELECT v FROM t_num WHERE id = 100000000000000000000;
SELECT v FROM t_num WHERE id = 'NaN';
INSERT INTO t_num VALUES (1.000, 'again');
SELECT * FROM t_num ORDER BY id;

-- float keys: zero and minus zero are one value
CREATE TABLE t_float (id double precision PRIMARY KEY, v text);
INSERT INTO t_float VALUES (0, 'zero'), (1.5, 'x'), ('Infinity', 'inf');
SELECT v FROM t_float WHERE id = '-0';
INSERT INTO t_float VALUES ('-0', 'minus zero');

-- date, timestamp, timestamptz, bool, bytea keys
CREATE TABLE t_date (d date PRIMARY KEY, n int);
INSERT INTO t_date SELECT date '2024-02-20' + g, g FROM generate_series(0, 20) g;
INSERT INTO t_date VALUES ('infinity', 100), ('-infinity', 101), ('0044-03-15 BC', 102);
SELECT * FROM t_date;
SELECT n FROM t_date WHERE d = '2024-02-29';
SELECT n FROM t_date WHERE d = 'March 1, 2024';
CREATE TABLE t_tstz (at timestamptz PRIMARY KEY, n int);
INSERT INTO t_tstz SELECT timestamptz '2024-01-01 00:00:00+00' + g * interval '7 hours', g FROM generate_series(1, 20) g;
SELECT * FROM t_tstz;
SELECT n FROM t_tstz WHERE at = '2024-01-01 09:00:00+02';
CREATE TABLE t_bool (b boolean PRIMARY KEY, n int);
INSERT INTO t_bool VALUES (true, 1), (false, 0);
SELECT n FROM t_bool WHERE b;
SELECT n FROM t_bool WHERE NOT b;
CREATE TABLE t_bytea (k bytea PRIMARY KEY, n int);
INSERT INTO t_bytea SELECT decode(md5(g::text), 'hex'), g FROM generate_series(1, 20) g;
INSERT INTO t_bytea VALUES ('', 0), ('\x00ff00', -1);
SELECT * FROM t_bytea;
SELECT n FROM t_bytea WHERE k = '\x00ff00';

-- enum and domain keys
CREATE TYPE colour AS ENUM ('red', 'green', 'blue');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE t_enum (c colour PRIMARY KEY, n int);
INSERT INTO t_enum VALUES ('blue', 3), ('red', 1), ('green', 2);
SELECT n FROM t_enum WHERE c = 'green';
SELECT c, n FROM t_enum ORDER BY c;
INSERT INTO t_enum VALUES ('pink', 4);
CREATE TABLE t_dom (id positive PRIMARY KEY, v text);
INSERT INTO t_dom SELECT g, 'd' || g FROM generate_series(1, 15) g;
SELECT v FROM t_dom WHERE id = 7;
INSERT INTO t_dom VALUES (-1, 'no');

-- composite key, no key, unique without a primary key
CREATE TABLE t_comp (a int, b text, v int, PRIMARY KEY (a, b));
INSERT INTO t_comp SELECT g / 3, 'b' || g % 3, g FROM generate_series(0, 29) g;
SELECT v FROM t_comp WHERE a = 4 AND b = 'b1';
SELECT b, v FROM t_comp WHERE a = 4 ORDER BY b;
CREATE TABLE t_none (a int, b text);
INSERT INTO t_none SELECT g % 4, 'x' || g % 3 FROM generate_series(1, 24) g;
SELECT * FROM t_none;
CREATE TABLE t_uniq (a int UNIQUE, b int, UNIQUE (b, a));
INSERT INTO t_uniq VALUES (1, 1), (NULL, 1), (NULL, 1), (2, 2);
SELECT * FROM t_uniq;

-- a table of every type, read back
CREATE TABLE t_all (
  id int PRIMARY KEY, i2 smallint, i8 bigint, tx text, vc varchar(20), ch char(3), nu numeric(10,2),
  f4 real, f8 double precision, bo bool, da date, ti time, ts timestamp, tz timestamptz, iv interval,
  js json, jb jsonb, ia int[], ta text[], by bytea, uu uuid, co colour, po positive,
  inet_ inet, cidr_ cidr, mac macaddr, bits bit(4), vb bit varying(8), pt point, ir int4range, na name, mo oid
);
INSERT INTO t_all VALUES (1, 2, 3, 'text', 'varchar', 'ch', 12.345, 1.25, 2.5, true, '2024-05-06', '12:34:56.789',
  '2024-05-06 12:34:56', '2024-05-06 12:34:56+02', '1 year 2 months 3 days 04:05:06', '{"b" : 1,  "a":2}', '{"b" : 1,  "a":2}',
  '{1,NULL,3}', '{"a,b","c\"d",NULL}', '\xdeadbeef', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'green', 5,
  '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03', B'1010', B'11', '(1,2)', '[1,5]', 'nm', 42);
INSERT INTO t_all (id) VALUES (2);
SELECT * FROM t_all ORDER BY id;
SELECT id, nu, tz, jb, ia, co, po FROM t_all WHERE id = 1;
SELECT id FROM t_all WHERE co = 'green' AND po = 5 AND ia[3] = 3 AND jb->>'a' = '2';

-- generated, identity, defaults, named constraints
CREATE TABLE t_gen (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, w int NOT NULL, h int NOT NULL, area int GENERATED ALWAYS AS (w * h) STORED, label text DEFAULT 'none', CONSTRAINT sane CHECK (w < 100 AND h < 100));
INSERT INTO t_gen (w, h) SELECT g, g + 1 FROM generate_series(1, 20) g;
SELECT * FROM t_gen WHERE area > 200;
INSERT INTO t_gen (w, h) VALUES (100, 1);
INSERT INTO t_gen (w, h, area) VALUES (1, 1, 1);

-- other ways to make tables
CREATE TABLE IF NOT EXISTS t_int (id int);
CREATE TABLE t_like (LIKE t_int INCLUDING ALL);
INSERT INTO t_like (id, name) VALUES (1, 'a');
SELECT * FROM t_like;
INSERT INTO t_like (id, name) VALUES (1, 'b');
CREATE UNLOGGED TABLE t_unlogged (id int PRIMARY KEY);
INSERT INTO t_unlogged SELECT generate_series(1, 5);
SELECT count(*) FROM t_unlogged;
CREATE TABLE "Mixed Case" ("Id" int PRIMARY KEY, "select" text, "with ""quote""" int);
INSERT INTO "Mixed Case" VALUES (1, 'x', 10), (2, 'y', 20);
SELECT * FROM "Mixed Case" ORDER BY "Id";
SELECT "with ""quote""" FROM "Mixed Case" WHERE "Id" = 2;
CREATE TABLE t_nocols ();
INSERT INTO t_nocols DEFAULT VALUES;
SELECT count(*) FROM t_nocols;
CREATE TABLE t_parts (id int, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE t_parts_eu PARTITION OF t_parts FOR VALUES IN ('eu');
CREATE TABLE t_parts_us PARTITION OF t_parts FOR VALUES IN ('us');
INSERT INTO t_parts SELECT g, CASE WHEN g % 3 = 0 THEN 'eu' ELSE 'us' END FROM generate_series(1, 30) g;
SELECT region, count(*), sum(id) FROM t_parts GROUP BY region;
SELECT count(*) FROM t_parts_eu;
INSERT INTO t_parts VALUES (31, 'asia');

-- what the catalog says of them
SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'public' ORDER BY table_name;
SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns WHERE table_schema = 'public' AND table_name = 't_int' ORDER BY ordinal_position;
SELECT conname, contype, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 't_gen'::regclass AND contype IN ('p', 'c') ORDER BY conname;
SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename IN ('t_comp', 't_uniq') ORDER BY indexname;

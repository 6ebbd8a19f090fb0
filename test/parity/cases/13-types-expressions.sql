-- Casts, operators and functions of the common types, with and without rows of a table.
SET timezone TO 'UTC';
SET datestyle TO 'ISO, MDY';
SET intervalstyle TO 'postgres';
CREATE TABLE r (id int PRIMARY KEY, i int, n numeric, t text, j jsonb, a int[], d date, ts timestamptz, rg int4range, u uuid, b bytea);
INSERT INTO r SELECT g, g % 7 - 3, g / 8.0, 'text ' || g, jsonb_build_object('k', g % 5, 'list', jsonb_build_array(g, g + 1), 'deep', jsonb_build_object('s', 'v' || g % 3), 'null', NULL), ARRAY[g % 3, g % 4, NULL], date '2024-01-31' + g, timestamptz '2024-03-30 22:00:00+00' + g * interval '31 minutes', int4range(g, g + g % 6), md5(g::text)::uuid, decode(lpad(to_hex(g), 4, '0'), 'hex') FROM generate_series(1, 70) g;
INSERT INTO r (id) VALUES (71);

-- values without a table
SELECT 1, 'a', 1.5, true, NULL, '2024-01-01'::date;
SELECT 1 AS i, 1::bigint AS b, 1::smallint AS s, 1.0 AS n, 1e3 AS e, 1::real AS r, 1::double precision AS d;
SELECT 7 / 2 AS a, -7 / 2 AS b, 7 % -3 AS c, 7 / 2.0 AS d, 2 ^ 10 AS e, |/ 16 AS f, 5 & 3 AS g, 5 | 3 AS h, 5 # 3 AS i, ~5 AS j, 1 << 4 AS k, @ -3 AS l;
SELECT 0.1 + 0.2 AS n, 0.1::float8 + 0.2::float8 AS f, 1::numeric / 3 AS third, round(2.5) AS r1, round(2.5::float8) AS r2, round(-1234.567, -2) AS r3, trunc(1.999, 2) AS t;
SELECT 'abc'::varchar(2) AS v, 'abc'::char(5) AS c, 'abc'::"char" AS ch, 'abc'::name AS n, 12345.678::numeric(7,1) AS m, '  12 '::int AS i, 'yes'::bool AS y, 1::bool AS b, true::int AS ti;
SELECT NULL = NULL AS a, NULL IS NULL AS b, NULL AND false AS c, NULL OR true AS d, NOT NULL AS e, 1 IS DISTINCT FROM NULL AS f, (NULL = 1) IS UNKNOWN AS g;
SELECT coalesce(NULL, NULL, 3) AS a, nullif(3, 3) AS b, nullif(3, 4) AS c, greatest(1, NULL, 5) AS d, least('b', 'a') AS e;
SELECT CASE 3 WHEN 1 THEN 'a' WHEN 3 THEN 'c' END AS x, CASE WHEN 1 = 0 THEN 1 / 0 ELSE 2 END AS y, CASE WHEN false THEN 1 END AS z;
SELECT 'NaN'::float8 = 'NaN'::float8 AS a, 'Infinity'::float8 > 1e308 AS b, 'NaN'::numeric > 1 AS c;
SELECT pg_typeof(1 + 1::bigint) AS a, pg_typeof(1 / 2.0) AS b, pg_typeof('x' || 'y') AS c, pg_typeof(ARRAY[1, 2.5]) AS d, pg_typeof(date '2024-01-01' - date '2023-01-01') AS e, pg_typeof(NULL) AS f;

-- strings
SELECT length('héllo') AS a, upper('abc') AS b, initcap('hello wORLD') AS c, reverse('abc') AS d, repeat('ab', 3) AS e, lpad('7', 3, '0') AS f, rpad('x', 3, '.') AS g, left('hello', -2) AS h, right('hello', 3) AS i;
SELECT substring('hello' from 2 for 3) AS a, substr('hello', 0, 3) AS b, position('l' in 'hello') AS c, strpos('abc', 'z') AS d, overlay('abcdef' placing 'XX' from 2 for 3) AS e, trim(both 'x' from 'xxhixx') AS f, btrim('  a ') AS g, replace('aXbX', 'X', '--') AS h, translate('12345', '14', 'ax') AS i;
SELECT split_part('a,b,c', ',', 2) AS a, split_part('a,b,c', ',', -1) AS b, concat('a', NULL, 1, true) AS c, concat_ws('-', 'a', NULL, 'b') AS d, format('%s is %I or %L %%', 'x', 'a b', 'it''s') AS e, 'a' || NULL AS f, chr(8364) AS g, ascii('A') AS h, md5('abc') AS i, encode(sha256('abc'), 'hex') AS j;
SELECT quote_ident('A b') AS a, quote_literal('it''s') AS b, quote_nullable(NULL) AS c, to_hex(255) AS d, encode('\xdeadbeef', 'base64') AS e, decode('3q2+7w==', 'base64') AS f, 'a'::bytea || '\x00'::bytea AS g, get_byte('\x0102', 1) AS h, octet_length('é') AS i;
SELECT E'line\nbreak\ttab \\ \'quote\' \u00e9' AS esc, U&'\0061\+000062' AS uni, $tag$it's $$ here$tag$ AS dollar, 'two '
  'parts' AS joined, B'1010' AS bits, X'1F' AS hexbits;
SELECT 'abc' LIKE 'a%' AS a, 'abc' LIKE '_b_' AS b, 'a%c' LIKE 'a\%c' AS c, 'ABC' ILIKE 'abc' AS d, 'abc' SIMILAR TO '(a|x)bc' AS e, 'abc' ~ '^a.c$' AS f, 'ABC' ~* 'abc' AS g, 'abc' !~ 'b' AS h, 'abc' NOT LIKE 'x%' AS i, 'a_c' LIKE 'a!_c' ESCAPE '!' AS j;
SELECT regexp_replace('foo123bar45', '[0-9]+', '#', 'g') AS a, regexp_match('foo-123', '([a-z]+)-([0-9]+)') AS b, substring('foo123' from '[0-9]+') AS c, regexp_split_to_array('a1b22c', '[0-9]+') AS d, regexp_count('banana', 'a') AS e, regexp_substr('banana', 'an.', 2) AS f, regexp_like('x', 'X', 'i') AS g;
SELECT m FROM regexp_matches('k1=v1;k2=v2', '(\w+)=(\w+)', 'g') m;
SELECT s FROM regexp_split_to_table('a b  c', '\s+') s;
SELECT s, o FROM unnest(string_to_array('x,y,,z', ',', '')) WITH ORDINALITY u(s, o) ORDER BY o;
SELECT to_char(1234567.891, 'FM9,999,999.00') AS a, to_char(-5, '999PR') AS b, to_char(42, 'RN') AS c, to_number('1,234.5', '9,999.9') AS d, to_char(0.5, '0.000') AS e;
SELECT starts_with('hello', 'he') AS a, string_to_array('a,b', ',') AS b, array_to_string(ARRAY['a', NULL, 'c'], '-', '?') AS c, normalize('é', NFD) = 'é' AS d;

-- dates and times
SELECT date '2024-02-28' + 2 AS a, date '2024-03-01' - date '2024-02-01' AS b, date '2024-01-31' + interval '1 month' AS c, timestamp '2024-01-01 10:00' - timestamp '2023-12-31 09:30' AS d, age(date '2024-03-01', date '2023-01-15') AS e, time '10:00' + interval '90 minutes' AS f;
SELECT extract(year FROM date '2024-05-06') AS a, extract(epoch FROM timestamptz '2024-01-01 00:00+00') AS b, date_part('dow', date '2024-05-06') AS c, extract(isoyear FROM date '2021-01-01') AS d, extract(week FROM date '2021-01-01') AS e, extract(doy FROM date '2024-12-31') AS f, extract(second FROM time '01:02:03.45') AS g;
SELECT date_trunc('hour', timestamptz '2024-01-01 10:45:00+00') AS a, date_trunc('week', date '2024-05-09') AS b, date_trunc('day', timestamptz '2024-01-01 23:30+00', 'Europe/Berlin') AS c, date_bin('15 minutes', timestamp '2024-01-01 10:44', timestamp '2024-01-01') AS d;
SELECT timestamptz '2024-06-01 12:00+00' AT TIME ZONE 'America/New_York' AS a, timestamp '2024-06-01 12:00' AT TIME ZONE 'Asia/Tokyo' AS b, timestamptz '2024-06-01 12:00 Europe/Paris' AS c;
SELECT to_char(timestamp '2024-05-06 07:08:09.123', 'YYYY-MM-DD HH24:MI:SS.MS Day Mon') AS a, to_date('06 May 2024', 'DD Mon YYYY') AS b, to_timestamp('2024-05-06 07:08', 'YYYY-MM-DD HH24:MI') AS c, to_timestamp(1700000000) AS d, make_date(2024, 2, 29) AS e, make_interval(days => 10, hours => 3) AS f;
SELECT interval '1 year 14 months 40 days 30:00:00' AS a, justify_interval(interval '40 days 30 hours') AS b, interval '1 day' = interval '24 hours' AS c, interval '2 hours' * 1.5 AS d, interval 'P1Y2M3DT4H' AS e, -interval '3 days' AS f, (date '2024-01-01', date '2024-02-01') OVERLAPS (date '2024-01-31', date '2024-03-01') AS g, isfinite(date 'infinity') AS h;
SET timezone TO 'America/New_York';
SELECT timestamptz '2024-03-10 06:59:59+00' AS before, timestamptz '2024-03-10 07:00:00+00' AS after, '2024-07-01 12:00'::timestamp::timestamptz AS summer;
SELECT id, ts, ts::date AS day, extract(hour FROM ts) AS h FROM r WHERE id IN (1, 5, 40) ORDER BY id;
SELECT ts::date AS day, count(*) FROM r GROUP BY 1 ORDER BY 1;
SET timezone TO 'UTC';
SELECT ts::date AS day, count(*) FROM r GROUP BY 1 ORDER BY 1;
SET datestyle TO 'German';
SELECT id, d, ts FROM r WHERE id IN (2, 3) ORDER BY id;
SET datestyle TO 'ISO, DMY';
SELECT '02/03/2024'::date AS d;
SET datestyle TO 'ISO, MDY';
SET bytea_output TO 'escape';
SELECT id, b FROM r WHERE id IN (65, 66) ORDER BY id;
RESET bytea_output;
SET extra_float_digits TO 0;
SELECT 0.1::float8 + 0.2::float8 AS f, (id / 3.0)::float8 AS g FROM r WHERE id = 10;
RESET extra_float_digits;
SET intervalstyle TO 'iso_8601';
SELECT interval '1 year 2 days 3 hours' AS iv, id * interval '1 day' AS days FROM r WHERE id < 3 ORDER BY id;
RESET intervalstyle;

-- jsonb
SELECT id, j->'k' AS k, j->>'k' AS kt, j->'list'->0 AS l0, j#>'{deep,s}' AS ds, j#>>'{deep,s}' AS dst, j ? 'k' AS has FROM r WHERE id < 5;
SELECT id FROM r WHERE j @> '{"k": 3, "deep": {"s": "v1"}}' ORDER BY id;
SELECT id FROM r WHERE j->'list' @> '10';
SELECT j->'deep'->>'s' AS s, count(*), sum((j->>'k')::int) FROM r GROUP BY 1;
SELECT count(*) FROM r WHERE j ?| ARRAY['zz', 'k'] AND j ?& ARRAY['k', 'list'] AND j->>'null' IS NULL;
SELECT j || '{"new": 1}' AS a, j - 'deep' - 'list' AS b, j #- '{list,0}' AS c, jsonb_set(j, '{deep,s}', '"set"') AS d FROM r WHERE id = 4;
SELECT '{"a": 1, "b": [1, 2, {"c": null}]}'::jsonb AS a, '{"b":1, "a":2, "b":3}'::jsonb AS dup, '{"b":1, "a":2, "b":3}'::json AS raw, '[1, 2.50, "x", true, null]'::jsonb AS arr, '1.10'::jsonb = '1.1'::jsonb AS eq;
SELECT key, value FROM jsonb_each('{"x": 1, "y": {"z": 2}}') ORDER BY key;
SELECT r.id, e.value FROM r, jsonb_array_elements(r.j->'list') e WHERE r.id IN (1, 2);
SELECT jsonb_typeof(j->'list') AS a, jsonb_array_length(j->'list') AS b, jsonb_typeof(j->'null') AS c, jsonb_strip_nulls(j) AS d FROM r WHERE id = 6;
SELECT to_jsonb(ROW(1, 'a')) AS a, row_to_json(x) AS b, json_build_object('k', 1, 'l', ARRAY[1, 2]) AS c, jsonb_build_array(1, 'x', NULL) AS d FROM (SELECT 1 AS p, 'q' AS q) x;
SELECT jsonb_path_query_array('{"a": [1, 2, 3, 4]}', '$.a[*] ? (@ > 2)') AS a, jsonb_path_exists('{"a": 1}', '$.b') AS b, '{"a": 1}'::jsonb @? '$.a' AS c, '{"a": 1}'::jsonb @@ '$.a == 1' AS d;
SELECT * FROM jsonb_to_recordset('[{"a": 1, "b": "x"}, {"a": 2}]') AS x(a int, b text);
SELECT '{bad json}'::jsonb;

-- arrays
SELECT ARRAY[1, 2, 3] AS a, '{{1,2},{3,4}}'::int[] AS b, (ARRAY[5, 6, 7])[2] AS c, (ARRAY[5, 6, 7])[2:3] AS d, (ARRAY[1])[9] AS e, ARRAY[]::text[] AS f, '[0:1]={7,8}'::int[] AS g;
SELECT ARRAY[1, 2] || 3 AS a, 0 || ARRAY[1] AS b, ARRAY[1] || ARRAY[2, 3] AS c, array_append(ARRAY[1], NULL) AS d, array_remove(ARRAY[1, 2, 1], 1) AS e, array_position(ARRAY['a', 'b'], 'b') AS f, cardinality('{{1,2},{3,4}}'::int[]) AS g, array_length(ARRAY[1, 2], 1) AS h, array_dims('{{1},{2}}'::int[]) AS i, array_fill(0, ARRAY[2]) AS j;
SELECT ARRAY[1, 2] @> ARRAY[2] AS a, ARRAY[1, 2] <@ ARRAY[1, 2, 3] AS b, ARRAY[1, 2] && ARRAY[2, 9] AS c, ARRAY[1, 2] = ARRAY[2, 1] AS d, 2 = ANY (ARRAY[1, 2]) AS e, 2 > ALL (ARRAY[1, NULL]) AS f, ARRAY[1, 2] < ARRAY[1, 3] AS g;
SELECT id, a[1] AS a1, a[2:3] AS rest FROM r WHERE a @> ARRAY[2, 3] ORDER BY id;
SELECT x, count(*) FROM r, unnest(a) x GROUP BY x ORDER BY x;
SELECT a, count(*) FROM r GROUP BY a;
SELECT * FROM unnest(ARRAY[1, 2, 3], ARRAY['a', 'b']) AS t(n, s);
SELECT id FROM r WHERE id = ANY ((SELECT array_agg(x ORDER BY x) FROM generate_series(3, 6) x)::int[]) ORDER BY id;

-- ranges
SELECT int4range(1, 5) AS a, '[1,5]'::int4range AS b, 'empty'::int4range AS c, int4range(1, 5) @> 3 AS d, int4range(1, 5) && int4range(5, 9) AS e, int4range(1, 5) + int4range(3, 9) AS f, upper(numrange(1, 2.5, '[]')) AS g, isempty(int4range(3, 3)) AS h, daterange('2024-01-01', NULL) AS i;
SELECT id, rg FROM r WHERE rg @> 20 ORDER BY id;
SELECT count(*) FILTER (WHERE isempty(rg)) AS empty, min(lower(rg)) AS lo, max(upper(rg)) AS hi FROM r;
SELECT '{[1,3),[5,9)}'::int4multirange AS m, '{[1,3),[5,9)}'::int4multirange @> 6 AS c;
SELECT int4range(5, 1);

-- generate_series and other row functions
SELECT g FROM generate_series(1, 10, 3) g;
SELECT g FROM generate_series(5, 1, -2) g;
SELECT g::date FROM generate_series(timestamp '2024-01-30', timestamp '2024-02-02', interval '1 day') g;
SELECT generate_series(1, 3) AS a, generate_series(1, 2) AS b;
SELECT * FROM generate_series(1, 3) WITH ORDINALITY AS t(v, o);
SELECT * FROM ROWS FROM (generate_series(1, 3), unnest(ARRAY['x', 'y'])) AS t(n, s);
SELECT g FROM generate_series(1, 5, 0) g;
SELECT id, generate_series(1, id) AS s FROM r WHERE id < 4;

-- rows
SELECT ROW(1, 'a', NULL) AS r, (1, 2) < (1, 3) AS lt, (1, NULL) = (1, NULL) AS eq, (1, NULL) IS NULL AS isn, ROW(NULL, NULL) IS NULL AS alln, (1, 2) IN ((1, 2), (3, 4)) AS inn;
SELECT id FROM r WHERE (i, id) > (2, 60) ORDER BY id;
SELECT r.id, (r).t FROM r WHERE r.id = 9;
SELECT count(r), count(r.*) FROM r;

-- expressions over rows
SELECT id, i / 2 AS half, i % 2 AS odd, abs(i) AS a, sign(i) AS s, n * 2 AS n2, t || '!' AS tt FROM r WHERE i < 0;
SELECT id, i::text || ':' || n::text AS s, d + i AS d2, ts + i * interval '1 day' AS ts2 FROM r WHERE id BETWEEN 10 AND 14 ORDER BY id;
SELECT id FROM r WHERE t ~ '^text [0-9]$' ORDER BY id;
SELECT id FROM r WHERE t LIKE '%7_' OR t ILIKE 'TEXT 6' ORDER BY id;
SELECT id FROM r WHERE d BETWEEN '2024-02-10' AND '2024-02-12' OR extract(day FROM d) = 29 ORDER BY id;
SELECT id FROM r WHERE n = 1.5 OR n IN (0.125, 2.000) ORDER BY id;
SELECT id FROM r WHERE i IS NULL OR i IN (NULL, 3) ORDER BY id;
SELECT sum(CASE WHEN i > 0 THEN n ELSE -n END) AS s, count(nullif(i, 0)) AS c, max(coalesce(t, 'zzz')) AS m FROM r;
SELECT id FROM r WHERE u = '{c81e728d9d4c2f636f067f89cc14862c}' OR u::text LIKE 'eccb%';
SELECT id, encode(b, 'hex') AS h FROM r WHERE b > '\x0040' ORDER BY b;
SELECT 'r'::regclass AS c, 'int4'::regtype AS t, 'pg_catalog.length(text)'::regprocedure AS p;
SELECT width_bucket(5.35, 0, 10, 5) AS a, factorial(10) AS b, gcd(12, 18) AS c, lcm(4, 6) AS d, div(17, 5) AS e, mod(-17, 5) AS f, power(2::numeric, 0.5)::numeric(6,4) AS g, ceil(-1.5) AS h, floor(-1.5) AS i, scale(1.230) AS j, trim_scale(1.230) AS k;
SELECT inet '10.1.2.3' << inet '10.0.0.0/8' AS a, host('10.0.0.1/24'::inet) AS b, network('10.0.0.1/24'::inet) AS c, point(1, 2) <-> point(4, 6) AS d, macaddr '08-00-2b-01-02-03' AS e;
SELECT 9223372036854775807 + 1;
SELECT 2147483647 + 1;
SELECT 32767::smallint + 1::smallint;
SELECT '2024-02-30'::date;
SELECT sqrt(-1);
SELECT 'abc'::uuid;
SELECT 300::"char"::int, 1::int::smallint, (2.5)::int, (3.5)::int, (-2.5)::int;

-- Aggregates over rows that lie on several servers, with NULLs, duplicates and empty tables.
SET timezone TO 'UTC';
CREATE TABLE sales (id int PRIMARY KEY, region text, product text, qty int, amount numeric(10,2), sold date, ok bool, big bigint, f double precision);
INSERT INTO sales SELECT g, CASE WHEN g % 11 = 0 THEN NULL ELSE 'r' || g % 4 END, 'p' || g % 6, CASE WHEN g % 9 = 0 THEN NULL ELSE g % 13 END, CASE WHEN g % 17 = 0 THEN NULL ELSE g * 1.25 END, date '2024-01-01' + g % 90, CASE WHEN g % 5 = 0 THEN NULL ELSE g % 3 = 0 END, g::bigint * 1000000000000, g / 4.0 FROM generate_series(1, 200) g;
CREATE TABLE nothing (id int PRIMARY KEY, v int, t text);
CREATE TABLE bag (a int, b text);
INSERT INTO bag SELECT g % 5, CASE WHEN g % 4 = 0 THEN NULL ELSE 'b' || g % 3 END FROM generate_series(1, 50) g;
CREATE TABLE big (id int PRIMARY KEY, v bigint);
INSERT INTO big SELECT g, 9223372036854775800 FROM generate_series(1, 10) g;

-- over the whole table
SELECT count(*) FROM sales;
SELECT count(*), count(qty), count(DISTINCT qty), count(region), count(ok) FROM sales;
SELECT sum(qty), sum(amount), sum(big), sum(f) FROM sales;
SELECT avg(qty), avg(amount), avg(big), avg(f) FROM sales;
SELECT min(id), max(id), min(region), max(region), min(sold), max(sold), min(amount), max(amount) FROM sales;
SELECT bool_and(ok), bool_or(ok), every(qty > 0) FROM sales;
SELECT bit_and(qty), bit_or(qty), bit_xor(qty) FROM sales;
SELECT sum(qty) * 2 + 1 AS x, round(avg(amount), 3) AS r, sum(qty) / count(*) AS d, max(qty) - min(qty) AS spread FROM sales;
SELECT count(*) FILTER (WHERE qty > 6), sum(amount) FILTER (WHERE region = 'r1'), avg(qty) FILTER (WHERE false), max(id) FILTER (WHERE ok) FROM sales;
SELECT count(*) filtered FROM sales WHERE qty IS NULL;
SELECT sum(DISTINCT qty), avg(DISTINCT qty), count(DISTINCT (region, product)) FROM sales;
SELECT string_agg(product, ',' ORDER BY id) FROM sales WHERE id <= 12;
SELECT string_agg(DISTINCT product, ',' ORDER BY product) FROM sales;
SELECT array_agg(id ORDER BY id DESC) FROM sales WHERE id % 25 = 0;
SELECT array_agg(DISTINCT qty ORDER BY qty NULLS FIRST) FROM sales;
SELECT json_agg(product ORDER BY id) AS j, jsonb_object_agg(id, region ORDER BY id) AS o FROM sales WHERE id BETWEEN 20 AND 24;
SELECT var_pop(qty)::numeric(12,6), stddev_samp(qty)::numeric(12,6), variance(amount)::numeric(20,4) FROM sales;
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY qty), percentile_disc(0.25) WITHIN GROUP (ORDER BY amount), mode() WITHIN GROUP (ORDER BY product) FROM sales WHERE id < 60;
SELECT sum(v), avg(v) FROM big;
SELECT sum(sold - date '2024-01-01') AS days, max(sold) - min(sold) AS span FROM sales;
SELECT sum(interval '1 hour' * qty), avg(interval '1 minute' * id) FROM sales WHERE id <= 10;
SELECT count(*) AS n, 'const' AS c, 1 + 1 AS two FROM sales;
SELECT max(region || product) FROM sales;
SELECT regr_count(qty, id), corr(id, id)::numeric(4,2) FROM sales;
SELECT range_agg(int4range(id, id + 1)) FROM sales WHERE id NOT BETWEEN 50 AND 60;

-- GROUP BY
SELECT region, count(*), sum(qty), avg(amount) FROM sales GROUP BY region;
SELECT region, product, count(*) FROM sales GROUP BY region, product ORDER BY region NULLS FIRST, product;
SELECT id, sum(qty) FROM sales WHERE id < 10 GROUP BY id ORDER BY id;
SELECT id, region, amount FROM sales WHERE id < 10 GROUP BY id;
SELECT qty % 3 AS m, min(id), max(id) FROM sales GROUP BY qty % 3;
SELECT qty % 3 AS m, count(*) FROM sales GROUP BY m ORDER BY m;
SELECT region, count(*) FROM sales GROUP BY 1 ORDER BY 2 DESC, 1;
SELECT date_trunc('month', sold)::date AS month, sum(amount) FROM sales GROUP BY 1 ORDER BY 1;
SELECT extract(dow FROM sold) AS dow, count(*) FROM sales GROUP BY extract(dow FROM sold);
SELECT ok, count(*), count(ok) FROM sales GROUP BY ok;
SELECT region IS NULL AS unknown, product = 'p1' AS p1, count(*) FROM sales GROUP BY 1, 2;
SELECT region FROM sales GROUP BY region;
SELECT count(*) FROM sales GROUP BY region;
SELECT region, string_agg(id::text, '-' ORDER BY id) FROM sales WHERE id < 30 GROUP BY region;
SELECT region, count(DISTINCT product), sum(DISTINCT qty) FROM sales GROUP BY region;
SELECT product, count(*) FILTER (WHERE ok) AS yes, count(*) FILTER (WHERE NOT ok) AS no, count(*) FILTER (WHERE ok IS NULL) AS unknown FROM sales GROUP BY product;
SELECT region, bool_and(ok), bool_or(ok) FROM sales GROUP BY region;
SELECT upper(region) AS r, sum(qty) FROM sales WHERE product IN ('p1', 'p2') GROUP BY upper(region);
SELECT CASE WHEN qty < 5 THEN 'low' WHEN qty < 10 THEN 'mid' ELSE 'other' END AS band, count(*) FROM sales GROUP BY 1 ORDER BY 1;

-- HAVING
SELECT product, sum(amount) FROM sales GROUP BY product HAVING sum(amount) > 4000;
SELECT region, count(*) FROM sales GROUP BY region HAVING count(*) > 45 AND region IS NOT NULL;
SELECT qty FROM sales GROUP BY qty HAVING count(*) = 1;
SELECT count(*) FROM sales HAVING count(*) > 1000;
SELECT 1 AS one FROM sales HAVING max(id) = 200;
SELECT region, avg(qty) FROM sales GROUP BY region HAVING avg(qty) > (SELECT avg(qty) FROM sales) ORDER BY region;

-- grouping sets
SELECT region, product, sum(qty) FROM sales GROUP BY GROUPING SETS ((region), (product), ());
SELECT region, product, count(*), grouping(region, product) AS g FROM sales WHERE region IS NOT NULL GROUP BY ROLLUP (region, product);
SELECT region, ok, count(*), grouping(region) AS gr, grouping(ok) AS go FROM sales GROUP BY CUBE (region, ok);
SELECT region, sum(qty) FROM sales GROUP BY ROLLUP (region) ORDER BY grouping(region), region;
SELECT product, ok, max(id) FROM sales GROUP BY product, ROLLUP (ok);
SELECT region, product, count(*) FROM sales GROUP BY GROUPING SETS ((region, product), (region)) HAVING count(*) > 40;

-- DISTINCT
SELECT DISTINCT region FROM sales;
SELECT DISTINCT region, ok FROM sales ORDER BY region, ok;
SELECT DISTINCT qty % 4 AS m FROM sales ORDER BY m DESC;
SELECT DISTINCT count(*) FROM sales GROUP BY product;
SELECT count(*) FROM (SELECT DISTINCT product, qty FROM sales) s;

-- nothing to aggregate
SELECT count(*), count(v), sum(v), avg(v), min(v), max(v) FROM nothing;
SELECT bool_and(v > 0), string_agg(t, ',' ORDER BY id), array_agg(v ORDER BY id), count(DISTINCT v) FROM nothing;
SELECT v, count(*) FROM nothing GROUP BY v;
SELECT count(*), sum(v) FROM nothing GROUP BY GROUPING SETS ((), ());
SELECT count(*) FROM nothing GROUP BY ();
SELECT count(*), sum(qty), coalesce(sum(qty), 0) FROM sales WHERE id > 1000;
SELECT region, count(*) FROM sales WHERE id > 1000 GROUP BY region;
SELECT count(*) FROM sales WHERE id = 5;
SELECT sum(qty) FROM sales WHERE id IN (1, 2, 3);

-- tables without a key, nested and odd
SELECT a, count(*), count(b), min(b), array_agg(DISTINCT b ORDER BY b) FROM bag GROUP BY a;
SELECT b, sum(a), avg(a) FROM bag GROUP BY b ORDER BY b NULLS LAST;
SELECT avg(n), max(n), sum(s) FROM (SELECT region, count(*) AS n, sum(qty) AS s FROM sales GROUP BY region) x;
SELECT max(sum(qty)) FROM sales GROUP BY region;
SELECT region, qty FROM sales GROUP BY region;
SELECT sum(qty) FROM sales WHERE sum(qty) > 1;
SELECT sum(region) FROM sales;
SELECT sum(v + v) FROM big;

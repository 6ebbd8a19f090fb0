-- Window functions: over the whole table, partitions by the key and by other columns, frames.
CREATE TABLE m (id int PRIMARY KEY, grp text, val int, d date);
INSERT INTO m SELECT g, CASE WHEN g % 13 = 0 THEN NULL ELSE 'g' || g % 4 END, CASE WHEN g % 8 = 0 THEN NULL ELSE (g * 7) % 20 END, date '2024-01-01' + g * 3 FROM generate_series(1, 60) g;
CREATE TABLE heap (grp int, v int);
INSERT INTO heap SELECT g % 3, g % 5 FROM generate_series(1, 30) g;
CREATE TABLE none (id int PRIMARY KEY, v int);

-- ranks
SELECT id, row_number() OVER (ORDER BY id) FROM m;
SELECT id, row_number() OVER (ORDER BY val DESC NULLS LAST, id) AS rn FROM m ORDER BY rn LIMIT 15;
SELECT id, val, rank() OVER (ORDER BY val), dense_rank() OVER (ORDER BY val) FROM m;
SELECT id, grp, rank() OVER (PARTITION BY grp ORDER BY val DESC NULLS LAST) AS r FROM m ORDER BY grp, r, id;
SELECT id, percent_rank() OVER (ORDER BY val)::numeric(6,4), cume_dist() OVER (ORDER BY val)::numeric(6,4) FROM m WHERE id < 20;
SELECT id, ntile(7) OVER (ORDER BY id) AS tile FROM m ORDER BY id;
SELECT id, row_number() OVER (PARTITION BY id ORDER BY val) FROM m;
SELECT grp, row_number() OVER (PARTITION BY grp ORDER BY id) AS rn FROM m WHERE id <= 25;

-- neighbours
SELECT id, lag(val) OVER (ORDER BY id), lead(val) OVER (ORDER BY id) FROM m;
SELECT id, lag(val, 2, -1) OVER (PARTITION BY grp ORDER BY id), lead(id, 3) OVER (PARTITION BY grp ORDER BY id) FROM m ORDER BY id;
SELECT id, val - lag(val) OVER w AS delta FROM m WINDOW w AS (ORDER BY d) ORDER BY id;
SELECT id, first_value(id) OVER w, last_value(id) OVER w, nth_value(id, 2) OVER w FROM m WINDOW w AS (PARTITION BY grp ORDER BY id);
SELECT id, last_value(id) OVER (PARTITION BY grp ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM m;

-- aggregates as windows, frames
SELECT id, sum(val) OVER (ORDER BY id) AS running FROM m ORDER BY id;
SELECT id, count(*) OVER () AS n, sum(val) OVER () AS s, avg(val) OVER (PARTITION BY grp) AS a FROM m;
SELECT id, sum(val) OVER (ORDER BY val) AS peers FROM m;
SELECT id, sum(val) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS three FROM m ORDER BY id;
SELECT id, sum(val) OVER (ORDER BY id ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING) FROM m ORDER BY id;
SELECT id, count(*) OVER (ORDER BY val RANGE BETWEEN 2 PRECEDING AND 2 FOLLOWING) FROM m;
SELECT id, count(*) OVER (ORDER BY d RANGE BETWEEN interval '7 days' PRECEDING AND CURRENT ROW) FROM m ORDER BY id;
SELECT id, sum(id) OVER (ORDER BY val GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM m;
SELECT id, sum(id) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND 2 FOLLOWING EXCLUDE CURRENT ROW) FROM m;
SELECT id, sum(id) OVER (PARTITION BY grp ORDER BY val RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE TIES) FROM m WHERE val IS NOT NULL;
SELECT id, max(val) OVER (PARTITION BY grp ORDER BY id ROWS UNBOUNDED PRECEDING), min(val) OVER (PARTITION BY grp) FROM m;
SELECT id, count(*) FILTER (WHERE val > 10) OVER (PARTITION BY grp) FROM m;
SELECT id, string_agg(id::text, ',') OVER (PARTITION BY grp ORDER BY id) AS ids FROM m WHERE id < 18;
SELECT id, array_agg(id) OVER (ORDER BY id ROWS 2 PRECEDING) AS last3 FROM m WHERE id <= 10 ORDER BY id;
SELECT id, bool_or(val > 15) OVER (PARTITION BY grp) FROM m WHERE id < 30;

-- named windows, several windows
SELECT id, rank() OVER w, sum(val) OVER w, count(*) OVER w2 FROM m WINDOW w AS (PARTITION BY grp ORDER BY val), w2 AS (PARTITION BY id % 2);
SELECT id, sum(val) OVER (w ROWS 1 PRECEDING) FROM m WINDOW w AS (PARTITION BY grp ORDER BY id) ORDER BY id;
SELECT id, row_number() OVER (ORDER BY id) + row_number() OVER (ORDER BY id DESC) AS always FROM m;
SELECT id, rank() OVER (PARTITION BY val % 3, grp ORDER BY id DESC) AS r FROM m;

-- after grouping
SELECT grp, count(*) AS n, rank() OVER (ORDER BY count(*) DESC) AS r FROM m GROUP BY grp;
SELECT grp, sum(val) AS s, sum(sum(val)) OVER (ORDER BY grp) AS running FROM m GROUP BY grp ORDER BY grp;
SELECT grp, round(100.0 * sum(val) / sum(sum(val)) OVER (), 2) AS share FROM m GROUP BY grp;
SELECT DISTINCT grp, max(val) OVER (PARTITION BY grp) AS mx FROM m;

-- inside subqueries
SELECT * FROM (SELECT id, grp, val, row_number() OVER (PARTITION BY grp ORDER BY val DESC NULLS LAST, id) AS rn FROM m) t WHERE rn <= 2;
WITH r AS (SELECT id, dense_rank() OVER (ORDER BY val DESC NULLS LAST) AS dr FROM m) SELECT dr, count(*), min(id) FROM r WHERE dr <= 5 GROUP BY dr ORDER BY dr;
SELECT a.id FROM (SELECT id, lag(id) OVER (ORDER BY val, id) AS p FROM m) a JOIN m b ON b.id = a.p WHERE b.grp = 'g1';
SELECT count(*) FROM (SELECT sum(val) OVER (PARTITION BY grp) AS s FROM m) t WHERE s > 100;

-- other tables
SELECT grp, v, rank() OVER (PARTITION BY grp ORDER BY v) FROM heap;
SELECT grp, v, count(*) OVER (PARTITION BY grp, v) FROM heap;
SELECT grp, sum(v) OVER (PARTITION BY grp ORDER BY v) FROM heap;
SELECT id, row_number() OVER () FROM none;
SELECT g, sum(g) OVER (ORDER BY g) FROM generate_series(1, 5) g ORDER BY g;
SELECT id, row_number() OVER (ORDER BY id) FROM m WHERE id = 7;

-- wrong ones
SELECT id FROM m WHERE row_number() OVER (ORDER BY id) = 1;
SELECT rank() FROM m;
SELECT sum(val) OVER nope FROM m;
SELECT row_number() OVER (ORDER BY nope) FROM m;
SELECT sum(id) OVER (ORDER BY id ROWS -1 PRECEDING) FROM m;
SELECT sum(sum(val) OVER ()) FROM m;

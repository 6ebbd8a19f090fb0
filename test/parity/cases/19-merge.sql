-- MERGE over several shards
CREATE TABLE stock (sku int PRIMARY KEY, qty int NOT NULL CHECK (qty >= 0), note text DEFAULT 'none', at timestamptz DEFAULT now());
CREATE TABLE delta (sku int, change int);
INSERT INTO stock (sku, qty) SELECT g, g FROM generate_series(1, 30) g;
INSERT INTO delta SELECT g, g % 7 - 2 FROM generate_series(20, 45) g;
MERGE INTO stock s USING delta d ON s.sku = d.sku WHEN MATCHED AND d.change < 0 THEN DELETE WHEN MATCHED THEN UPDATE SET qty = qty + d.change, note = 'merged' WHEN NOT MATCHED AND d.change > 0 THEN INSERT (sku, qty) VALUES (d.sku, d.change);
SELECT sku, qty, note FROM stock ORDER BY sku;
MERGE INTO stock s USING (VALUES (1, 100), (2, 200), (999, 300)) v (k, q) ON sku = k WHEN MATCHED THEN UPDATE SET qty = q WHEN NOT MATCHED THEN INSERT VALUES (k, q) RETURNING merge_action(), s.sku, s.qty, v.q, s.note;
MERGE INTO stock s USING delta d ON s.sku = d.sku WHEN MATCHED THEN DO NOTHING WHEN NOT MATCHED BY SOURCE AND s.sku > 25 THEN DELETE WHEN NOT MATCHED BY SOURCE THEN UPDATE SET note = 'kept' RETURNING merge_action(), sku;
MERGE INTO stock USING (SELECT 5 AS k) v ON sku = v.k WHEN MATCHED THEN DELETE RETURNING k, v, sku, note;
MERGE INTO stock s USING (SELECT 6 AS k) v ON s.sku = v.k WHEN MATCHED THEN UPDATE SET sku = 600, note = DEFAULT RETURNING s.sku, s.note;
MERGE INTO stock s USING (SELECT 10 AS k UNION ALL SELECT 10) v ON s.sku = v.k WHEN MATCHED THEN UPDATE SET qty = 1;
MERGE INTO stock s USING (SELECT 2000 + g AS k FROM generate_series(1, 3) g) v ON s.sku = v.k WHEN NOT MATCHED THEN INSERT (sku) VALUES (v.k);
MERGE INTO stock s USING (SELECT 1 AS k) v ON false WHEN NOT MATCHED THEN INSERT (sku, qty) VALUES (v.k, 1);
MERGE INTO stock s USING (SELECT g AS k FROM generate_series(3000, 3003) g) v ON s.sku = v.k WHEN NOT MATCHED THEN INSERT (sku, qty) VALUES (v.k, 3001 - v.k);
MERGE INTO stock s USING delta d ON s.sku = d.sku AND s.sku < 25 WHEN MATCHED THEN UPDATE SET qty = 0;
SELECT count(*), sum(sku), sum(qty) FROM stock;
WITH d AS (SELECT sku, sum(change) AS c FROM delta GROUP BY sku) MERGE INTO stock s USING d ON s.sku = d.sku + 100 WHEN NOT MATCHED AND c > 1 THEN INSERT (sku, qty, note) VALUES (d.sku + 100, c, 'cte');
WITH m AS (MERGE INTO stock s USING (VALUES (1), (77777)) v (k) ON sku = k WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (k, 1) RETURNING merge_action() AS a, sku) SELECT * FROM m ORDER BY sku;
BEGIN;
MERGE INTO stock s USING delta d ON s.sku = d.sku WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (sku, qty) VALUES (d.sku, 1);
SELECT count(*), sum(sku) FROM stock;
SELECT count(*) FROM stock WHERE at = now();
ROLLBACK;
SELECT count(*), sum(sku) FROM stock;

-- sequences and identity
CREATE TABLE log (id serial PRIMARY KEY, line text UNIQUE, n int GENERATED ALWAYS AS IDENTITY);
CREATE TABLE lines (id bigserial PRIMARY KEY, line text);
INSERT INTO lines (line) VALUES ('a'), ('b');
MERGE INTO lines l USING (VALUES ('a'), ('c'), ('d')) v (x) ON l.line = v.x WHEN MATCHED THEN UPDATE SET line = x || x WHEN NOT MATCHED THEN INSERT (line) VALUES (x) RETURNING merge_action(), l.line;
SELECT count(*), count(DISTINCT id), max(id) FROM lines;
MERGE INTO log USING (VALUES ('x')) v (x) ON line = x WHEN NOT MATCHED THEN INSERT (line) VALUES (x) RETURNING *;
MERGE INTO log USING (VALUES ('y')) v (x) ON line = x WHEN NOT MATCHED THEN INSERT (line, n) VALUES (x, 5);
MERGE INTO log USING (VALUES ('y')) v (x) ON line = x WHEN NOT MATCHED THEN INSERT (line, n) OVERRIDING SYSTEM VALUE VALUES (x, 55) RETURNING line, n;

-- reference tables
CREATE TABLE country (code text PRIMARY KEY, name text DEFAULT 'unknown', at timestamptz DEFAULT now());
/* cluster */ SELECT create_reference_table('country');
INSERT INTO country VALUES ('CH', 'Switzerland'), ('AT', 'Austria');
MERGE INTO country c USING (VALUES ('CH'), ('IT')) v (x) ON c.code = v.x WHEN MATCHED THEN UPDATE SET name = upper(name), at = now() WHEN NOT MATCHED THEN INSERT (code) VALUES (x) RETURNING merge_action(), c.code, c.name;
MERGE INTO country c USING stock s ON c.code = s.note WHEN NOT MATCHED AND s.note IS NOT NULL AND s.sku = 2 THEN INSERT (code) VALUES (s.note) RETURNING code;
SELECT code, name FROM country ORDER BY code;
SELECT count(DISTINCT c.code), count(*) FROM country c, stock s WHERE s.sku IN (7, 8, 9, 10, 11, 12);

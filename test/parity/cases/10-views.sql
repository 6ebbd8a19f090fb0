-- Views: simple, over joins, over views, with aggregates; writing through them; changing and dropping.
CREATE TABLE staff (id int PRIMARY KEY, name text NOT NULL, dept text, pay numeric(8,2), active bool DEFAULT true);
INSERT INTO staff SELECT g, 'staff' || g, CASE WHEN g % 11 = 0 THEN NULL ELSE 'd' || g % 4 END, 100 * g, g % 6 <> 0 FROM generate_series(1, 60) g;
CREATE TABLE depts (code text PRIMARY KEY, title text);
INSERT INTO depts SELECT 'd' || g, 'Dept ' || g FROM generate_series(0, 5) g;
CREATE TABLE visits (staff_id int, place text);
INSERT INTO visits SELECT 1 + g % 20, 'pl' || g % 3 FROM generate_series(1, 70) g;

-- simple
CREATE VIEW v_active AS SELECT id, name, dept, pay FROM staff WHERE active;
SELECT * FROM v_active;
SELECT * FROM v_active WHERE id = 7;
SELECT * FROM v_active WHERE id = 6;
SELECT count(*), sum(pay) FROM v_active;
SELECT v.name FROM v_active v ORDER BY v.pay DESC, v.id LIMIT 3;
CREATE VIEW v_named (a, b) AS SELECT id, upper(name) FROM staff;
SELECT b FROM v_named WHERE a = 12;
SELECT a, b FROM v_named WHERE a IN (1, 2, 3) ORDER BY a;
CREATE VIEW v_top AS SELECT id, pay FROM staff ORDER BY pay DESC, id LIMIT 5;
SELECT * FROM v_top ORDER BY id;
SELECT sum(pay) FROM v_top;
CREATE VIEW v_const AS SELECT 1 AS one, 'x'::text AS x, NULL::date AS d;
SELECT * FROM v_const;
CREATE VIEW v_values AS VALUES (1, 'a'), (2, 'b');
SELECT * FROM v_values WHERE column1 = 2;

-- over joins, aggregates, views
CREATE VIEW v_join AS SELECT s.id, s.name, d.title FROM staff s LEFT JOIN depts d ON d.code = s.dept;
SELECT * FROM v_join;
SELECT title FROM v_join WHERE id = 22;
SELECT title, count(*) FROM v_join GROUP BY title ORDER BY title;
CREATE VIEW v_sums AS SELECT dept, count(*) AS n, sum(pay) AS total, avg(pay)::numeric(10,2) AS mean FROM staff GROUP BY dept;
SELECT * FROM v_sums;
SELECT dept, n FROM v_sums WHERE total > 40000 ORDER BY dept;
SELECT max(total) - min(total) AS spread FROM v_sums;
CREATE VIEW v_over AS SELECT a.id, a.name, v.n FROM v_active a JOIN v_sums v USING (dept);
SELECT * FROM v_over WHERE id < 10 ORDER BY id;
SELECT count(*) FROM v_over;
CREATE VIEW v_union AS SELECT id::text AS k, name AS label FROM staff WHERE id < 4 UNION ALL SELECT code, title FROM depts;
SELECT * FROM v_union;
SELECT label FROM v_union WHERE k = '2';
CREATE VIEW v_window AS SELECT id, dept, rank() OVER (PARTITION BY dept ORDER BY pay DESC) AS r FROM staff;
SELECT * FROM v_window WHERE r = 1 ORDER BY id;
CREATE VIEW v_rec AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i * 2 FROM n WHERE i < 40) SELECT s.id, s.name FROM staff s JOIN n ON n.i = s.id;
SELECT * FROM v_rec ORDER BY id;
CREATE VIEW v_visits AS SELECT s.name, v.place, count(*) AS times FROM visits v JOIN staff s ON s.id = v.staff_id GROUP BY s.name, v.place;
SELECT * FROM v_visits;
SELECT place, sum(times) FROM v_visits GROUP BY place;
SELECT s.id, (SELECT count(*) FROM v_active a WHERE a.dept = s.dept) AS mates FROM staff s WHERE s.id < 6;
SELECT a.id FROM v_active a WHERE EXISTS (SELECT 1 FROM v_visits v WHERE v.name = a.name AND v.times > 1) ORDER BY a.id;

-- a view sees what is written
INSERT INTO staff VALUES (61, 'late', 'd1', 5, true);
SELECT * FROM v_active WHERE id = 61;
UPDATE staff SET active = false WHERE id = 61;
SELECT count(*) FROM v_active WHERE id = 61;

-- writing through a simple view
INSERT INTO v_active (id, name, dept, pay) VALUES (70, 'through', 'd2', 1) RETURNING id, name;
UPDATE v_active SET pay = pay + 1 WHERE id = 70 RETURNING pay;
UPDATE v_active SET pay = 0 WHERE id = 6;
DELETE FROM v_active WHERE id = 70 RETURNING name;
UPDATE v_active SET pay = pay * 2 WHERE dept = 'd3';
SELECT sum(pay) FROM staff;
CREATE VIEW v_cheap AS SELECT id, name, pay FROM staff WHERE pay < 500 WITH CHECK OPTION;
INSERT INTO v_cheap VALUES (71, 'cheap', 10);
INSERT INTO v_cheap VALUES (72, 'dear', 1000);
UPDATE v_cheap SET pay = 600 WHERE id = 71;
DELETE FROM v_cheap WHERE id = 71;
INSERT INTO v_sums (dept) VALUES ('x');
UPDATE v_join SET title = 'x';

-- replace, rename, alter, drop
CREATE OR REPLACE VIEW v_active AS SELECT id, name, dept, pay, 'new' AS extra FROM staff WHERE active AND pay > 3000;
SELECT * FROM v_active WHERE id = 31;
SELECT count(*) FROM v_active;
CREATE OR REPLACE VIEW v_active AS SELECT id FROM staff;
CREATE VIEW v_active AS SELECT 1;
ALTER VIEW v_named RENAME TO v_renamed;
SELECT b FROM v_renamed WHERE a = 5;
SELECT * FROM v_named;
ALTER VIEW v_renamed RENAME COLUMN b TO bb;
SELECT bb FROM v_renamed WHERE a = 5;
SELECT table_name FROM information_schema.views WHERE table_schema = 'public' ORDER BY table_name;
DROP VIEW v_sums;
DROP VIEW v_sums CASCADE;
SELECT * FROM v_over;
DROP TABLE depts;
DROP TABLE v_top;
DROP VIEW v_top, v_const;
DROP VIEW IF EXISTS v_top;
DROP VIEW v_top;
CREATE VIEW v_bad AS SELECT nope FROM staff;
CREATE TEMP VIEW v_tmp AS SELECT id FROM staff WHERE id < 4;
SELECT * FROM v_tmp;
ALTER TABLE staff DROP COLUMN pay;
ALTER TABLE staff DROP COLUMN pay CASCADE;
SELECT table_name FROM information_schema.views WHERE table_schema = 'public' ORDER BY table_name;

-- materialized views
CREATE MATERIALIZED VIEW mv AS SELECT dept, count(*) AS n FROM staff GROUP BY dept;
SELECT * FROM mv;
DELETE FROM staff WHERE dept = 'd0';
SELECT n FROM mv WHERE dept = 'd0';
REFRESH MATERIALIZED VIEW mv;
SELECT * FROM mv ORDER BY dept;
DROP MATERIALIZED VIEW mv;

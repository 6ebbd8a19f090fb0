-- Subqueries, WITH in all its forms, VALUES, and set operations.
CREATE TABLE emp (id int PRIMARY KEY, name text NOT NULL, dept int, boss int, pay numeric(8,2));
INSERT INTO emp SELECT g, 'emp' || g, CASE WHEN g % 12 = 0 THEN NULL ELSE g % 5 END, CASE WHEN g > 1 THEN g / 2 END, 1000 + (g * 37) % 500 FROM generate_series(1, 80) g;
CREATE TABLE dept (id int PRIMARY KEY, title text);
INSERT INTO dept SELECT g, 'dept' || g FROM generate_series(0, 6) g;
CREATE TABLE a (x int, y text);
INSERT INTO a SELECT g % 6, 'y' || g % 2 FROM generate_series(1, 18) g;
INSERT INTO a VALUES (NULL, 'y0'), (NULL, NULL), (NULL, NULL);
CREATE TABLE b (id int PRIMARY KEY, x int, y text);
INSERT INTO b SELECT g, g % 4 + 3, 'y' || g % 2 FROM generate_series(1, 12) g;
INSERT INTO b VALUES (100, NULL, NULL);
CREATE TABLE edges (id text PRIMARY KEY, src int, dst int);
INSERT INTO edges SELECT 'e' || g, g % 8, (g * 3) % 8 FROM generate_series(1, 16) g;

-- scalar and correlated
SELECT name FROM emp WHERE pay = (SELECT max(pay) FROM emp) ORDER BY id;
SELECT name, pay - (SELECT avg(pay) FROM emp) AS diff FROM emp WHERE id <= 5;
SELECT e.id, (SELECT d.title FROM dept d WHERE d.id = e.dept) AS title FROM emp e;
SELECT d.id, (SELECT count(*) FROM emp e WHERE e.dept = d.id) AS n FROM dept d ORDER BY d.id;
SELECT e.id FROM emp e WHERE e.pay > (SELECT avg(pay) FROM emp x WHERE x.dept = e.dept);
SELECT e.id FROM emp e WHERE (SELECT count(*) FROM emp s WHERE s.boss = e.id) = 2 ORDER BY e.id;
SELECT d.title, (SELECT string_agg(e.name, ',' ORDER BY e.id) FROM emp e WHERE e.dept = d.id AND e.id < 20) AS who FROM dept d;
SELECT ARRAY(SELECT id FROM emp WHERE dept = 2 ORDER BY id) AS ids;
SELECT (SELECT id FROM emp WHERE id = -1) IS NULL AS missing;
SELECT (SELECT id FROM emp WHERE dept = 1);
SELECT (SELECT id, name FROM emp WHERE id = 1);
SELECT ROW((SELECT min(id) FROM emp), (SELECT max(id) FROM emp)) AS r;
SELECT name FROM emp WHERE id = (SELECT boss FROM emp WHERE id = 9);
SELECT name FROM emp WHERE (dept, pay) = (SELECT dept, pay FROM emp WHERE id = 33);
SELECT count(*) FROM emp WHERE pay < ALL (SELECT pay FROM emp WHERE dept = 1);
SELECT count(*) FROM emp WHERE pay <= ANY (SELECT pay FROM emp WHERE dept = 1);
SELECT CASE WHEN EXISTS (SELECT 1 FROM emp WHERE dept = 9) THEN 'yes' ELSE 'no' END AS any9;
SELECT id FROM emp ORDER BY (SELECT title FROM dept WHERE dept.id = emp.dept) DESC NULLS LAST, id LIMIT 8;
SELECT dept, count(*) FROM emp GROUP BY dept HAVING count(*) > (SELECT count(*) FROM dept) * 2 ORDER BY dept;

-- in FROM
SELECT s.dept, s.total FROM (SELECT dept, sum(pay) AS total FROM emp GROUP BY dept) s WHERE s.total > 10000 ORDER BY s.dept;
SELECT d.title, s.n FROM dept d LEFT JOIN (SELECT dept, count(*) AS n FROM emp GROUP BY dept) s ON s.dept = d.id;
SELECT * FROM (SELECT id, name FROM emp ORDER BY pay DESC, id LIMIT 5) top ORDER BY id;
SELECT count(*) FROM (SELECT DISTINCT dept FROM (SELECT dept FROM emp WHERE id > 10) i) o;
SELECT t.a, t.b FROM (VALUES (1, 'x'), (2, 'y')) AS t(a, b);
VALUES (1, 'one'), (2, 'two'), (3, NULL);
VALUES (3), (1), (2) ORDER BY 1 DESC;
VALUES (1), (2.5), (NULL);
SELECT e.name FROM emp e JOIN (VALUES (3), (5), (3), (500)) v(id) ON v.id = e.id;

-- WITH
WITH rich AS (SELECT * FROM emp WHERE pay > 1400) SELECT dept, count(*) FROM rich GROUP BY dept;
WITH one AS (SELECT 1 AS v), two AS (SELECT v + 1 AS v FROM one) SELECT one.v, two.v FROM one, two;
WITH s AS (SELECT dept, sum(pay) AS total FROM emp GROUP BY dept) SELECT dept FROM s WHERE total = (SELECT max(total) FROM s);
WITH s AS MATERIALIZED (SELECT id, dept FROM emp WHERE id < 30) SELECT x.id FROM s x JOIN s y ON x.id = y.id + 10 ORDER BY 1;
WITH s AS NOT MATERIALIZED (SELECT id, dept FROM emp) SELECT * FROM s WHERE id = 44;
WITH s(i, d) AS (SELECT id, dept FROM emp) SELECT d, max(i) FROM s GROUP BY d;
WITH emp AS (SELECT 1 AS id, 'shadow' AS name) SELECT * FROM emp;
SELECT * FROM (WITH z AS (SELECT id FROM emp WHERE dept = 3) SELECT count(*) AS n FROM z) q;
SELECT id FROM emp WHERE dept IN (WITH t AS (SELECT id FROM dept WHERE title = 'dept2') SELECT id FROM t) AND id < 20;
WITH unused AS (SELECT 1 / 0 AS boom) SELECT count(*) FROM dept;

-- WITH RECURSIVE
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT i, i * i AS sq FROM n;
WITH RECURSIVE tree AS (SELECT id, name, 0 AS depth FROM emp WHERE boss IS NULL UNION ALL SELECT e.id, e.name, t.depth + 1 FROM emp e JOIN tree t ON e.boss = t.id) SELECT depth, count(*), min(id), max(id) FROM tree GROUP BY depth ORDER BY depth;
WITH RECURSIVE up AS (SELECT id, boss, name FROM emp WHERE id = 77 UNION ALL SELECT e.id, e.boss, e.name FROM emp e JOIN up ON e.id = up.boss) SELECT * FROM up ORDER BY id DESC;
WITH RECURSIVE path(id, trail) AS (SELECT id, ARRAY[id] FROM emp WHERE id = 1 UNION ALL SELECT e.id, p.trail || e.id FROM emp e JOIN path p ON e.boss = p.id WHERE e.id < 16) SELECT * FROM path;
WITH RECURSIVE reach(n) AS (SELECT 1 UNION SELECT e.dst FROM edges e JOIN reach r ON r.n = e.src) SELECT n FROM reach ORDER BY n;
WITH RECURSIVE fib(a, b) AS (VALUES (0, 1) UNION ALL SELECT b, a + b FROM fib WHERE b < 200) SELECT a FROM fib ORDER BY a, b;
WITH RECURSIVE t AS (SELECT id, boss FROM emp WHERE id = 2 UNION ALL SELECT e.id, e.boss FROM emp e, t WHERE e.boss = t.id) SEARCH DEPTH FIRST BY id SET o SELECT id FROM t ORDER BY o;
WITH RECURSIVE r(n) AS (SELECT 1 UNION SELECT e.dst FROM edges e, r WHERE e.src = r.n) CYCLE n SET looped USING way SELECT DISTINCT n, looped FROM r;

-- set operations
SELECT x FROM a UNION SELECT x FROM b;
SELECT x FROM a UNION ALL SELECT x FROM b;
SELECT x, y FROM a INTERSECT SELECT x, y FROM b;
SELECT x FROM a INTERSECT ALL SELECT x FROM b;
SELECT x, y FROM a EXCEPT SELECT x, y FROM b;
SELECT x FROM a EXCEPT ALL SELECT x FROM b;
SELECT x FROM b EXCEPT SELECT x FROM a ORDER BY x;
SELECT x FROM a UNION SELECT x FROM b ORDER BY x NULLS FIRST LIMIT 4;
SELECT x FROM a UNION SELECT x FROM b EXCEPT SELECT 3 ORDER BY 1;
(SELECT x FROM a UNION SELECT x FROM b) INTERSECT SELECT generate_series(2, 5) ORDER BY 1;
SELECT x FROM a INTERSECT SELECT x FROM b UNION SELECT 1000;
(SELECT id FROM emp ORDER BY id LIMIT 2) UNION ALL (SELECT id FROM emp ORDER BY id DESC LIMIT 2);
SELECT 'emp' AS kind, count(*) FROM emp UNION ALL SELECT 'dept', count(*) FROM dept UNION ALL SELECT 'a', count(*) FROM a;
SELECT id, name FROM emp WHERE id = 5 UNION SELECT id, title FROM dept WHERE id = 5;
SELECT 1 AS v UNION SELECT 2.5 UNION SELECT NULL ORDER BY v;
SELECT '1' UNION SELECT '2';
SELECT count(*) FROM (SELECT x FROM a UNION ALL SELECT x FROM b UNION ALL SELECT id FROM emp) u;
WITH u AS (SELECT x FROM a UNION SELECT x FROM b) SELECT u.x, (SELECT count(*) FROM a WHERE a.x = u.x) AS n FROM u ORDER BY u.x;
SELECT id FROM emp WHERE id IN (SELECT x FROM a UNION SELECT x FROM b) ORDER BY id;
SELECT 1 UNION SELECT 'x';
SELECT 1, 2 UNION SELECT 1;
SELECT x FROM a UNION SELECT x FROM b ORDER BY y;
WITH t AS (SELECT 1) SELECT * FROM tt;
WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r r1 WHERE i IN (SELECT i FROM r)) SELECT * FROM r;

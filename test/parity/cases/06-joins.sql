-- Joins of every kind, by key and by other columns, with NULLs on both sides.
CREATE TABLE customers (id int PRIMARY KEY, name text, city text, boss int);
INSERT INTO customers SELECT g, 'cust' || g, CASE WHEN g % 7 = 0 THEN NULL ELSE 'city' || g % 5 END, CASE WHEN g > 3 THEN g / 3 END FROM generate_series(1, 40) g;
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, total numeric(8,2), status text);
INSERT INTO orders SELECT g, CASE WHEN g % 10 = 0 THEN NULL ELSE (g * 7) % 50 END, g * 2.5, 's' || g % 3 FROM generate_series(1, 120) g;
CREATE TABLE lines (id bigint PRIMARY KEY, order_id int, product text, qty int);
INSERT INTO lines SELECT g, 1 + (g * 3) % 125, 'p' || lpad((g % 9)::text, 2, '0'), g % 4 FROM generate_series(1, 200) g;
CREATE TABLE products (code text PRIMARY KEY, label text, price numeric(6,2));
INSERT INTO products SELECT 'p' || lpad(g::text, 2, '0'), 'label' || g, g * 1.1 FROM generate_series(2, 11) g;
CREATE TABLE cities (name text, country text);
INSERT INTO cities VALUES ('city1', 'A'), ('city2', 'A'), ('city2', 'B'), ('city3', 'B'), ('city9', 'C'), (NULL, 'D');
CREATE TABLE profile (id int PRIMARY KEY, bio text);
INSERT INTO profile SELECT g, 'bio' || g FROM generate_series(2, 60, 2) g;

-- inner
SELECT c.id, c.name, o.id AS order_id, o.total FROM customers c JOIN orders o ON o.customer_id = c.id;
SELECT c.name, p.bio FROM customers c INNER JOIN profile p ON p.id = c.id;
SELECT c.name, p.bio FROM customers c, profile p WHERE c.id = p.id AND c.id < 12 ORDER BY c.id;
SELECT c.name, p.bio FROM customers c JOIN profile p ON p.id = c.id WHERE c.id = 8;
SELECT c.name, o.id FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.id = 21 ORDER BY o.id;
SELECT count(*), sum(o.total) FROM customers c JOIN orders o ON o.customer_id = c.id;
SELECT c.name, ci.country FROM customers c JOIN cities ci ON ci.name = c.city;
SELECT c.id, o.id FROM customers c JOIN orders o ON o.customer_id = c.id AND o.total > 250 ORDER BY o.id;
SELECT c.id, o.id FROM customers c JOIN orders o ON o.customer_id > c.id AND o.id < c.id;
SELECT c.id, p.id FROM customers c JOIN profile p ON p.id = c.id + 1 WHERE c.id < 10;
SELECT o.status, count(*), sum(l.qty) FROM orders o JOIN lines l ON l.order_id = o.id GROUP BY o.status;

-- outer
SELECT c.id, p.bio FROM customers c LEFT JOIN profile p ON p.id = c.id;
SELECT c.id, o.id FROM customers c LEFT JOIN orders o ON o.customer_id = c.id AND o.status = 's1' ORDER BY c.id, o.id;
SELECT c.id FROM customers c LEFT JOIN orders o ON o.customer_id = c.id WHERE o.id IS NULL ORDER BY c.id;
SELECT c.id, p.id, p.bio FROM customers c RIGHT JOIN profile p ON p.id = c.id;
SELECT o.id, c.id FROM customers c RIGHT OUTER JOIN orders o ON o.customer_id = c.id WHERE c.id IS NULL;
SELECT c.id, p.id FROM customers c FULL JOIN profile p ON p.id = c.id;
SELECT count(*), count(c.id), count(o.id) FROM customers c FULL OUTER JOIN orders o ON o.customer_id = c.id;
SELECT c.id, ci.name, ci.country FROM customers c FULL JOIN cities ci ON ci.name = c.city WHERE c.id < 8 OR c.id IS NULL;
SELECT c.id, p.bio FROM customers c LEFT JOIN profile p ON p.id = c.id AND c.id > 30 WHERE c.id > 25;
SELECT c.id, p.bio FROM customers c LEFT JOIN profile p ON false WHERE c.id < 4;
SELECT c.id, count(o.id) AS n, coalesce(sum(o.total), 0) AS s FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.id ORDER BY n DESC, c.id;
SELECT c.id, o.id, l.id FROM customers c LEFT JOIN (orders o JOIN lines l ON l.order_id = o.id) ON o.customer_id = c.id WHERE c.id <= 6;
SELECT c.id, o.id, l.id FROM customers c LEFT JOIN orders o ON o.customer_id = c.id LEFT JOIN lines l ON l.order_id = o.id AND l.qty = 3 WHERE c.id BETWEEN 3 AND 9 ORDER BY c.id, o.id, l.id;

-- cross, natural, using
SELECT count(*) FROM customers CROSS JOIN products;
SELECT ci.country, p.code FROM cities ci CROSS JOIN products p WHERE p.code < 'p05' COLLATE "C";
SELECT count(*), sum(c.id * p.id) FROM customers c, profile p;
SELECT * FROM customers NATURAL JOIN profile WHERE id < 9;
SELECT * FROM customers NATURAL LEFT JOIN profile ORDER BY id LIMIT 5;
SELECT * FROM customers JOIN profile USING (id) WHERE id BETWEEN 10 AND 15;
SELECT id, c.id, p.id, bio FROM customers c FULL JOIN profile p USING (id) WHERE id IN (1, 2, 50);
SELECT count(*) FROM customers NATURAL JOIN cities;
SELECT j.id, j.bio FROM (customers JOIN profile USING (id)) AS j WHERE j.id = 4;
SELECT x.* FROM customers JOIN profile USING (id) AS x WHERE x.id IN (4, 6);

-- self joins
SELECT e.id, e.name, b.name AS boss FROM customers e JOIN customers b ON b.id = e.boss;
SELECT e.id, b.id, bb.id FROM customers e LEFT JOIN customers b ON b.id = e.boss LEFT JOIN customers bb ON bb.id = b.boss ORDER BY e.id;
SELECT a.id, b.id FROM customers a JOIN customers b ON a.city = b.city AND a.id < b.id;
SELECT count(*) FROM customers a JOIN customers b USING (city);
SELECT a.id FROM customers a, customers b WHERE a.id = b.id AND b.id = 9;

-- lateral
SELECT c.id, t.id, t.total FROM customers c, LATERAL (SELECT o.id, o.total FROM orders o WHERE o.customer_id = c.id ORDER BY o.total DESC, o.id LIMIT 2) t;
SELECT c.id, t.n FROM customers c LEFT JOIN LATERAL (SELECT count(*) AS n FROM orders o WHERE o.customer_id = c.id) t ON true ORDER BY c.id;
SELECT c.id, t.id FROM customers c LEFT JOIN LATERAL (SELECT o.id FROM orders o WHERE o.customer_id = c.id AND o.total > 200 ORDER BY o.id LIMIT 1) t ON true WHERE c.id < 20;
SELECT c.id, g FROM customers c, generate_series(1, c.id) g WHERE c.id < 5;
SELECT c.id, s.v FROM customers c CROSS JOIN LATERAL (VALUES (c.id * 2), (c.id * 3)) s(v) WHERE c.id < 4 ORDER BY c.id, s.v;

-- semi and anti joins
SELECT id FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id AND o.total > 200);
SELECT id FROM customers c WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id);
SELECT id FROM customers WHERE id IN (SELECT customer_id FROM orders WHERE status = 's2');
SELECT id FROM customers WHERE id NOT IN (SELECT customer_id FROM orders);
SELECT id FROM customers WHERE id NOT IN (SELECT customer_id FROM orders WHERE customer_id IS NOT NULL) ORDER BY id;
SELECT count(*) FROM orders WHERE customer_id NOT IN (SELECT id FROM customers);
SELECT id FROM customers WHERE city IN (SELECT name FROM cities);
SELECT count(*) FROM customers WHERE city NOT IN (SELECT name FROM cities);
SELECT count(*) FROM customers WHERE city NOT IN (SELECT name FROM cities WHERE name IS NOT NULL);
SELECT count(*) FROM customers WHERE (city IN (SELECT name FROM cities)) IS NULL;
SELECT id FROM customers WHERE (id, name) IN (SELECT customer_id, 'cust' || customer_id FROM orders WHERE id < 30);
SELECT id FROM orders WHERE customer_id = ANY (SELECT id FROM customers WHERE city = 'city1') AND total > ALL (SELECT price FROM products);
SELECT id FROM customers WHERE EXISTS (SELECT 1 FROM products WHERE price > 100);

-- many tables
SELECT c.name, o.id, l.qty, p.label, ci.country FROM customers c JOIN orders o ON o.customer_id = c.id JOIN lines l ON l.order_id = o.id JOIN products p ON p.code = l.product JOIN cities ci ON ci.name = c.city;
SELECT ci.country, p.code, count(*) AS n, sum(l.qty * p.price) AS value FROM customers c JOIN orders o ON o.customer_id = c.id JOIN lines l ON l.order_id = o.id JOIN products p ON p.code = l.product JOIN cities ci ON ci.name = c.city GROUP BY ci.country, p.code ORDER BY n DESC, ci.country, p.code COLLATE "C";
SELECT c.id, b.bio, o.id, l.id, p.label FROM customers c LEFT JOIN profile b USING (id) JOIN orders o ON o.customer_id = c.id LEFT JOIN lines l ON l.order_id = o.id LEFT JOIN products p ON p.code = l.product WHERE c.id IN (6, 7, 8);
SELECT count(*) FROM customers c1, customers c2, profile p1, profile p2, orders o WHERE c1.id = c2.id AND c2.id = p1.id AND p1.id = p2.id AND p2.id = o.id;
SELECT c.id, v.label FROM customers c JOIN (VALUES (1, 'one'), (2, 'two'), (99, 'none')) v(id, label) ON v.id = c.id;
SELECT g, c.name FROM generate_series(38, 43) g LEFT JOIN customers c ON c.id = g ORDER BY g;
SELECT a.n, b.n FROM (SELECT city, count(*) AS n FROM customers GROUP BY city) a JOIN (SELECT name, count(*) AS n FROM cities GROUP BY name) b ON a.city = b.name;

-- wrong ones
SELECT id FROM customers c JOIN profile p ON p.id = c.id;
SELECT * FROM customers c JOIN orders o ON nope = c.id;
SELECT * FROM customers c JOIN customers c ON true;
SELECT * FROM customers JOIN orders USING (name);
SELECT c.id FROM customers c JOIN (SELECT o.id FROM orders o WHERE o.customer_id = c.id) t ON true;

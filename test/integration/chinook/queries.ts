/**
 * Twenty questions to the Chinook music shop, each with another part of SQL at its heart.
 *
 * Each has a total order, so that rows can be compared one by one: where the last sort key could tie, a primary key follows.
 */
export interface Question {
  readonly name: string
  readonly sql: string
}

export const questions: readonly Question[] = [
  {
    name: 'a five-table join with aggregates',
    sql: `SELECT ar.name, g.name AS genre, count(*) AS sold, sum(il.unit_price * il.quantity) AS revenue
      FROM invoice_line il
      JOIN track t ON t.track_id = il.track_id
      JOIN album al ON al.album_id = t.album_id
      JOIN artist ar ON ar.artist_id = al.artist_id
      JOIN genre g ON g.genre_id = t.genre_id
      GROUP BY ar.artist_id, ar.name, g.genre_id, g.name
      ORDER BY revenue DESC, ar.artist_id, g.genre_id LIMIT 25`,
  },
  {
    name: 'a running total and a rank by windows',
    sql: `SELECT customer_id, invoice_id, total,
        sum(total) OVER (PARTITION BY customer_id ORDER BY invoice_date, invoice_id) AS running,
        rank() OVER (ORDER BY total DESC) AS place,
        lag(total) OVER (PARTITION BY customer_id ORDER BY invoice_date, invoice_id) AS before
      FROM invoice ORDER BY invoice_id`,
  },
  {
    name: 'a recursive walk up the chain of command',
    sql: `WITH RECURSIVE chain (employee_id, path, depth) AS (
        SELECT employee_id, last_name::text, 0 FROM employee WHERE reports_to IS NULL
        UNION ALL
        SELECT e.employee_id, chain.path || ' > ' || e.last_name, depth + 1 FROM employee e JOIN chain ON e.reports_to = chain.employee_id)
      SELECT chain.*, (SELECT count(*) FROM customer c WHERE c.support_rep_id = chain.employee_id) AS customers
      FROM chain ORDER BY path, employee_id`,
  },
  {
    name: 'grouping sets',
    sql: `SELECT billing_country, extract(year FROM invoice_date) AS year, grouping(billing_country, extract(year FROM invoice_date)) AS level,
        count(*), sum(total)
      FROM invoice GROUP BY GROUPING SETS ((billing_country, extract(year FROM invoice_date)), (billing_country), (extract(year FROM invoice_date)), ())
      ORDER BY level, billing_country NULLS FIRST, year NULLS FIRST`,
  },
  {
    name: 'rollup with HAVING',
    sql: `SELECT g.name AS genre, m.name AS medium, count(*) AS tracks, round(avg(t.milliseconds)) AS length
      FROM track t JOIN genre g USING (genre_id) JOIN media_type m USING (media_type_id)
      GROUP BY ROLLUP (g.name, m.name) HAVING count(*) >= 10 ORDER BY genre NULLS LAST, medium NULLS LAST`,
  },
  {
    name: 'cube over two tables',
    sql: `SELECT c.country, e.last_name, count(*) FROM customer c JOIN employee e ON e.employee_id = c.support_rep_id
      GROUP BY CUBE (c.country, e.last_name) ORDER BY c.country NULLS LAST, e.last_name NULLS LAST`,
  },
  {
    name: 'a correlated subquery in WHERE and in the list',
    sql: `SELECT t.track_id, t.name, (SELECT count(*) FROM playlist_track pt WHERE pt.track_id = t.track_id) AS playlists
      FROM track t WHERE t.milliseconds > (SELECT 3 * avg(o.milliseconds) FROM track o WHERE o.genre_id = t.genre_id)
      ORDER BY t.track_id`,
  },
  {
    name: 'a lateral join for the best three of each',
    sql: `SELECT g.name, best.track_id, best.sold FROM genre g
      CROSS JOIN LATERAL (SELECT t.track_id, sum(il.quantity) AS sold FROM track t JOIN invoice_line il USING (track_id)
        WHERE t.genre_id = g.genre_id GROUP BY t.track_id ORDER BY sold DESC, t.track_id LIMIT 3) best
      ORDER BY g.genre_id, best.sold DESC, best.track_id`,
  },
  {
    name: 'union, intersect and except nested',
    sql: `(SELECT city FROM customer UNION SELECT city FROM employee)
      EXCEPT (SELECT billing_city FROM invoice WHERE total > 15 INTERSECT SELECT city FROM customer WHERE company IS NOT NULL)
      ORDER BY 1`,
  },
  {
    name: 'ordered-set aggregates',
    sql: `SELECT billing_country, percentile_cont(0.5) WITHIN GROUP (ORDER BY total) AS median,
        percentile_disc(ARRAY[0.25, 0.75]) WITHIN GROUP (ORDER BY total) AS quartiles, mode() WITHIN GROUP (ORDER BY total) AS mode
      FROM invoice GROUP BY billing_country ORDER BY billing_country`,
  },
  {
    name: 'DISTINCT ON',
    sql: `SELECT DISTINCT ON (c.country) c.country, c.last_name, i.invoice_id, i.total
      FROM customer c JOIN invoice i USING (customer_id) ORDER BY c.country, i.total DESC, i.invoice_id`,
  },
  {
    name: 'FILTER and aggregates over DISTINCT values',
    sql: `SELECT m.name, count(*) FILTER (WHERE t.composer IS NULL) AS anonymous, count(DISTINCT t.composer) AS composers,
        count(DISTINCT t.album_id) AS albums, bool_or(t.unit_price > 1) AS dear, max(t.name) AS last_name
      FROM track t RIGHT JOIN media_type m USING (media_type_id) GROUP BY m.media_type_id, m.name ORDER BY m.media_type_id`,
  },
  {
    name: 'outer joins that find what is missing',
    sql: `SELECT ar.artist_id, ar.name, al.album_id FROM artist ar LEFT JOIN album al ON al.artist_id = ar.artist_id AND al.title LIKE 'A%'
      WHERE ar.name < 'F' ORDER BY ar.artist_id, al.album_id NULLS FIRST`,
  },
  {
    name: 'NOT EXISTS and NOT IN',
    sql: `SELECT t.track_id, t.name FROM track t
      WHERE NOT EXISTS (SELECT FROM invoice_line il WHERE il.track_id = t.track_id)
        AND t.genre_id NOT IN (SELECT genre_id FROM genre WHERE name IN ('Rock', 'Latin', 'Metal'))
      ORDER BY t.track_id`,
  },
  {
    name: 'a full join of two aggregates',
    sql: `SELECT coalesce(c.country, i.billing_country) AS country, customers, invoices
      FROM (SELECT country, count(*) AS customers FROM customer GROUP BY country) c
      FULL JOIN (SELECT billing_country, count(*) AS invoices FROM invoice WHERE total > 10 GROUP BY 1) i ON i.billing_country = c.country
      ORDER BY 1`,
  },
  {
    name: 'ordered aggregates of text and JSON',
    sql: `SELECT p.name, p.playlist_id, string_agg(t.name, '; ' ORDER BY t.track_id) AS tracks,
        jsonb_agg(jsonb_build_object('id', t.track_id, 'price', t.unit_price) ORDER BY t.track_id DESC) AS detail
      FROM playlist p JOIN playlist_track pt USING (playlist_id) JOIN track t USING (track_id)
      GROUP BY p.playlist_id, p.name HAVING count(*) < 50 ORDER BY p.playlist_id`,
  },
  {
    name: 'common table expressions used twice',
    sql: `WITH spent AS (SELECT customer_id, sum(total) AS amount FROM invoice GROUP BY customer_id),
        average AS MATERIALIZED (SELECT avg(amount) AS amount FROM spent)
      SELECT c.customer_id, c.last_name, spent.amount, spent.amount - average.amount AS above
      FROM customer c JOIN spent USING (customer_id) CROSS JOIN average WHERE spent.amount > average.amount ORDER BY above DESC, c.customer_id`,
  },
  {
    name: 'frames, ntile and first_value',
    sql: `SELECT invoice_id, ntile(10) OVER w AS tenth, first_value(billing_city) OVER w AS first_city,
        avg(total) OVER (ORDER BY invoice_date, invoice_id ROWS BETWEEN 3 PRECEDING AND 3 FOLLOWING) AS smooth,
        count(*) OVER (ORDER BY invoice_date RANGE BETWEEN interval '30 days' PRECEDING AND CURRENT ROW) AS month
      FROM invoice WINDOW w AS (ORDER BY total DESC, invoice_id) ORDER BY invoice_id`,
  },
  {
    name: 'a self-join with inequality and a row comparison',
    sql: `SELECT a.customer_id, b.customer_id AS other, a.country FROM customer a JOIN customer b
        ON a.country = b.country AND (a.last_name, a.customer_id) < (b.last_name, b.customer_id)
      WHERE a.support_rep_id IS DISTINCT FROM b.support_rep_id ORDER BY 1, 2`,
  },
  {
    name: 'a series of months against sparse sales',
    sql: `SELECT month::date, count(DISTINCT i.invoice_id) AS invoices, coalesce(sum(il.quantity) FILTER (WHERE g.name = 'Rock'), 0) AS rock
      FROM generate_series((SELECT date_trunc('month', min(invoice_date)) FROM invoice), (SELECT max(invoice_date) FROM invoice), interval '1 month') month
      LEFT JOIN invoice i ON date_trunc('month', i.invoice_date) = month
      LEFT JOIN invoice_line il USING (invoice_id) LEFT JOIN track t USING (track_id) LEFT JOIN genre g USING (genre_id)
      GROUP BY month ORDER BY month`,
  },
]

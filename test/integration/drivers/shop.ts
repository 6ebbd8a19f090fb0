/** The tables that the drivers' tests share: one distributed over all shards, two bound by a foreign key. */
export async function makeShop(run: (sql: string) => PromiseLike<unknown>): Promise<void> {
  await run('CREATE TABLE items (id int PRIMARY KEY, note text NOT NULL, price numeric CONSTRAINT positive_price CHECK (price > 0))')
  await run("INSERT INTO items SELECT i, 'item ' || i, i * 0.5 FROM generate_series(1, 500) i")
  await run('CREATE TABLE buyers (id int PRIMARY KEY, mail text CONSTRAINT one_mail_each UNIQUE)')
  await run('CREATE TABLE sales (id int PRIMARY KEY, buyer int CONSTRAINT sold_to REFERENCES buyers)')
  await run("INSERT INTO buyers SELECT i, 'buyer' || i || '@example.org' FROM generate_series(1, 20) i")
  await run('INSERT INTO sales SELECT i, 1 + i % 20 FROM generate_series(1, 100) i')
}

/** Looks again and again, as soon as it can; the limit is the test's. */
export async function untilTrue(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition()));
}

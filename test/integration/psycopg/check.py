"""Runs one check of psycopg against a server: check.py NAME CONNINFO. A failed one ends with a traceback."""
import sys
import threading

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb


def fill(conn):
    """The table of all checks, in its first state."""
    conn.execute("DROP TABLE IF EXISTS things")
    conn.execute("CREATE TABLE things (id int PRIMARY KEY, note text, price numeric CONSTRAINT positive CHECK (price > 0))")
    conn.execute("INSERT INTO things SELECT i, 'thing ' || i, i FROM generate_series(1, 300) i")
    conn.commit()


def parameters(conn):
    given = (7, "Zoë", True, None, [1, 2], b"\x00\xff", Jsonb({"a": [1]}))
    row = conn.execute("SELECT %s::int, %s::text, %s::bool, %s::int, %s::int[], %s::bytea, %s::jsonb FROM things WHERE id = 1", given).fetchone()
    assert row == (*given[:6], {"a": [1]}), row


def prepared(conn):
    for i in range(1, 101):
        assert conn.execute("SELECT note FROM things WHERE id = %s", (i,), prepare=True).fetchone() == (f"thing {i}",)
    conn.commit()
    # A changed schema makes the kept statement old.
    conn.execute("ALTER TABLE things ADD extra int DEFAULT 5")
    conn.commit()
    assert conn.execute("SELECT extra FROM things WHERE id = %s", (3,), prepare=True).fetchone() == (5,)
    assert conn.execute("SELECT note FROM things WHERE id = %s", (3,), prepare=True).fetchone() == ("thing 3",)


def pipeline(conn):
    with conn.pipeline():
        cursors = [conn.execute("SELECT id, note FROM things WHERE id = %s", (i,)) for i in range(1, 101)]
        total = conn.execute("SELECT count(*) FROM things")
        conn.execute("UPDATE things SET note = 'piped' WHERE id = %s", (1,))
        seen = conn.execute("SELECT note FROM things WHERE id = 1")
    assert [cursor.fetchone()[0] for cursor in cursors] == list(range(1, 101))
    assert total.fetchone() == (300,)
    assert seen.fetchone() == ("piped",)
    conn.rollback()
    assert conn.execute("SELECT note FROM things WHERE id = 1").fetchone() == ("thing 1",)


def pipeline_error(conn):
    try:
        with conn.pipeline():
            conn.execute("UPDATE things SET note = 'lost' WHERE id = 2")
            conn.execute("SELECT 1 / %s", (0,))
            conn.execute("UPDATE things SET note = 'lost' WHERE id = 3")
        raise AssertionError("no error")
    except psycopg.errors.DivisionByZero:
        conn.rollback()
    assert conn.execute("SELECT count(*) FROM things WHERE note = 'lost'").fetchone() == (0,)


def binary_cursor(conn):
    for query in ("SELECT id, price, note FROM things WHERE id = %s", "SELECT id, price, note FROM things WHERE id >= %s ORDER BY id LIMIT 1"):
        assert conn.cursor(binary=True).execute(query, (200,)).fetchone() == (200, 200, "thing 200")
    cursor = conn.cursor(binary=True)
    assert cursor.execute("SELECT count(*) FROM things WHERE id > %s", (0,)).fetchone() == (300,)
    assert cursor.execute("SELECT sum(id), avg(price)::float8, max(note) FROM things WHERE id > %s", (0,)).fetchone() == (45150, 150.5, "thing 99")
    pairs = "SELECT a.id, b.price FROM things a JOIN things b ON b.id = a.id + 1 WHERE a.id > %b ORDER BY 1"
    rows = cursor.execute(pairs, (297,)).fetchall()
    assert rows == [(298, 299), (299, 300)], rows


def copy_in(conn):
    with conn.cursor().copy("COPY things (id, note, price) FROM STDIN") as copy:
        for i in range(1000, 3000):
            copy.write_row((i, f"tab\there {i}", None if i % 2 else i))
    conn.commit()
    assert conn.execute("SELECT count(*), count(price), min(note) FROM things WHERE id >= 1000").fetchone() == (2000, 1000, "tab\there 1000")


def copy_binary(conn):
    with conn.cursor().copy("COPY things (id, note) FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["int4", "text"])
        for i in range(5000, 5100):
            copy.write_row((i, f"binary {i}"))
    with conn.cursor().copy("COPY (SELECT id, note FROM things WHERE id >= 5000 ORDER BY id) TO STDOUT (FORMAT binary)") as copy:
        copy.set_types(["int4", "text"])
        assert list(copy.rows()) == [(i, f"binary {i}") for i in range(5000, 5100)]


def copy_out(conn):
    with conn.cursor().copy("COPY things (id, note) TO STDOUT") as copy:
        rows = sorted((int(id), note) for id, note in copy.rows())
    assert rows == [(i, f"thing {i}") for i in range(1, 301)]
    with conn.cursor().copy("COPY (SELECT id FROM things ORDER BY id DESC LIMIT 2) TO STDOUT (FORMAT csv, HEADER)") as copy:
        assert b"".join(copy) == b"id\n300\n299\n"


def copy_error(conn):
    try:
        with conn.cursor().copy("COPY things (id, note) FROM STDIN") as copy:
            copy.write_row((9000, "new"))
            copy.write_row((1, "there already"))
        raise AssertionError("no error")
    except psycopg.errors.UniqueViolation as error:
        assert (error.diag.table_name, error.diag.constraint_name) == ("things", "things_pkey")
    conn.rollback()
    try:
        with conn.cursor().copy("COPY things (id, note) FROM STDIN") as copy:
            copy.write_row((9001, "new"))
            raise KeyError("the source of the rows failed")
    except KeyError:
        conn.rollback()
    assert conn.execute("SELECT count(*) FROM things WHERE id >= 9000").fetchone() == (0,)


def named_cursor(conn):
    with conn.cursor("all_of_them") as cursor:
        cursor.itersize = 40
        cursor.execute("SELECT id FROM things WHERE id > %s ORDER BY id", (0,))
        assert [id for (id,) in cursor] == list(range(1, 301))
    with conn.cursor("without_parameters") as cursor:
        cursor.execute("SELECT id FROM things ORDER BY id")
        assert [id for (id,) in cursor] == list(range(1, 301))
    with conn.cursor("back_and_forth", scrollable=True) as cursor:
        cursor.execute("SELECT id FROM things ORDER BY id")
        assert [id for (id,) in cursor.fetchmany(3)] == [1, 2, 3]
        cursor.scroll(100)
        assert cursor.fetchone() == (104,)
        cursor.scroll(0, mode="absolute")
        assert cursor.fetchone() == (1,)


def savepoints(conn):
    with conn.transaction():
        conn.execute("UPDATE things SET note = 'outer' WHERE id <= 3")
        try:
            with conn.transaction():
                conn.execute("UPDATE things SET note = 'inner'")
                conn.execute("INSERT INTO things VALUES (1)")
        except psycopg.errors.UniqueViolation:
            pass
        assert conn.execute("SELECT count(*) FROM things WHERE note = 'outer'").fetchone() == (3,)
    conn.commit()
    assert conn.execute("SELECT count(*) FROM things WHERE note = 'inner'").fetchone() == (0,)


def errors(conn):
    try:
        conn.execute("INSERT INTO things VALUES (9000, 'x', %s)", (-1,))
        raise AssertionError("no error")
    except psycopg.errors.CheckViolation as error:
        assert (error.diag.schema_name, error.diag.table_name, error.diag.constraint_name) == ("public", "things", "positive")
    assert conn.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
    conn.rollback()
    assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def cancel(conn, query):
    # A cancel that comes before the statement is without effect, so it is repeated until the statement has ended.
    ended = threading.Event()

    def press():
        while not ended.is_set():
            conn.cancel_safe()

    presser = threading.Thread(target=press)
    presser.start()
    try:
        conn.execute(query)
        raise AssertionError("not cancelled")
    except psycopg.errors.QueryCanceled:
        pass
    finally:
        ended.set()
        presser.join()
    conn.rollback()
    assert conn.execute(sql.SQL("SELECT count(*) FROM things")).fetchone() == (300,)


def cancel_one(conn):
    cancel(conn, "SELECT pg_sleep(30)")


def cancel_all(conn):
    cancel(conn, "SELECT count(*) FROM things WHERE pg_sleep(30) IS NOT NULL")


def notify(conn):
    conn.autocommit = True
    conn.execute("LISTEN news")
    conn.execute("NOTIFY news, 'extra'")
    for message in conn.notifies(stop_after=1):
        assert (message.channel, message.payload) == ("news", "extra")


def executemany(conn):
    cursor = conn.cursor()
    cursor.executemany("INSERT INTO things VALUES (%s, %s, %s) RETURNING id", [(i, f"many {i}", 1) for i in range(6000, 6100)], returning=True)
    ids = [row[0] for result in cursor.results() for row in result.fetchall()] if hasattr(cursor, "results") else None
    assert ids in (None, list(range(6000, 6100))), ids
    assert conn.execute("SELECT count(*) FROM things WHERE id >= 6000").fetchone() == (100,)


def empty(conn):
    assert conn.execute("").statusmessage in (None, ""), "an empty text has no tag"


if __name__ == "__main__":
    with psycopg.connect(sys.argv[2]) as connection:
        fill(connection)
        globals()[sys.argv[1]](connection)

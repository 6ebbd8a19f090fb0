import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Types;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;
import org.postgresql.util.PSQLException;

/** Runs one check of pgjdbc against a server: Check NAME URL. What is wrong goes to stderr, and the exit status is 1. */
public class Check {
    interface One {
        void run() throws Exception;
    }

    static String url;

    public static void main(String[] args) throws Exception {
        url = args[1];
        Map<String, One> checks = new TreeMap<>();
        checks.put("prepare_threshold", Check::prepareThreshold);
        checks.put("binary", Check::binary);
        checks.put("simple_mode", Check::simpleMode);
        checks.put("autosave", Check::autosave);
        checks.put("changed_result", Check::changedResult);
        checks.put("fetch_size", Check::fetchSize);
        checks.put("scroll", Check::scroll);
        checks.put("batch", Check::batch);
        checks.put("batch_rewritten", Check::batchRewritten);
        checks.put("batch_error", Check::batchError);
        checks.put("generated_keys", Check::generatedKeys);
        checks.put("copy", Check::copy);
        checks.put("listen", Check::listen);
        checks.put("large_objects", Check::largeObjects);
        checks.put("savepoints", Check::savepoints);
        checks.put("query_timeout", Check::queryTimeout);
        checks.put("several_results", Check::severalResults);
        checks.put("metadata", Check::metadata);
        try (Connection conn = connect(""); Statement statement = conn.createStatement()) {
            statement.execute("DROP TABLE IF EXISTS things; CREATE TABLE things (id int PRIMARY KEY, note text, price numeric CONSTRAINT positive CHECK (price > 0))");
            statement.execute("INSERT INTO things SELECT i, 'thing ' || i, i FROM generate_series(1, 300) i");
        }
        checks.get(args[0]).run();
    }

    static Connection connect(String options) throws SQLException {
        return DriverManager.getConnection(url + "&" + options);
    }

    static void same(Object got, Object wanted) {
        if (!got.equals(wanted)) throw new AssertionError("got " + got + ", not " + wanted);
    }

    static String one(Connection conn, String sql) throws SQLException {
        try (Statement statement = conn.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            rows.next();
            return rows.getString(1);
        }
    }

    static void prepareThreshold() throws Exception {
        for (int threshold : new int[] {-1, 0, 1, 3}) {
            try (Connection conn = connect("prepareThreshold=" + threshold);
                    PreparedStatement read = conn.prepareStatement("SELECT note, price FROM things WHERE id = ?");
                    PreparedStatement count = conn.prepareStatement("SELECT count(*) FROM things WHERE id > ?")) {
                for (int i = 1; i <= 8; i++) {
                    read.setInt(1, i);
                    try (ResultSet rows = read.executeQuery()) {
                        rows.next();
                        same(rows.getString(1) + rows.getBigDecimal(2), "thing " + i + i);
                    }
                    count.setLong(1, 100 + i);
                    try (ResultSet rows = count.executeQuery()) {
                        rows.next();
                        same(rows.getLong(1), 200L - i);
                    }
                }
            }
        }
    }

    static void binary() throws Exception {
        try (Connection conn = connect("prepareThreshold=-1&binaryTransfer=true");
                PreparedStatement values = conn.prepareStatement("SELECT ?::int8, ?::text, ?::bool, ?::int4[], ?::bytea, ?::timestamptz, ?::float8, ?::uuid FROM things WHERE id = ?")) {
            java.util.UUID id = java.util.UUID.fromString("00112233-4455-6677-8899-aabbccddeeff");
            values.setLong(1, 1L << 40);
            values.setNull(2, Types.VARCHAR);
            values.setBoolean(3, true);
            values.setArray(4, conn.createArrayOf("int4", new Integer[] {1, null, 3}));
            values.setBytes(5, new byte[] {0, -1});
            values.setTimestamp(6, java.sql.Timestamp.valueOf("2024-02-29 12:30:00.5"));
            values.setDouble(7, 0.1);
            values.setObject(8, id);
            values.setInt(9, 7);
            try (ResultSet rows = values.executeQuery()) {
                rows.next();
                same(Arrays.asList(rows.getLong(1), rows.getString(2) == null, rows.getBoolean(3), Arrays.toString((Object[]) rows.getArray(4).getArray()), rows.getBytes(5)[1], rows.getTimestamp(6), rows.getDouble(7), rows.getObject(8)),
                        Arrays.asList(1L << 40, true, true, "[1, null, 3]", (byte) -1, java.sql.Timestamp.valueOf("2024-02-29 12:30:00.5"), 0.1, id));
            }
        }
    }

    static void simpleMode() throws Exception {
        for (String mode : new String[] {"simple", "extendedForPrepared", "extendedCacheEverything"}) {
            try (Connection conn = connect("preferQueryMode=" + mode); PreparedStatement read = conn.prepareStatement("SELECT note FROM things WHERE id = ? OR note = ?")) {
                read.setInt(1, 5);
                read.setString(2, "it's \\ here");
                try (ResultSet rows = read.executeQuery()) {
                    rows.next();
                    same(rows.getString(1), "thing 5");
                }
                same(one(conn, "SELECT count(*) FROM things"), "300");
            }
        }
    }

    /** autosave=always puts a savepoint before each statement, and goes back to it after an error. */
    static void autosave() throws Exception {
        for (String mode : new String[] {"always", "conservative"}) {
            try (Connection conn = connect("autosave=" + mode); Statement statement = conn.createStatement()) {
                conn.setAutoCommit(false);
                statement.executeUpdate("UPDATE things SET note = 'kept' WHERE id IN (1, 2, 3)");
                try {
                    statement.executeUpdate("UPDATE things SET price = -1 WHERE id = 4");
                    throw new AssertionError("no error");
                } catch (SQLException error) {
                    same(error.getSQLState(), "23514");
                }
                if (mode.equals("always")) {
                    same(one(conn, "SELECT count(*) FROM things WHERE note = 'kept'"), "3");
                    conn.commit();
                    same(one(conn, "SELECT count(*) FROM things WHERE note = 'kept'"), "3");
                } else conn.rollback();
            }
        }
    }

    /** A table changes under a statement that the server has prepared: with autosave pgjdbc prepares it anew by itself. */
    static void changedResult() throws Exception {
        try (Connection conn = connect("autosave=conservative&prepareThreshold=1");
                PreparedStatement read = conn.prepareStatement("SELECT * FROM things WHERE id = ?");
                Statement other = conn.createStatement()) {
            conn.setAutoCommit(false);
            for (int i = 0; i < 3; i++) {
                read.setInt(1, 3);
                try (ResultSet rows = read.executeQuery()) {
                    same(rows.getMetaData().getColumnCount(), 3);
                }
            }
            other.execute("ALTER TABLE things ADD extra int DEFAULT 5");
            conn.commit();
            try (ResultSet rows = read.executeQuery()) {
                same(rows.getMetaData().getColumnCount(), 4);
            }
            conn.commit();
        }
    }

    /** Rows come in parts from a portal, in a transaction. */
    static void fetchSize() throws Exception {
        try (Connection conn = connect("prepareThreshold=2")) {
            conn.setAutoCommit(false);
            for (String sql : new String[] {"SELECT id FROM things WHERE id > ? ORDER BY id", "SELECT a.id FROM things a JOIN things b ON b.id = a.id WHERE a.id > ? ORDER BY 1", "SELECT i FROM generate_series(1, 300) i WHERE i > ?"}) {
                try (PreparedStatement read = conn.prepareStatement(sql)) {
                    read.setFetchSize(7);
                    for (int round = 0; round < 4; round++) {
                        read.setInt(1, 0);
                        int seen = 0;
                        try (ResultSet rows = read.executeQuery()) {
                            while (rows.next()) same(rows.getInt(1), ++seen);
                        }
                        same(seen, 300);
                    }
                    // One that is left in the middle, with others beside it.
                    try (ResultSet rows = read.executeQuery()) {
                        for (int i = 0; i < 10; i++) rows.next();
                        same(one(conn, "SELECT count(*) FROM things"), "300");
                        for (int i = 0; i < 10; i++) rows.next();
                        same(rows.getInt(1), 20);
                    }
                }
            }
            try (PreparedStatement write = conn.prepareStatement("UPDATE things SET note = note || '!' WHERE id > ? RETURNING id")) {
                write.setFetchSize(7);
                write.setInt(1, 200);
                int seen = 0;
                try (ResultSet rows = write.executeQuery()) {
                    while (rows.next()) seen++;
                }
                same(seen, 100);
            }
            conn.commit();
            same(one(conn, "SELECT count(*) FROM things WHERE note LIKE '%!'"), "100");
        }
    }

    static void scroll() throws Exception {
        try (Connection conn = connect(""); Statement statement = conn.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE)) {
            try (ResultSet rows = statement.executeQuery("SELECT id, note, price FROM things ORDER BY id")) {
                rows.absolute(100);
                same(rows.getInt(1), 100);
                rows.updateString(2, "updated");
                rows.updateRow();
                rows.last();
                same(rows.getRow(), 300);
            }
            same(one(conn, "SELECT note FROM things WHERE id = 100"), "updated");
        }
    }

    static void batch() throws Exception {
        insertBatch("prepareThreshold=5");
    }

    static void batchRewritten() throws Exception {
        insertBatch("reWriteBatchedInserts=true");
    }

    static void insertBatch(String options) throws Exception {
        try (Connection conn = connect(options); PreparedStatement insert = conn.prepareStatement("INSERT INTO things (id, note, price) VALUES (?, ?, ?)")) {
            conn.setAutoCommit(false);
            for (int i = 1000; i < 2000; i++) {
                insert.setInt(1, i);
                insert.setString(2, i % 2 == 0 ? null : "batch " + i);
                insert.setBigDecimal(3, new java.math.BigDecimal(i));
                insert.addBatch();
            }
            int[] counts = insert.executeBatch();
            same(counts.length, 1000);
            for (int count : counts) if (count != 1 && count != Statement.SUCCESS_NO_INFO) throw new AssertionError("count " + count);
            conn.commit();
            same(one(conn, "SELECT count(*) || ' ' || count(note) || ' ' || sum(price) FROM things WHERE id >= 1000"), "1000 500 1499500");
        }
    }

    static void batchError() throws Exception {
        try (Connection conn = connect(""); Statement statement = conn.createStatement()) {
            conn.setAutoCommit(false);
            statement.addBatch("UPDATE things SET note = 'lost' WHERE id = 1");
            statement.addBatch("INSERT INTO things VALUES (2, 'again', 1)");
            statement.addBatch("UPDATE things SET note = 'lost' WHERE id = 3");
            try {
                statement.executeBatch();
                throw new AssertionError("no error");
            } catch (BatchUpdateException error) {
                same(error.getSQLState(), "23505");
            }
            conn.rollback();
            same(one(conn, "SELECT count(*) FROM things WHERE note = 'lost'"), "0");
        }
    }

    static void generatedKeys() throws Exception {
        try (Connection conn = connect(""); Statement statement = conn.createStatement()) {
            statement.execute("DROP TABLE IF EXISTS numbered; CREATE TABLE numbered (id serial PRIMARY KEY, note text)");
            try (PreparedStatement insert = conn.prepareStatement("INSERT INTO numbered (note) VALUES (?)", Statement.RETURN_GENERATED_KEYS)) {
                List<Integer> keys = new ArrayList<>();
                for (int i = 0; i < 10; i++) {
                    insert.setString(1, "n" + i);
                    insert.addBatch();
                }
                insert.executeBatch();
                try (ResultSet rows = insert.getGeneratedKeys()) {
                    while (rows.next()) keys.add(rows.getInt(1));
                }
                same(keys, Arrays.asList(1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
            }
        }
    }

    static void copy() throws Exception {
        try (Connection conn = connect("")) {
            var manager = conn.unwrap(PGConnection.class).getCopyAPI();
            same(manager.copyIn("COPY things (id, note) FROM STDIN (FORMAT csv)", new StringReader("5000,\"a,b\"\n5001,\n")), 2L);
            same(manager.copyIn("COPY things (id, note) FROM STDIN", new StringReader("5002\ta\\tb\n")), 1L);
            var out = new ByteArrayOutputStream();
            same(manager.copyOut("COPY (SELECT id, note FROM things WHERE id >= 5000 ORDER BY id) TO STDOUT", out), 3L);
            same(out.toString("UTF-8"), "5000\ta,b\n5001\t\\N\n5002\ta\\tb\n");
            try {
                manager.copyIn("COPY things (id, note) FROM STDIN", new StringReader("6000\tnew\n1\tagain\n"));
                throw new AssertionError("no error");
            } catch (PSQLException error) {
                same(error.getSQLState(), "23505");
            }
            var copy = manager.copyIn("COPY things (id, note) FROM STDIN");
            byte[] row = "6001\tnew\n".getBytes();
            copy.writeToCopy(row, 0, row.length);
            copy.cancelCopy();
            same(one(conn, "SELECT count(*) FROM things WHERE id >= 6000"), "0");
        }
    }

    static void listen() throws Exception {
        try (Connection conn = connect(""); Connection other = connect("")) {
            conn.createStatement().execute("LISTEN jdbc_channel");
            other.createStatement().execute("NOTIFY jdbc_channel, 'a word'");
            PGNotification[] heard = conn.unwrap(PGConnection.class).getNotifications(20_000);
            same(heard[0].getName() + " " + heard[0].getParameter(), "jdbc_channel a word");
        }
    }

    /** pgjdbc's large objects are function call messages. */
    static void largeObjects() throws Exception {
        try (Connection conn = connect("")) {
            conn.setAutoCommit(false);
            LargeObjectManager manager = conn.unwrap(PGConnection.class).getLargeObjectAPI();
            long oid = manager.createLO(LargeObjectManager.READWRITE);
            byte[] written = new byte[300_000];
            Arrays.fill(written, (byte) 7);
            try (LargeObject object = manager.open(oid, LargeObjectManager.READWRITE)) {
                object.write(written);
                object.seek64(0, LargeObject.SEEK_SET);
                same(Arrays.equals(object.read(300_000), written), true);
                same(object.size64(), 300_000L);
                object.truncate64(1000);
            }
            conn.createStatement().executeUpdate("UPDATE things SET price = " + oid + " WHERE id = 1");
            conn.commit();
            try (LargeObject object = manager.open(oid, LargeObjectManager.READ)) {
                same(object.size64(), 1000L);
            }
            manager.delete(oid);
            conn.rollback();
            same(one(conn, "SELECT length(lo_get(price::int8::oid)) FROM things WHERE id = 1"), "1000");
        }
    }

    static void savepoints() throws Exception {
        try (Connection conn = connect(""); Statement statement = conn.createStatement()) {
            conn.setAutoCommit(false);
            conn.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
            statement.executeUpdate("UPDATE things SET note = 'outer' WHERE id IN (1, 2)");
            Savepoint savepoint = conn.setSavepoint("here");
            statement.executeUpdate("UPDATE things SET note = 'inner'");
            conn.rollback(savepoint);
            conn.releaseSavepoint(savepoint);
            conn.commit();
            same(one(conn, "SELECT count(*) FROM things WHERE note = 'outer'"), "2");
            same(one(conn, "SELECT count(*) FROM things WHERE note = 'inner'"), "0");
            conn.rollback();
            conn.setReadOnly(true);
            try {
                statement.executeUpdate("DELETE FROM things WHERE id = 1");
                throw new AssertionError("no error");
            } catch (SQLException error) {
                same(error.getSQLState(), "25006");
            }
        }
    }

    static void queryTimeout() throws Exception {
        try (Connection conn = connect(""); Statement statement = conn.createStatement()) {
            statement.setQueryTimeout(1);
            for (String sql : new String[] {"SELECT pg_sleep(100)", "SELECT count(*) FROM things WHERE pg_sleep(10) IS NULL"}) {
                try {
                    statement.executeQuery(sql);
                    throw new AssertionError("not cancelled");
                } catch (SQLException error) {
                    same(error.getSQLState(), "57014");
                }
            }
            same(one(conn, "SELECT 1"), "1");
        }
    }

    static void severalResults() throws Exception {
        try (Connection conn = connect(""); Statement statement = conn.createStatement()) {
            boolean isRows = statement.execute("SELECT 1; UPDATE things SET note = 'x' WHERE id IN (1, 2); SELECT note FROM things WHERE id = 1");
            same(isRows, true);
            same(statement.getMoreResults(), false);
            same(statement.getUpdateCount(), 2);
            same(statement.getMoreResults(), true);
            try (ResultSet rows = statement.getResultSet()) {
                rows.next();
                same(rows.getString(1), "x");
            }
        }
    }

    static void metadata() throws Exception {
        try (Connection conn = connect("")) {
            var meta = conn.getMetaData();
            List<String> columns = new ArrayList<>();
            try (ResultSet rows = meta.getColumns(null, "public", "things", null)) {
                while (rows.next()) columns.add(rows.getString("COLUMN_NAME") + " " + rows.getString("TYPE_NAME") + " " + rows.getString("IS_NULLABLE"));
            }
            same(columns, Arrays.asList("id int4 NO", "note text YES", "price numeric YES"));
            List<String> keys = new ArrayList<>();
            try (ResultSet rows = meta.getPrimaryKeys(null, "public", "things")) {
                while (rows.next()) keys.add(rows.getString("COLUMN_NAME") + " " + rows.getString("PK_NAME"));
            }
            same(keys, Arrays.asList("id things_pkey"));
            try (ResultSet rows = meta.getIndexInfo(null, "public", "things", true, true)) {
                rows.next();
                same(rows.getString("INDEX_NAME"), "things_pkey");
            }
            List<String> tables = new ArrayList<>();
            try (ResultSet rows = meta.getTables(null, "public", "thing%", new String[] {"TABLE", "PARTITIONED TABLE"})) {
                while (rows.next()) tables.add(rows.getString("TABLE_NAME") + " " + rows.getString("TABLE_TYPE"));
            }
            same(tables, Arrays.asList("things TABLE"));
            try (PreparedStatement read = conn.prepareStatement("SELECT id, note FROM things WHERE id = ? AND price > ?")) {
                same(read.getMetaData().getTableName(1) + "." + read.getMetaData().getColumnName(2), "things.note");
                same(read.getParameterMetaData().getParameterTypeName(1) + " " + read.getParameterMetaData().getParameterTypeName(2), "int4 numeric");
            }
        }
    }
}

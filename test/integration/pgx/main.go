// Runs one check of pgx against a server: check NAME CONNINFO. What is wrong goes to stderr, and the exit status is 1.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

type check func(ctx context.Context, conn *pgx.Conn) error

var checks = map[string]check{
	"parameters":        parameters,
	"exec_modes":        execModes,
	"statement_cache":   statementCache,
	"batch":             batch,
	"batch_error":       batchError,
	"pipeline":          pipeline,
	"copy_from":         copyFrom,
	"copy_from_error":   copyFromError,
	"copy_to":           copyTo,
	"transactions":      transactions,
	"cancel":            cancel,
	"cancel_all_shards": cancelAllShards,
	"notifications":     notifications,
	"errors":            sqlErrors,
	"large_objects":     largeObjects,
	"many_rows":         manyRows,
}

var conninfo string

func main() {
	conninfo = os.Args[2]
	ctx, stop := context.WithTimeout(context.Background(), 50*time.Second)
	defer stop()
	if err := run(ctx, checks[os.Args[1]]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

func run(ctx context.Context, one check) error {
	if one == nil {
		return errors.New("no such check")
	}
	conn, err := pgx.Connect(ctx, conninfo)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, sql := range []string{
		"DROP TABLE IF EXISTS things",
		"CREATE TABLE things (id int PRIMARY KEY, note text, price numeric CONSTRAINT positive CHECK (price > 0))",
		"INSERT INTO things SELECT i, 'thing ' || i, i FROM generate_series(1, 300) i",
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return one(ctx, conn)
}

func same(what string, got, want any) error {
	if reflect.DeepEqual(got, want) {
		return nil
	}
	return fmt.Errorf("%s: got %v, not %v", what, got, want)
}

func number(ctx context.Context, conn *pgx.Conn, sql string, args ...any) (int64, error) {
	var n int64
	err := conn.QueryRow(ctx, sql, args...).Scan(&n)
	return n, err
}

func code(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return fmt.Sprintf("%v", err)
}

func parameters(ctx context.Context, conn *pgx.Conn) error {
	when := time.Date(2024, 2, 29, 12, 30, 0, 123456000, time.UTC)
	var (
		i     int64
		text  *string
		flag  bool
		list  []int32
		bytea []byte
		at    time.Time
		f     float64
		pairs map[string]any
	)
	row := conn.QueryRow(ctx, "SELECT $1::int8, $2::text, $3::bool, $4::int[], $5::bytea, $6::timestamptz, $7::float8, $8::jsonb FROM things WHERE id = $9",
		int64(1)<<40, nil, true, []int32{1, 2}, []byte{0, 255}, when, 0.1, map[string]any{"a": "b"}, 7)
	if err := row.Scan(&i, &text, &flag, &list, &bytea, &at, &f, &pairs); err != nil {
		return err
	}
	return same("row", []any{i, text == nil, flag, list, bytea, at.Equal(when), f, pairs}, []any{int64(1) << 40, true, true, []int32{1, 2}, []byte{0, 255}, true, 0.1, map[string]any{"a": "b"}})
}

func execModes(ctx context.Context, conn *pgx.Conn) error {
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		for range 3 {
			var note string
			if err := conn.QueryRow(ctx, "SELECT note FROM things WHERE id = $1", mode, 42).Scan(&note); err != nil {
				return fmt.Errorf("%v: %w", mode, err)
			}
			if err := same(mode.String(), note, "thing 42"); err != nil {
				return err
			}
		}
		total, err := number(ctx, conn, "SELECT count(*) FROM things WHERE id > $1", mode, 100)
		if err := errors.Join(err, same(mode.String(), total, int64(200))); err != nil {
			return err
		}
	}
	return nil
}

// pgx keeps statements prepared; a changed table makes one fail once, and pgx forgets it.
func statementCache(ctx context.Context, conn *pgx.Conn) error {
	read := func() (int, error) {
		rows, err := conn.Query(ctx, "SELECT * FROM things WHERE id = $1", 3)
		if err != nil {
			return 0, err
		}
		rows.Close()
		return len(rows.FieldDescriptions()), rows.Err()
	}
	if n, err := read(); err != nil || n != 3 {
		return fmt.Errorf("before: %d %w", n, err)
	}
	if _, err := conn.Exec(ctx, "ALTER TABLE things ADD extra int DEFAULT 5"); err != nil {
		return err
	}
	if _, err := read(); code(err) != "0A000" {
		return fmt.Errorf("no error for a changed result: %v", err)
	}
	n, err := read()
	return errors.Join(err, same("columns", n, 4))
}

func batch(ctx context.Context, conn *pgx.Conn) error {
	b := &pgx.Batch{}
	for i := 1; i <= 100; i++ {
		b.Queue("SELECT note FROM things WHERE id = $1", i)
	}
	b.Queue("UPDATE things SET note = 'batched' WHERE id = $1", 5)
	b.Queue("SELECT count(*) FROM things WHERE note = 'batched'")
	results := conn.SendBatch(ctx, b)
	for i := 1; i <= 100; i++ {
		var note string
		if err := results.QueryRow().Scan(&note); err != nil || note != fmt.Sprintf("thing %d", i) {
			return fmt.Errorf("row %d: %q %w", i, note, err)
		}
	}
	tag, err := results.Exec()
	if err != nil {
		return err
	}
	var n int64
	if err := results.QueryRow().Scan(&n); err != nil {
		return err
	}
	return errors.Join(results.Close(), same("tag and count", []any{tag.String(), n}, []any{"UPDATE 1", int64(1)}))
}

func batchError(ctx context.Context, conn *pgx.Conn) error {
	b := &pgx.Batch{}
	b.Queue("UPDATE things SET note = 'lost' WHERE id = 1")
	b.Queue("UPDATE things SET note = 'lost' WHERE id = 2")
	b.Queue("UPDATE things SET price = -1 WHERE id = 3")
	b.Queue("UPDATE things SET note = 'lost' WHERE id = 4")
	err := conn.SendBatch(ctx, b).Close()
	n, err2 := number(ctx, conn, "SELECT count(*) FROM things WHERE note = 'lost'")
	return errors.Join(err2, same("code and rows", []any{code(err), n}, []any{"23514", int64(0)}))
}

func pipeline(ctx context.Context, conn *pgx.Conn) error {
	pipe := conn.PgConn().StartPipeline(ctx)
	pipe.SendPrepare("one", "SELECT note FROM things WHERE id = $1", nil)
	pipe.SendQueryPrepared("one", [][]byte{[]byte("9")}, nil, nil)
	pipe.SendDeallocate("one")
	if err := pipe.Sync(); err != nil {
		return err
	}
	pipe.SendQueryParams("SELECT 1 / $1::int", [][]byte{[]byte("0")}, nil, nil, nil)
	pipe.SendQueryParams("SELECT 2", nil, nil, nil, nil)
	if err := pipe.Sync(); err != nil {
		return err
	}
	var seen []string
	for {
		result, err := pipe.GetResults()
		if err != nil {
			seen = append(seen, code(err))
			continue
		}
		if result == nil {
			break
		}
		switch one := result.(type) {
		case *pgconn.StatementDescription:
			seen = append(seen, fmt.Sprint("described ", one.ParamOIDs))
		case *pgconn.ResultReader:
			read := one.Read()
			if read.Err != nil {
				seen = append(seen, code(read.Err))
			} else {
				seen = append(seen, string(read.Rows[0][0]))
			}
		case *pgconn.CloseComplete:
			seen = append(seen, "closed")
		case *pgconn.PipelineSync:
			seen = append(seen, "sync")
		}
	}
	return errors.Join(pipe.Close(), same("pipeline", seen, []string{"described [23]", "thing 9", "closed", "sync", "22012", "sync"}))
}

// COPY in its binary format.
func copyFrom(ctx context.Context, conn *pgx.Conn) error {
	rows := [][]any{}
	for i := 1000; i < 3000; i++ {
		rows = append(rows, []any{i, fmt.Sprintf("copied\t%d\n\\", i), i})
	}
	n, err := conn.CopyFrom(ctx, pgx.Identifier{"things"}, []string{"id", "note", "price"}, pgx.CopyFromRows(rows))
	if err != nil {
		return err
	}
	var note string
	if err := conn.QueryRow(ctx, "SELECT note FROM things WHERE id = 2345").Scan(&note); err != nil {
		return err
	}
	total, err := number(ctx, conn, "SELECT count(*) FROM things")
	return errors.Join(err, same("copied", []any{n, note, total}, []any{int64(2000), "copied\t2345\n\\", int64(2300)}))
}

func copyFromError(ctx context.Context, conn *pgx.Conn) error {
	rows := [][]any{{5000, "new", 1}, {1, "again", 1}}
	_, err := conn.CopyFrom(ctx, pgx.Identifier{"things"}, []string{"id", "note", "price"}, pgx.CopyFromRows(rows))
	total, err2 := number(ctx, conn, "SELECT count(*) FROM things")
	if err := errors.Join(err2, same("code and rows", []any{code(err), total}, []any{"23505", int64(300)})); err != nil {
		return err
	}
	_, err = conn.CopyFrom(ctx, pgx.Identifier{"things"}, []string{"id", "note", "price"}, pgx.CopyFromFunc(func() ([]any, error) { return nil, errors.New("given up") }))
	if err == nil || !strings.Contains(err.Error(), "given up") {
		return fmt.Errorf("a source that fails: %v", err)
	}
	total, err = number(ctx, conn, "SELECT count(*) FROM things")
	return errors.Join(err, same("rows", total, int64(300)))
}

func copyTo(ctx context.Context, conn *pgx.Conn) error {
	var out bytes.Buffer
	tag, err := conn.PgConn().CopyTo(ctx, &out, "COPY things (id, note) TO STDOUT (FORMAT csv)")
	if err != nil {
		return err
	}
	lines := strings.Count(out.String(), "\n")
	var in bytes.Buffer
	in.WriteString("9001,\"a,b\"\n9002,\n")
	inTag, err := conn.PgConn().CopyFrom(ctx, &in, "COPY things (id, note) FROM STDIN (FORMAT csv)")
	if err != nil {
		return err
	}
	n, err := number(ctx, conn, "SELECT count(*) FROM things WHERE id > 9000 AND (note = 'a,b' OR note IS NULL)")
	return errors.Join(err, same("copy", []any{tag.String(), lines, inTag.String(), n}, []any{"COPY 300", 300, "COPY 2", int64(2)}))
}

func transactions(ctx context.Context, conn *pgx.Conn) error {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "UPDATE things SET note = 'kept' WHERE id IN (1, 2, 3)"); err != nil {
		return err
	}
	inner, err := tx.Begin(ctx)
	if err != nil {
		return err
	}
	if _, err := inner.Exec(ctx, "UPDATE things SET price = -1"); code(err) != "23514" {
		return fmt.Errorf("no violation: %v", err)
	}
	if err := inner.Rollback(ctx); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	kept, err := number(ctx, conn, "SELECT count(*) FROM things WHERE note = 'kept'")
	if err := errors.Join(err, same("kept", kept, int64(3))); err != nil {
		return err
	}
	tx, err = conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "DELETE FROM things")
	return errors.Join(same("read only", code(err), "25006"), tx.Rollback(ctx))
}

// A context that ends makes pgx break the connection off, and ask for the statement to be cancelled.
func cancel(ctx context.Context, conn *pgx.Conn) error {
	return cancelled(ctx, conn, "SELECT pg_sleep(100)")
}

func cancelAllShards(ctx context.Context, conn *pgx.Conn) error {
	return cancelled(ctx, conn, "SELECT count(*) FROM things WHERE pg_sleep(10) IS NULL")
}

func cancelled(ctx context.Context, conn *pgx.Conn, sql string) error {
	done := make(chan error)
	go func() {
		_, err := conn.Exec(ctx, sql)
		done <- err
	}()
	for {
		if err := conn.PgConn().CancelRequest(ctx); err != nil {
			return err
		}
		select {
		case err := <-done:
			n, err2 := number(ctx, conn, "SELECT 1")
			return errors.Join(err2, same("code", []any{code(err), n}, []any{"57014", int64(1)}))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func notifications(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "LISTEN pgx_channel"); err != nil {
		return err
	}
	other, err := pgx.Connect(ctx, conninfo)
	if err != nil {
		return err
	}
	defer other.Close(ctx)
	if _, err := other.Exec(ctx, "SELECT pg_notify('pgx_channel', 'by function')"); err != nil {
		return err
	}
	if _, err := other.Exec(ctx, "NOTIFY pgx_channel, 'by statement'"); err != nil {
		return err
	}
	var heard []string
	for range 2 {
		notification, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		heard = append(heard, notification.Channel+" "+notification.Payload)
	}
	return same("heard", heard, []string{"pgx_channel by function", "pgx_channel by statement"})
}

func sqlErrors(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "INSERT INTO things VALUES ($1, 'again', 1)", 7)
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return fmt.Errorf("not an error of the server: %v", err)
	}
	got := []any{pgErr.Code, pgErr.TableName, pgErr.ConstraintName, pgErr.SchemaName, pgErr.Detail, pgErr.Routine, pgErr.File != "", pgErr.Line > 0}
	if err := same("violation", got, []any{"23505", "things", "things_pkey", "public", "Key (id)=(7) already exists.", "_bt_check_unique", true, true}); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "SELECT nothing FROM things")
	errors.As(err, &pgErr)
	return same("position", []any{pgErr.Code, pgErr.Position}, []any{"42703", int32(8)})
}

func largeObjects(ctx context.Context, conn *pgx.Conn) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	objects := tx.LargeObjects()
	oid, err := objects.Create(ctx, 0)
	if err != nil {
		return err
	}
	object, err := objects.Open(ctx, oid, pgx.LargeObjectModeRead|pgx.LargeObjectModeWrite)
	if err != nil {
		return err
	}
	written := bytes.Repeat([]byte("large "), 50_000)
	if _, err := object.Write(written); err != nil {
		return err
	}
	if _, err := object.Seek(0, io.SeekStart); err != nil {
		return err
	}
	read, err := io.ReadAll(object)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "UPDATE things SET price = $1 WHERE id = 1", int64(oid)); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	size, err := number(ctx, conn, "SELECT length(lo_get($1))", oid)
	return errors.Join(err, same("large object", []any{bytes.Equal(read, written), size}, []any{true, int64(len(written))}))
}

func manyRows(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, "SELECT t.id, repeat(t.note, 10) FROM things t, generate_series(1, 300)")
	if err != nil {
		return err
	}
	n := 0
	for rows.Next() {
		n++
	}
	return errors.Join(rows.Err(), same("rows", n, 90_000))
}

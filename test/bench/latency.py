#!/usr/bin/python3
"""What one prediction costs: prepared, warm, over fetching the row; and the first one of a new session.

Both statements run on one connection, alternating in batches, and medians are quoted.  Needs PGML_DATA (adult.csv), a server that has the
extension (PGHOST ...), python3-psycopg2.  Usage: latency.py [--report FILE]
"""
import argparse
import os
import statistics
import time

from report import write_report

BATCH = 500
ROUNDS = 20


def setup(cursor):
    cursor.execute("CREATE EXTENSION IF NOT EXISTS pgml_auto")
    cursor.execute("DROP TABLE IF EXISTS bench_adult")
    with open(os.path.join(os.environ["PGML_DATA"], "adult.csv")) as file:
        header = file.readline().strip().split(",")
        numbers = {"age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week"}
        columns = ", ".join(f'"{c}" {"integer" if c in numbers else "text"}' for c in header)
        cursor.execute(f"CREATE TABLE bench_adult ({columns})")
        cursor.copy_expert("COPY bench_adult FROM STDIN WITH (FORMAT csv)", file)
    cursor.execute("ALTER TABLE bench_adult ADD id serial PRIMARY KEY")
    cursor.execute("VACUUM ANALYZE bench_adult")


def train(cursor, model, trees, leaves):
    cursor.execute("SELECT count(*) FROM pgml_auto.model WHERE name = %s", (model,))
    if cursor.fetchone()[0]:
        cursor.execute("SELECT automl_drop(%s)", (model,))
    cursor.execute("SELECT 1 FROM automl_train(%s, 'bench_adult', 'income', max_trials => 1, "
                   "algorithms => '{gradient_boosting}', options => '{\"folds\": 1}', "
                   "hyperparams => jsonb_build_object('n_estimators', %s, 'num_leaves', %s, 'min_data_in_leaf', 2))",
                   (model, trees, leaves))
    cursor.execute("SELECT image_bytes FROM pgml_auto.version WHERE model = %s", (model,))
    return cursor.fetchone()[0]


def batch(cursor, statement):
    """Microseconds a row, inside one statement execution loop on the server."""
    cursor.execute("SELECT clock_timestamp()")
    cursor.execute(f"DO $$ DECLARE t timestamptz := clock_timestamp(); r text; BEGIN "
                   f"FOR i IN 1..{BATCH} LOOP {statement}; END LOOP; "
                   f"PERFORM set_config('bench.us', (extract(epoch FROM clock_timestamp() - t) * 1e6 / {BATCH})::text, "
                   f"false); END $$")
    cursor.execute("SELECT current_setting('bench.us')::float8")
    return cursor.fetchone()[0]


def warm(cursor, model):
    """Median microseconds of fetching a row by key, and of fetching and predicting it (plans cached by plpgsql)."""
    fetch = "SELECT a.income INTO r FROM bench_adult a WHERE id = 1 + i * 97 % 48842"
    predict = f"SELECT predict('{model}', a) INTO r FROM bench_adult a WHERE id = 1 + i * 97 % 48842"
    times = {fetch: [], predict: []}
    for statement in times:
        batch(cursor, statement)
    for _ in range(ROUNDS):
        for statement in times:
            times[statement].append(batch(cursor, statement))
    return statistics.median(times[fetch]), statistics.median(times[predict])


def first(model):
    """Median milliseconds of the first prediction of a session, and of the second one."""
    import psycopg2

    firsts, seconds = [], []
    for _ in range(ROUNDS):
        connection = psycopg2.connect("")
        cursor = connection.cursor()
        cursor.execute("SELECT income FROM bench_adult WHERE id = 5")  # the table's own catalog entries
        for times in (firsts, seconds):
            start = time.perf_counter()
            cursor.execute(f"SELECT predict('{model}', a) FROM bench_adult a WHERE id = 5")
            cursor.fetchall()
            times.append((time.perf_counter() - start) * 1e3)
        connection.close()
    return statistics.median(firsts), statistics.median(seconds)


def main():
    import psycopg2

    parser = argparse.ArgumentParser()
    parser.add_argument("--report", help="write the table into this file between its markers")
    args = parser.parse_args()
    connection = psycopg2.connect("")
    connection.autocommit = True
    cursor = connection.cursor()
    setup(cursor)
    lines = ["| model | image | fetch the row | fetch and predict | predict | first call of a session | second call |",
             "|---|---:|---:|---:|---:|---:|---:|"]
    for model, trees, leaves in (("bench_small", 100, 31), ("bench_large", 1000, 80)):
        size = train(cursor, model, trees, leaves)
        fetch, predict = warm(cursor, model)
        one, two = first(model)
        lines.append(f"| {trees} trees, {leaves} leaves | {size / 1e6:.2f} MB | {fetch:.1f} µs | {predict:.1f} µs | "
                     f"{predict - fetch:.1f} µs | {one:.2f} ms | {two:.2f} ms |")
    text = "\n".join(lines) + "\n"
    print(text)
    if args.report:
        write_report(args.report, "latency", text)


if __name__ == "__main__":
    main()

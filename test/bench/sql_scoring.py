#!/usr/bin/python3
"""Rows a second scored through SQL: in blocks and call by call, by one process and with two parallel workers.

1,000,000 rows of 28 double precision columns and a boosted model of 500 trees with 31 leaves each.  The ways alternate, and
medians of the rounds are quoted; call by call is measured on a part of the rows.  Needs a server that has the extension
(PGHOST ...), python3-psycopg2.  Usage: sql_scoring.py [--rows N] [--rounds N] [--report FILE]
"""
import argparse
import statistics
import time

from report import write_report

COLUMNS = 28
TREES = 500
LEAVES = 31
SINGLE_PART = 20  # call by call scores one row in so many


def setup(cursor, rows):
    names = [f"c{i}" for i in range(1, COLUMNS + 1)]
    values = ", ".join(f"random() AS {name}" for name in names)
    cursor.execute("CREATE EXTENSION IF NOT EXISTS pgml_auto")
    for table, n in (("bench_rows", rows), ("bench_part", rows // SINGLE_PART)):
        cursor.execute(f"DROP TABLE IF EXISTS {table}")
        cursor.execute(f"SELECT setseed(0.5); CREATE TABLE {table} AS SELECT i AS id, {values} FROM generate_series(1, {n}) i")
        cursor.execute(f"VACUUM (ANALYZE, FREEZE) {table}")
    cursor.execute("DROP TABLE IF EXISTS bench_train")
    cursor.execute("CREATE TABLE bench_train AS SELECT *, CASE WHEN c1 + c2 * c3 + c4 * sin(10 * c5) + c6 + random() > 2 "
                   "THEN 'yes' ELSE 'no' END AS y FROM bench_rows LIMIT 50000")
    cursor.execute("SELECT count(*) FROM pgml_auto.model WHERE name = 'bench_scoring'")
    if cursor.fetchone()[0]:
        cursor.execute("SELECT automl_drop('bench_scoring')")
    cursor.execute("SELECT 1 FROM automl_train('bench_scoring', 'bench_train', 'y', exclude => '{id}', max_trials => 1, "
                   "algorithms => '{gradient_boosting}', options => '{\"folds\": 1}', hyperparams => "
                   "jsonb_build_object('n_estimators', %s, 'num_leaves', %s, 'learning_rate', 0.02))", (TREES, LEAVES))


def statements(table):
    """What is measured, in words and in SQL."""
    total = " + ".join(f"sum(c{i})" for i in range(1, COLUMNS + 1))
    return [
        ("`CREATE TABLE … AS SELECT id, predict_proba(…)`",
         f"CREATE TABLE bench_out AS SELECT id, predict_proba('bench_scoring', t) AS p FROM {table} t"),
        ("`SELECT count(*) … WHERE predict_proba(…) > 0.5`",
         f"SELECT count(*) FROM {table} t WHERE predict_proba('bench_scoring', t) > 0.5"),
        ("`SELECT avg(predict_proba(…))`", f"SELECT avg(predict_proba('bench_scoring', t)) FROM {table} t"),
        ("`predict_table(…)`", f"SELECT count(*) FROM predict_table('bench_scoring', '{table}')"),
        ("the columns alone: `SELECT sum(c1) + … + sum(c28)`", f"SELECT {total} FROM {table}"),
    ]


def run(cursor, statement):
    cursor.execute("DROP TABLE IF EXISTS bench_out")
    start = time.perf_counter()
    cursor.execute(statement)
    return time.perf_counter() - start


def measure(cursor, rows, rounds):
    """Median rows a second for each statement and each way."""
    ways = [("in blocks", "bench_rows", rows, "on", 0), ("in blocks, 2 workers", "bench_rows", rows, "on", 2),
            ("call by call", "bench_part", rows // SINGLE_PART, "off", 0)]
    speed = {}
    for _ in range(rounds):
        for way, table, n, blocks, workers in ways:
            cursor.execute(f"SET pgml_auto.block_scoring = {blocks}")
            cursor.execute(f"SET max_parallel_workers_per_gather = {workers}")
            for name, statement in statements(table):
                speed.setdefault((name, way), []).append(n / run(cursor, statement))
    return [way[0] for way in ways], {key: statistics.median(value) for key, value in speed.items()}


def main():
    import psycopg2

    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1000000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--report", help="write the table into this file between its markers")
    args = parser.parse_args()
    connection = psycopg2.connect("")
    connection.autocommit = True
    cursor = connection.cursor()
    setup(cursor, args.rows)
    cursor.execute("SELECT predict('bench_scoring', t) FROM bench_part t LIMIT 1")
    ways, speed = measure(cursor, args.rows, args.rounds)
    lines = ["| rows a second | " + " | ".join(ways) + " |", "|---|" + "---:|" * len(ways)]
    for name, _ in statements("bench_rows"):
        lines.append(f"| {name} | " + " | ".join(f"{speed[name, way]:,.0f}" for way in ways) + " |")
    text = "\n".join(lines) + "\n"
    print(text)
    if args.report:
        write_report(args.report, "sql_scoring", text)
    for table in ("bench_rows", "bench_part", "bench_train", "bench_out"):
        cursor.execute(f"DROP TABLE IF EXISTS {table}")


if __name__ == "__main__":
    main()

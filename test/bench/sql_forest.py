#!/usr/bin/python3
"""Rows a second that a large forest scores through SQL, what small and shallow forests gain from blocks, and how soon a cancel is served.

random_forest learns from 200,000 rows of 28 numbers (see boosting.py) and scores 200,000 others: by one process, in seconds that it computed, as
the server's /proc tells, so that other work on the machine counts little. Call by call is measured on a part of the rows.  A cancel is sent at a
random moment of the large forest's scoring.

Needs a server on this machine that has the extension, with 2 GB for a training (PGHOST ...), python3-psycopg2.
Usage: sql_forest.py [--trees N] [--rounds N] [--cancels N] [--prepare] [--report FILE]
"""
import argparse
import io
import os
import random
import statistics
import threading
import time

import numpy as np

import boosting
from report import write_report

LEARN, SCORE = 200_000, 200_000
TICK = os.sysconf("SC_CLK_TCK")


def forests(trees):
    """Name, settings, one row in how many is scored call by call."""
    return [(f"{trees} full trees", {"n_estimators": trees}, 50), ("20 full trees", {"n_estimators": 20}, 10),
            ("100 trees of depth 6", {"n_estimators": 100, "max_depth": 6}, 10), ("10 trees of depth 3", {"n_estimators": 10, "max_depth": 3}, 10)]


def copy(cursor, table, x, y):
    names = [f"c{i}" for i in range(1, x.shape[1] + 1)]
    cursor.execute(f"DROP TABLE IF EXISTS {table}")
    cursor.execute(f"CREATE TABLE {table} ({', '.join(name + ' real' for name in names)}, y int)")
    kinds = [(name, ">f4") for name in names] + [("y", ">i4")]
    rows = np.zeros(len(x), [("fields", ">i2")] + [part for name, kind in kinds for part in ((name + "_size", ">i4"), (name, kind))])
    rows["fields"] = len(names) + 1
    for number, name in enumerate(names + ["y"]):
        rows[name + "_size"] = 4
        rows[name] = x[:, number] if name != "y" else y
    binary = io.BytesIO(b"PGCOPY\n\xff\r\n\0" + bytes(8) + rows.tobytes() + b"\xff\xff")
    cursor.copy_expert(f"COPY {table} FROM STDIN (FORMAT binary)", binary)
    cursor.execute(f"VACUUM (ANALYZE, FREEZE) {table}")


def train(cursor, model, settings):
    import psycopg2.extras

    cursor.execute("SELECT count(*) FROM pgml_auto.model WHERE name = %s", (model,))
    if cursor.fetchone()[0]:
        return
    cursor.execute("SELECT 1 FROM automl_train(%s, 'bench_learn', 'y', max_trials => 1, algorithms => '{random_forest}', "
                   "options => '{\"folds\": 1}', hyperparams => %s)", (model, psycopg2.extras.Json(settings)))


def cpu(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def run(cursor, statement):
    """Seconds that the session's process computed."""
    pid = cursor.connection.get_backend_pid()
    cursor.execute("DROP TABLE IF EXISTS bench_out")
    start = cpu(pid)
    cursor.execute(statement)
    return cpu(pid) - start


def measure(cursor, model, part, rounds):
    ways = [("table", "on", SCORE, f"CREATE TABLE bench_out AS SELECT predict_proba('{model}', t) AS p FROM bench_score t"),
            ("function", "on", SCORE, f"SELECT count(*) FROM predict_table('{model}', 'bench_score')"),
            ("call", "off", SCORE // part, f"SELECT sum(predict_proba('{model}', t)) FROM (SELECT * FROM bench_score LIMIT {SCORE // part}) t")]
    speed = {}
    cursor.execute(f"SELECT predict('{model}', t) FROM bench_score t LIMIT 1")
    for _ in range(rounds):
        for way, blocks, n, statement in ways:
            cursor.execute(f"SET pgml_auto.block_scoring = {blocks}")
            speed.setdefault(way, []).append(n / run(cursor, statement))
    return {way: statistics.median(values) for way, values in speed.items()}


def cancel(cursor, admin, model, most):
    """Milliseconds from the cancel to the client's error."""
    import psycopg2

    ended = []

    def score():
        try:
            cursor.execute(f"SELECT avg(predict_proba('{model}', t)) FROM bench_score t")
        except psycopg2.errors.QueryCanceled:
            ended.append(time.perf_counter())

    thread = threading.Thread(target=score)
    thread.start()
    time.sleep(random.uniform(0.2, most))
    start = time.perf_counter()
    admin.execute("SELECT pg_cancel_backend(%s)", (cursor.connection.get_backend_pid(),))
    thread.join()
    return (ended[0] - start) * 1e3 if ended else None


def connect():
    import psycopg2

    connection = psycopg2.connect("")
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("SET max_parallel_workers_per_gather = 0; SET jit = off; SET pgml_auto.block_scoring = on")
    return cursor


def prepare(cursor, trees):
    """Load the tables and train, unless that has been done."""
    cursor.execute("SELECT to_regclass('bench_score') IS NULL")
    if cursor.fetchone()[0]:
        x, _, y = boosting.numeric_table(LEARN + SCORE)
        copy(cursor, "bench_learn", x[:LEARN], y[:LEARN])
        copy(cursor, "bench_score", x[LEARN:], y[LEARN:])
    for number, (_, settings, _) in enumerate(forests(trees)):
        train(cursor, f"bench_forest_{number}", settings)


def measure_all(cursor, admin, trees, rounds, cancels):
    lines = ["| random_forest | `CREATE TABLE … AS SELECT predict_proba(…)` | `predict_table(…)` | call by call |", "|---|---:|---:|---:|"]
    for number, (name, _, part) in enumerate(forests(trees)):
        speed = measure(cursor, f"bench_forest_{number}", part, rounds)
        lines.append(f"| {name} | {speed['table']:,.0f} | {speed['function']:,.0f} | {speed['call']:,.0f} |")
        print(lines[-1], flush=True)
        if number == 0 and cancels > 0:
            cursor.execute("SET pgml_auto.block_scoring = on")
            waits = [cancel(cursor, admin, "bench_forest_0", SCORE / speed["table"]) for _ in range(cancels)]
            waits = sorted(wait for wait in waits if wait is not None)
            cancelled = f"\nCancelled {len(waits)} times: after {statistics.median(waits):.0f} ms (median), {waits[-1]:.0f} ms (longest).\n"
            print(cancelled, flush=True)
    return "\n".join(lines) + "\n" + (cancelled if cancels > 0 else "")


def clean_up(cursor, trees):
    for number in range(len(forests(trees))):
        cursor.execute("SELECT automl_drop(%s)", (f"bench_forest_{number}",))
    for table in ("bench_learn", "bench_score", "bench_out"):
        cursor.execute(f"DROP TABLE IF EXISTS {table}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--trees", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cancels", type=int, default=20)
    parser.add_argument("--prepare", action="store_true", help="load and train only; a later run measures")
    parser.add_argument("--report", help="write the table into this file between its markers")
    args = parser.parse_args()
    cursor, admin = connect(), connect()
    cursor.execute("CREATE EXTENSION IF NOT EXISTS pgml_auto")
    cursor.execute("SET pgml_auto.max_memory = '2GB'; SET pgml_auto.model_cache_size = '1GB'")
    prepare(cursor, args.trees)
    if args.prepare:
        return
    random.seed(1)
    text = measure_all(cursor, admin, args.trees, args.rounds, args.cancels)
    if args.report:
        write_report(args.report, "sql_forest", text)
    clean_up(cursor, args.trees)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""How long a training takes to end when it is told to: cancel, statement_timeout, pg_terminate_backend.

Trainings of three tables are ended after a random time; what is measured is the time from the signal (from the end of the timeout) until the
client has its error.  Needs PGML_DATA (adult.csv, letter.csv, california_housing.csv), a server that has the extension
(PGHOST ...), python3-psycopg2, python3-pandas.  Usage: cancel.py [--rounds 60] [--report FILE]
"""
import argparse
import random
import threading
import time

import automl_sets as sets
from report import write_report

SETS = ("adult", "letter", "california")


def setup(connection):
    connection.cursor().execute("CREATE EXTENSION IF NOT EXISTS pgml_auto")
    for name in SETS:
        sets.load(connection, f"bench_cancel_{name}", sets.read(name))


def end_one(admin, name, target, how, after):
    """Milliseconds from the signal to the client's error."""
    import psycopg2

    connection = psycopg2.connect("")
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("SELECT pg_backend_pid()")
    pid = cursor.fetchone()[0]
    ended = []

    def train():
        try:
            if how == "statement_timeout":
                cursor.execute(f"SET statement_timeout = {int(after * 1000)}")
            cursor.execute("SELECT 1 FROM automl_train('bench_cancel', %s, %s, time_budget => '60 s')",
                           (f"bench_cancel_{name}", target))
            ended.append(None)
        except psycopg2.Error:
            ended.append(time.perf_counter())

    thread = threading.Thread(target=train)
    start = time.perf_counter()
    thread.start()
    if how != "statement_timeout":
        time.sleep(after)
        start = time.perf_counter()
        admin.cursor().execute(f"SELECT {how}(%s)", (pid,))
    else:
        start += after
    thread.join()
    connection.close()
    return (ended[0] - start) * 1e3 if ended[0] is not None else None


def main():
    import psycopg2

    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--report", help="write the table into this file between its markers")
    args = parser.parse_args()
    admin = psycopg2.connect("")
    admin.autocommit = True
    setup(admin)
    random.seed(1)
    lines = ["| ended by | trainings | median | longest |", "|---|---:|---:|---:|"]
    for how in ("pg_cancel_backend", "statement_timeout", "pg_terminate_backend"):
        times = []
        for i in range(args.rounds // 3):
            name = SETS[i % len(SETS)]
            took = end_one(admin, name, sets.SETS[name].target, how, random.uniform(0.05, 8))
            if took is not None:
                times.append(took)
        times.sort()
        lines.append(f"| `{how}` | {len(times)} | {times[len(times) // 2]:.0f} ms | {times[-1]:.0f} ms |")
    text = "\n".join(lines) + "\n"
    print(text)
    if args.report:
        write_report(args.report, "cancel", text)


if __name__ == "__main__":
    main()

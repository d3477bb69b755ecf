#!/usr/bin/python3
"""From the heap into binned columns: all that a training does before its first boosting fit, against summing the same 28 columns.

The steps are told apart by probes at functions of the library, so this needs root, perf, and to run where the server runs (on Linux), besides a server that
has the extension (PGHOST ...), python3-psycopg2 and python3-numpy.  The sum (without JIT and parallel workers) and the training take turns, and medians are quoted.
Usage: reading.py [--rows N] [--rounds N] [--report FILE]
"""
import argparse
import collections
import os
import statistics
import subprocess
import tempfile
import time

import tables
from report import write_report

# Function at which a step begins, and what the step is called; the last one ends what is measured.
STEPS = [("pgml_ingest", "scan, order"), ("pgml_automl", "target, split"), ("pgml_recipe_fit", "recipe, features"),
         ("pgml_leak_scan", "leaks"), ("training_choose_folds", "folds, baseline"), ("pgml_bins_create", "bins"), ("pgml_bins_create%return", None)]
PROBES = "probe_pgml_auto:*"  # as perf calls those of this library


def add_probes(library):
    """The events that the steps begin with."""
    for function, _ in STEPS:
        subprocess.run(["perf", "probe", "-q", "-x", library, "--add", function], check=True)
    return [function.replace("%", "__") for function, _ in STEPS]


def delete_probes():
    subprocess.run(["perf", "probe", "-q", "-d", PROBES], stderr=subprocess.DEVNULL)


def library_of(cursor):
    """Path of the library, once the session has loaded it."""
    cursor.execute("SELECT predict(NULL, '{}'::jsonb)")
    cursor.execute("SELECT pg_backend_pid()")
    with open(f"/proc/{cursor.fetchone()[0]}/maps") as file:
        return next(line.split()[-1] for line in file if line.rstrip().endswith("pgml_auto.so"))


def train(cursor, pid, events):
    """Milliseconds of each step."""
    cursor.execute("SELECT automl_drop(name) FROM pgml_auto.model WHERE name = 'bench_reading'")
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "perf.data")
        perf = subprocess.Popen(["perf", "record", "-q", "-e", PROBES, "-o", data, "-p", str(pid)], stderr=subprocess.DEVNULL)
        time.sleep(1)  # until it listens; nothing is measured by this clock
        cursor.execute("SELECT 1 FROM automl_train('bench_reading', 'bench_reading', 'label', algorithms => '{gradient_boosting}', max_trials => 1, "
                       "options => '{\"folds\": 1, \"refit\": false}', hyperparams => '{\"n_estimators\": 1, \"num_leaves\": 2}')")
        perf.terminate()
        perf.wait()
        lines = subprocess.run(["perf", "script", "-i", data, "-F", "time,event"], check=True, capture_output=True, text=True).stdout.splitlines()
    began = {}
    for line in lines:
        moment, event = line.split()[:2]
        began.setdefault(event.split(":")[1], float(moment.rstrip(":")))
    moments = [began[event] for event in events]
    return {name: (after - before) * 1e3 for (_, name), before, after in zip(STEPS, moments, moments[1:])}


def main():
    import psycopg2

    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--report", help="write the table into this file between its markers")
    args = parser.parse_args()
    connection = psycopg2.connect("")
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("CREATE EXTENSION IF NOT EXISTS pgml_auto")
    for setting in ("jit = off", "max_parallel_workers_per_gather = 0", "pgml_auto.max_threads = 2", "pgml_auto.max_memory = '4GB'"):
        cursor.execute(f"SET {setting}")
    tables.make_table(cursor, "bench_reading", args.rows)
    cursor.execute("SELECT pg_backend_pid()")
    pid = cursor.fetchone()[0]
    library = library_of(cursor)
    delete_probes()
    sums, steps = [], collections.defaultdict(list)
    try:
        events = add_probes(library)
        for _ in range(args.rounds):
            start = time.perf_counter()
            cursor.execute(f"SELECT {' + '.join(f'sum({name})' for name in tables.NAMES)} FROM bench_reading")
            sums.append((time.perf_counter() - start) * 1e3)
            for name, milliseconds in train(cursor, pid, events).items():
                steps[name].append(milliseconds)
    finally:
        delete_probes()
    total = statistics.median(sum(parts) for parts in zip(*steps.values()))
    names = list(steps)
    text = (f"| sum of {tables.COLUMNS} columns | {' | '.join(names)} | all before the first fit | times the sum |\n|{'---:|' * (len(names) + 3)}\n"
            f"| {statistics.median(sums):.0f} ms | {' | '.join(f'{statistics.median(steps[name]):.0f} ms' for name in names)} | {total:.0f} ms | "
            f"{total / statistics.median(sums):.2f} |\n")
    print(text)
    if args.report:
        write_report(args.report, "reading", text)


if __name__ == "__main__":
    main()

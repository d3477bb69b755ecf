#!/usr/bin/python3
"""From the heap into binned columns: all that a training does before its first boosting fit, against summing the same 28 columns.

The steps are told apart by probes at functions of the library, so this needs root, perf, and to run where the server runs (on Linux), besides a server that
has the extension (PGHOST ...), python3-psycopg2 and python3-numpy.  The sum (without JIT and parallel workers) and the training take turns, and medians are
quoted: of processor time, which perf samples in all threads, with one thread, and of time with two.  perf listens during all rounds: what a training gives
back is what the next one takes.  (Free memory of a virtual machine may go back to its host within seconds, and is dear to get again; that is no matter of
reading, but with a pause before each round it would be most of what is measured.)
Usage: reading.py [--rows N] [--rounds N] [--report FILE]
"""
import argparse
import bisect
import collections
import os
import statistics
import subprocess
import tempfile
import time

import tables
from report import write_report

# Function at which a step begins, and what the step is called; the last one ends what is measured.
STEPS = [("pgml_ingest", "scan"), ("stage_emit", "order"), ("pgml_automl", "target, split"), ("pgml_recipe_fit", "recipe, features"),
         ("pgml_leak_scan", "leaks"), ("training_choose_folds", "folds, baseline"), ("pgml_bins_create", "bins"), ("pgml_bins_create%return", None)]
NAMES = [name for _, name in STEPS if name]
EVENTS = [function.replace("%", "__") for function, _ in STEPS]
READING = ("scan", "order", "recipe, features", "bins")  # from the heap to binned columns
PROBES = "probe_pgml_auto:*"  # as perf calls those of this library
SAMPLES = 4000  # of the processor, each second


def add_probes(library):
    """The events that the steps begin with."""
    for function, _ in STEPS:
        subprocess.run(["perf", "probe", "-q", "-x", library, "--add", function], check=True)


def delete_probes():
    subprocess.run(["perf", "probe", "-q", "-d", PROBES], stderr=subprocess.DEVNULL)


def library_of(cursor, pid):
    """Path of the library, once the session has loaded it."""
    cursor.execute("SELECT predict(NULL, '{}'::jsonb)")
    with open(f"/proc/{pid}/maps") as file:
        return next(line.split()[-1] for line in file if line.rstrip().endswith("pgml_auto.so"))


def processor_time(pid):
    """Seconds of the process, which has one thread while it runs a query."""
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[0]) / 1e9


def run_rounds(cursor, pid, rounds):
    """The sum and a training, in turns; milliseconds of the sums: of the processor, and passed."""
    sums = {"processor": [], "passed": []}
    for _ in range(rounds):
        start, used = time.perf_counter(), processor_time(pid)
        cursor.execute(f"SELECT {' + '.join(f'sum({name})' for name in tables.NAMES)} FROM bench_reading")
        sums["passed"].append((time.perf_counter() - start) * 1e3)
        sums["processor"].append((processor_time(pid) - used) * 1e3)
        cursor.execute("SELECT 1 FROM automl_train('bench_reading', 'bench_reading', 'label', algorithms => '{gradient_boosting}', max_trials => 1, "
                       "options => '{\"folds\": 1, \"refit\": false}', hyperparams => '{\"n_estimators\": 1, \"num_leaves\": 2}')")
        cursor.execute("SELECT automl_drop('bench_reading')")
    return sums


def read_steps(data):
    """Milliseconds of each step of each training that was recorded: of the processor, and passed."""
    lines = subprocess.run(["perf", "script", "-i", data, "-F", "time,event"], check=True, capture_output=True, text=True).stdout.splitlines()
    trainings, samples = [], []
    for line in lines:
        moment, event = line.split()[:2]
        event = event.rstrip(":").split(":")[-1]
        if event == EVENTS[0]:
            trainings.append({})
        if event in EVENTS and trainings:
            trainings[-1].setdefault(event, float(moment.rstrip(":")))
        elif event not in EVENTS:
            samples.append(float(moment.rstrip(":")))
    samples.sort()
    steps = {"processor": collections.defaultdict(list), "passed": collections.defaultdict(list)}
    for began in trainings:
        moments = [began[event] for event in EVENTS]
        for name, start, end in zip(NAMES, moments, moments[1:]):
            steps["passed"][name].append((end - start) * 1e3)
            steps["processor"][name].append((bisect.bisect(samples, end) - bisect.bisect(samples, start)) * 1e3 / SAMPLES)
    return steps


def measure(cursor, pid, threads, rounds):
    """Sums and steps with so many threads."""
    cursor.execute(f"SET pgml_auto.max_threads = {threads}")
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "perf.data")
        perf = subprocess.Popen(["perf", "record", "-q", "-e", PROBES, "-e", f"cpu-clock/freq={SAMPLES}/", "-o", data, "-p", str(pid)],
                                stderr=subprocess.DEVNULL)
        time.sleep(1)  # until it listens; nothing is measured by this clock
        sums = run_rounds(cursor, pid, rounds)
        perf.terminate()
        perf.wait()
        return sums, read_steps(data)


def table_row(title, sums, steps):
    """A row of the table."""
    summed = statistics.median(sums)
    read = statistics.median(sum(parts) for parts in zip(*(steps[name] for name in READING)))
    total = statistics.median(sum(parts) for parts in zip(*(steps[name] for name in NAMES)))
    return (f"| {title} | {summed:.0f} ms | {' | '.join(f'{statistics.median(steps[name]):.0f} ms' for name in NAMES)} | "
            f"**{read:.0f} ms** | {read / summed:.2f} | {total:.0f} ms | {total / summed:.2f} |\n")


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
    for setting in ("jit = off", "max_parallel_workers_per_gather = 0", "pgml_auto.max_memory = '4GB'"):
        cursor.execute(f"SET {setting}")
    tables.make_table(cursor, "bench_reading", args.rows)
    cursor.execute("SELECT automl_drop(name) FROM pgml_auto.model WHERE name = 'bench_reading'")
    cursor.execute("SELECT pg_backend_pid()")
    pid = cursor.fetchone()[0]
    library = library_of(cursor, pid)
    delete_probes()
    text = (f"| | sum of {tables.COLUMNS} columns | {' | '.join(NAMES)} | heap to bins | times the sum | all before the first fit | times the sum |\n"
            f"|---|{'---:|' * (len(NAMES) + 5)}\n")
    try:
        add_probes(library)
        for threads, kind, title in ((1, "processor", "processor time, one thread"), (2, "passed", "time, two threads")):
            sums, steps = measure(cursor, pid, threads, args.rounds)
            text += table_row(title, sums[kind], steps[kind])
    finally:
        delete_probes()
    print(text)
    if args.report:
        write_report(args.report, "reading", text)


if __name__ == "__main__":
    main()

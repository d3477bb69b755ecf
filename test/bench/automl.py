#!/usr/bin/python3
"""The whole of automl_train against learners of scikit-learn and XGBoost, on outer splits that nothing is tuned on.

    automl.py run --system peers [--sets fixed] [--for 60]
    automl.py run --system own --budget 10 --label base [--sets fixed --splits fixed --threads 1] [--options "metric => 'f1'"]
    automl.py compare base new [--budget 10] [--threads 2]
    automl.py report [docs/benchmarks.md] [--label base] [--threads 2] [--rate 20000]

Every piece (a system on a split) is appended to results/automl_peers.jsonl or results/automl_own.jsonl as it ends; what is found there is not run
again, so a run that was stopped goes on where it was. --for ends after so many seconds; the exit status is 75 when
something is left. A failure is a line, too, with its message; --retry runs those again. The influence of
each test row on the metric is kept in build/automl (or PGML_BENCH_STORE), for intervals of paired differences.

Needs PGML_DATA (a folder with the CSV files; sets that are not there are left out, and named), for --system own a server that has the extension
(PGHOST ...), python3-sklearn, python3-xgboost, python3-pandas, python3-psycopg2.
"""
import argparse
import json
import os
import statistics
import sys
import time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import automl_report
import automl_sets as sets
import automl_systems as systems

HERE = os.path.dirname(os.path.abspath(__file__))
STORE = os.environ.get("PGML_BENCH_STORE", os.path.join(HERE, "..", "..", "build", "automl"))
DATABASE = "bench_automl"
LEFT = 75
GROUPS = {"all": list(sets.SETS), "fixed": sets.FIXED, "sixty": sets.SIXTY, "ten": sets.TEN_MINUTES}


def results_file(system):
    return os.path.join(HERE, "results", f"automl_{'own' if system == 'own' else 'peers'}.jsonl")


def key(row):
    return tuple(row.get(k) for k in ("set", "split", "system", "label", "budget", "threads"))


def results():
    """All pieces by key; of a piece that was run again, the last."""
    found = {}
    for system in ("peers", "own"):
        if os.path.exists(results_file(system)):
            with open(results_file(system)) as file:
                found.update({key(row): row for row in map(json.loads, file)})
    return found


def influence_file(row):
    return os.path.join(STORE, "-".join(str(k) for k in key(row) if k is not None) + ".npy")


def write(row, influence):
    import numpy as np

    if influence is not None:
        os.makedirs(STORE, exist_ok=True)
        np.save(influence_file(row), influence.astype(np.float32))
    with open(results_file(row["system"]), "a") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps(row), flush=True)


def line(p, system, value, extra):
    return {"set": p.name, "split": p.split, "system": system, "metric": sets.METRIC[p.task], "score": value,
            "constant": sets.constant(p), "training": len(p.training), "test": len(p.test), **extra}


def run_peer(p, peer, _):
    """Fit for the score that the best is chosen by, then to all training rows."""
    try:
        scores = [sets.score(p.task, sets.truth(p, b), systems.fit_peer(peer, p, a, b)[0][1])[0] for a, b in sets.validations(p)]
        for system, prediction, seconds in systems.fit_peer(peer, p, p.training, p.test, more_trees=True):
            value, influence = sets.score(p.task, sets.truth(p, p.test), prediction)
            extra = {"seconds": round(seconds, 2)}
            if system == peer:
                extra.update(validation=statistics.mean(scores), folds=len(scores))
            write(line(p, system, value, extra), influence)
    except Exception as error:  # a failure is a result
        write(line(p, peer, None, {"failed": str(error)[:300]}), None)


def connect(database=""):
    import psycopg2

    connection = psycopg2.connect(database)
    connection.autocommit = True
    return connection


def make_database():
    """A database of its own with the extension as it is installed now, left there until the next run."""
    connection = connect()
    connection.cursor().execute(f"DROP DATABASE IF EXISTS {DATABASE}")
    connection.cursor().execute(f"CREATE DATABASE {DATABASE}")
    connection.close()
    connect(f"dbname={DATABASE}").cursor().execute("CREATE EXTENSION pgml_auto")


def run_own(p, _, args):
    connection = connect(f"dbname={DATABASE}")
    how = {"label": args.label, "budget": args.budget, "threads": args.threads}
    try:
        prediction, extra = systems.own(connection, p, args.budget, args.threads, args.options)
        value, influence = sets.score(p.task, sets.truth(p, p.test), prediction)
        write(line(p, "own", value, {**how, **extra}), influence)
    except Exception as error:  # a failure is a result
        write(line(p, "own", None, {**how, "failed": str(error).strip()[:300]}), None)
    finally:
        connection.close()


def run(args):
    wanted = systems.PEERS if args.system == "peers" else [args.system]
    function = run_own if args.system == "own" else run_peer
    if args.system == "own":
        make_database()
    start = time.time()
    for name in args.sets:
        if not os.path.exists(os.path.join(os.environ["PGML_DATA"], sets.SETS[name].file)):
            print(f"{name}: no {sets.SETS[name].file} in PGML_DATA, left out", file=sys.stderr)
            continue
        frame = None
        for split in sets.parse_splits(name, args.splits):
            p = None
            for system in wanted:
                row = {"set": name, "split": split, "system": system}
                if system == "own":
                    row.update(label=args.label, budget=args.budget, threads=args.threads)
                have = results().get(key(row))
                if have and not (args.retry and "failed" in have):
                    continue
                if args.seconds and time.time() - start > args.seconds:
                    sys.exit(LEFT)
                frame = sets.read(name) if frame is None else frame
                p = p or sets.part(name, split, frame)
                function(p, system, args)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("run")
    command.add_argument("--system", required=True, help="own, peers, or one of " + ", ".join(systems.PEERS))
    command.add_argument("--sets", default="all", help="names, or all, fixed, sixty, ten")
    command.add_argument("--splits", type=lambda s: s.split(","), help="instead of those of the set: fixed, s0, t0 ...")
    command.add_argument("--budget", type=int, default=10, help="time_budget in seconds")
    command.add_argument("--threads", type=int, default=2)
    command.add_argument("--label", default="base", help="what this version is called")
    command.add_argument("--options", help="more named arguments of automl_train, as SQL")
    command.add_argument("--for", dest="seconds", type=float, help="begin nothing after so many seconds")
    command.add_argument("--retry", action="store_true", help="run failures again")
    command = commands.add_parser("compare")
    command.add_argument("old")
    command.add_argument("new")
    command.add_argument("--budget", type=int, default=10)
    command.add_argument("--threads", type=int, default=2)
    command = commands.add_parser("report")
    command.add_argument("file", nargs="?", help="write the tables into this file between their markers")
    command.add_argument("--label", default="base")
    command.add_argument("--threads", type=int, default=2, help="of the runs of all sets")
    command.add_argument("--rate", type=int, default=20_000, help="name sets of which fewer rows are predicted in a second")
    args = parser.parse_args()
    if args.command == "run":
        args.sets = GROUPS.get(args.sets) or args.sets.split(",")
        run(args)
    elif args.command == "compare":
        automl_report.compare(automl_report.Results(results(), influence_file), args)
    else:
        automl_report.report(automl_report.Results(results(), influence_file), args)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""Whether settings that won before help a training that has little time: warm_start in the options of automl_train.

    own      a model is trained on six tenths of a table's rows, then again on all of them, from its own history and without it
    half     a model is trained on one half of the rows, then one of another name on the other half, with the first as its only history
    others   a model is trained on a table, with models of all other tables of this benchmark as its history

At most so many rows of each table. All trainings have the same time, or number of trials; of each pair the one that comes first alternates with the
seed. Each pair has the same test rows, 40 % of the table's, which nothing was fitted or chosen on. Loss: 1 - area under the curve, log loss, or root mean squared error.

    warm.py run [--kinds own,half,others] [--sets car,adult] [--seeds 3] [--budget 2 | --trials 6] [--rows 6000] [--for 150]
    warm.py report [docs/benchmarks.md]

Every pair is appended to results/warm.jsonl as it ends; what is found there is not run again. The exit status is 75 when something is left.

Needs PGML_DATA (a folder with the CSV files), a server that has the extension (PGHOST ...) and a superuser in it, python3-pandas, python3-psycopg2,
python3-sklearn. Roles warm_... are made.
"""
import argparse
import collections
import json
import math
import os
import statistics
import sys
import time

import automl_sets as sets
from report import show_report

HERE = os.path.dirname(os.path.abspath(__file__))
RESULTS = os.path.join(HERE, "results", "warm.jsonl")
LEFT = 75
LIBRARY_SECONDS = 6
SETS = ["credit_g", "phoneme", "magic", "credit_default", "adult", "titanic", "spambase", "mammography", "ai4i", "electricity", "hotel",
        "satimage", "letter", "car", "segment", "soybean", "wine_quality", "ames", "california", "bike_hour", "diamonds", "concrete", "abalone"]
KINDS = {"own": "its own earlier version", "half": "a model of the other half of the rows", "others": "models of other tables"}


def make_table(cursor, name, rows):
    """A table of at most so many rows of the set; its name."""
    table = f"{name}_{rows}"
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (table,))
    if not cursor.fetchone()[0]:
        frame = sets.read(name)
        if len(frame) > rows:
            frame = sets.draw(frame, sets.SETS[name], rows, 0)[1]
        sets.load(cursor.connection, table, frame)
        cursor.execute(f"GRANT SELECT ON {table} TO PUBLIC")
    return table


def train(cursor, model, name, data, seed, budget, warm):
    """(loss on the test rows, trials, trials from history)"""
    s = sets.SETS[name]
    cursor.execute("SELECT score, version, trials FROM automl_train(%s, %s, %s, task => %s, metric => %s, id_columns => '{row_number}', test_size => 0.4,"
                   " seed => %s, time_budget => %s, max_trials => %s, options => %s)",
                   (model, data, s.target, s.task, sets.METRIC[s.task], seed, None if budget[1] else f"{budget[0]} s", budget[1] or None,
                    json.dumps({"warm_start": warm})))
    score, version, trials = cursor.fetchone()
    cursor.execute("SELECT count(*) FROM pgml_auto.trial WHERE model = %s AND version = %s AND source IN ('own', 'similar')", (model, version))
    return 1 - score if s.task == "binary" else score, trials, cursor.fetchone()[0]


def part(table, condition):
    return f"SELECT * FROM {table} WHERE hashint8(row_number) & 1023 {condition}"


def drop(cursor, pattern):
    cursor.execute("SELECT automl_drop(name) FROM pgml_auto.model WHERE name LIKE %s", (pattern,))


def compare(cursor, kind, name, table, seed, budget):
    """The losses without and with history."""
    model, warm = "piece", "own" if kind == "own" else "similar"
    data = part(table, ">= 512") if kind == "half" else part(table, ">= 0")
    drop(cursor, "piece%")
    if kind == "own":
        train(cursor, model, name, part(table, "< 614"), seed, budget, "off")
    elif kind == "half":
        train(cursor, "piece_half", name, part(table, "< 512"), seed, budget, "off")
    else:
        make_reader(cursor, name)
        cursor.execute(f"SET ROLE warm_reader_{name}")
    result = {}
    for mode in ("off", warm) if seed % 2 == 0 else (warm, "off"):
        if kind != "own":
            drop(cursor, model)
        result["cold" if mode == "off" else "warm"] = train(cursor, model, name, data, seed, budget, mode)
        if kind == "own":
            cursor.execute("SELECT automl_deploy(%s, 1)", (model,))
    drop(cursor, model)
    cursor.execute("RESET ROLE")
    return result


def make_reader(cursor, name):
    """A role that has the rights of the owners of all other tables' models."""
    cursor.execute("SELECT count(*) FROM pg_roles WHERE rolname = %s", (f"warm_reader_{name}",))
    if cursor.fetchone()[0] == 0:
        cursor.execute(f"CREATE ROLE warm_reader_{name}")
    for other in SETS:
        if other != name:
            cursor.execute(f"GRANT warm_owner_{other} TO warm_reader_{name}")


def make_library(cursor, rows):
    """A model of each table, that of a role of its own."""
    for name in SETS:
        table = make_table(cursor, name, rows)
        cursor.execute("SELECT count(*) FROM pg_roles WHERE rolname = %s", (f"warm_owner_{name}",))
        if cursor.fetchone()[0] == 0:
            cursor.execute(f"CREATE ROLE warm_owner_{name}")
        cursor.execute("SELECT count(*) FROM pgml_auto.model WHERE name = %s", (f"library_{table}",))
        if cursor.fetchone()[0] == 0:
            cursor.execute(f"SET ROLE warm_owner_{name}")
            train(cursor, f"library_{table}", name, part(table, ">= 0"), 0, [LIBRARY_SECONDS, 0], "off")
            cursor.execute("RESET ROLE")


def read_results():
    if not os.path.exists(RESULTS):
        return []
    with open(RESULTS) as file:
        return [json.loads(line) for line in file]


def run(args):
    import psycopg2

    connection = psycopg2.connect(dbname=os.environ.get("PGDATABASE", "postgres"))
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("SET client_min_messages = error")
    cursor.execute("CREATE EXTENSION IF NOT EXISTS pgml_auto")
    budget = [0 if args.trials else args.budget, args.trials, args.rows]
    done = {(r["kind"], r["set"], r["seed"], *r["budget"]) for r in read_results()}
    end = time.time() + args.seconds
    os.makedirs(os.path.dirname(RESULTS), exist_ok=True)
    if "others" in args.kinds.split(","):
        make_library(cursor, args.rows)
    with open(RESULTS, "a") as file:
        for seed in range(args.first, args.first + args.seeds):
            for name in args.sets.split(",") if args.sets else SETS:
                for kind in args.kinds.split(","):
                    if (kind, name, seed, *budget) in done:
                        continue
                    if time.time() > end:
                        return LEFT
                    result = compare(cursor, kind, name, make_table(cursor, name, args.rows), seed, budget)
                    file.write(json.dumps({"kind": kind, "set": name, "seed": seed, "budget": budget, **result}) + "\n")
                    file.flush()
    return 0


def report(args):
    rows = collections.defaultdict(list)
    for r in read_results():
        if r["warm"][2] > 0:
            rows[tuple(r["budget"]), r["kind"]].append(r)
    text = ("| history | rows | budget | tables | pairs | lower loss | higher | mean of loss | median | trials from history |\n"
            "|---|---:|---|---:|---:|---:|---:|---:|---:|---:|\n")
    for ((seconds, trials, most), kind), pairs in sorted(rows.items()):
        budget = f"{trials} trials" if trials else f"{seconds:g} s"
        ratio = [math.log(max(r["warm"][0], 1e-6) / max(r["cold"][0], 1e-6)) for r in pairs]
        error = statistics.stdev(ratio) / len(ratio) ** 0.5 if len(ratio) > 1 else float("nan")
        text += (f"| {KINDS[kind]} | {most:,} | {budget} | {len({r['set'] for r in pairs})} | {len(pairs)} | {sum(x < 0 for x in ratio)} | {sum(x > 0 for x in ratio)} | "
                 f"{100 * statistics.mean(ratio):+.1f} % ± {100 * error:.1f} | {100 * statistics.median(ratio):+.1f} % | "
                 f"{statistics.mean(r['warm'][2] for r in pairs):.1f} of {statistics.mean(r['warm'][1] for r in pairs):.1f} |\n")
    show_report(args.page, "warm", text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    runner = verbs.add_parser("run")
    runner.add_argument("--kinds", default=",".join(KINDS))
    runner.add_argument("--sets")
    runner.add_argument("--seeds", type=int, default=3)
    runner.add_argument("--first", type=int, default=1, help="the first seed")
    runner.add_argument("--budget", type=float, default=2)
    runner.add_argument("--trials", type=int, default=0, help="so many trials instead of time")
    runner.add_argument("--rows", type=int, default=6000)
    runner.add_argument("--for", dest="seconds", type=float, default=1e9)
    reporter = verbs.add_parser("report")
    reporter.add_argument("page", nargs="?")
    args = parser.parse_args()
    if args.verb == "run":
        sys.exit(run(args))
    report(args)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""The search strategies of automl_train against random search, at equal numbers of trials (halving: of equal work, in whole trials).

For each set, at most 400, 1,000 or 6,000 rows of it, and each seed, 40 % of the rows are scored, and three folds of the others validate; all
strategies have the same rows, folds and default settings, and no ensemble. Two figures are compared: the loss of the best trial
on the folds, which is what a strategy lowers, and the loss of that model on the rows it never saw. A strategy beats random search on a set when
its mean over the seeds is lower.

    search.py run [--space boosting] [--sets concrete,car] [--strategies bayes] [--seeds 3] [--for 150]
    search.py report [docs/benchmarks.md]

Every piece is appended to results/search.jsonl as it ends; what is found there is not run again. The exit status is 75 when something is left.

Needs PGML_DATA (a folder with the CSV files), a server that has the extension (PGHOST ...), python3-pandas, python3-psycopg2, python3-sklearn.
"""
import argparse
import collections
import io
import json
import os
import statistics
import sys
import time

import automl_sets as sets
from report import show_report

HERE = os.path.dirname(os.path.abspath(__file__))
RESULTS = os.path.join(HERE, "results", "search.jsonl")
LEFT = 75

# Halving needs rows to begin with few of.
SMALL = ["credit_g", "phoneme", "titanic", "spambase", "magic", "mammography", "car", "segment", "satimage", "soybean", "concrete", "abalone",
         "wine_quality", "california", "bike_hour"]
LARGE = ["phoneme", "spambase", "magic", "mammography", "credit_default", "adult", "electricity", "satimage", "wine_quality", "california", "bike_hour",
         "diamonds"]
FEW = ["credit_g", "phoneme", "titanic", "magic", "spambase", "car", "segment", "concrete", "abalone", "california"]

# what is searched: rows, sets, algorithms, fixed settings, trials, strategies besides random
Space = collections.namedtuple("Space", "rows sets algorithms hyperparams trials strategies words")
ROUNDS = {"n_estimators": 300, "early_stopping_round": 30}
SPACES = {
    "boosting": Space(1000, SMALL, ["gradient_boosting"], ROUNDS, 25, ["bayes"], "gradient boosting"),
    "several": Space(1000, SMALL, ["gradient_boosting", "random_forest", "svm", "knn"], ROUNDS, 30, ["bayes", "halving"],
                     "gradient boosting, forests, kernels, neighbours"),
    "large": Space(6000, LARGE, ["gradient_boosting"], ROUNDS, 25, ["bayes", "halving"], "gradient boosting"),
    "networks": Space(400, FEW, ["mlp"], {"max_iter": 72}, 8, ["nas"], "networks of at most 72 epochs"),
}


def make_table(cursor, name, rows):
    """A table of at most so many rows of the set; its name."""
    import pandas as pd

    table = f"{name}_{rows}"
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (table,))
    if cursor.fetchone()[0]:
        return table
    s = sets.SETS[name]
    frame = sets.read(name)
    if len(frame) > rows:
        frame = sets.draw(frame, s, rows, 0)[1]
    kinds = ["double precision" if pd.api.types.is_numeric_dtype(frame[c]) else "text" for c in frame.columns]
    columns = ", ".join('"%s" %s' % (c.replace('"', '""'), k) for c, k in zip(frame.columns, kinds))
    cursor.execute(f"CREATE TABLE {table} (row_number integer PRIMARY KEY, {columns})")
    text = io.StringIO()
    frame.to_csv(text, header=False)
    text.seek(0)
    cursor.copy_expert(f"COPY {table} FROM STDIN WITH (FORMAT csv)", text)
    return table


def loss(task, score):
    return 1 - score if task == "binary" else score


def run_one(cursor, table, space_name, name, strategy, seed):
    """One search; its losses."""
    space, s = SPACES[space_name], sets.SETS[name]
    model = f"{name}_{strategy}"
    started = time.time()
    cursor.execute("SELECT automl_drop(name) FROM pgml_auto.model WHERE name = %s", (model,))
    cursor.execute("SELECT score, metric FROM automl_train(%s, %s, %s, task => %s, metric => %s, algorithms => %s, hyperparams => %s, max_trials => %s,"
                   " seed => %s, test_size => 0.4, search => %s, options => '{\"folds\": 3, \"ensemble\": 1}')",
                   (model, table, s.target, s.task, sets.METRIC[s.task], space.algorithms, json.dumps(space.hyperparams), space.trials, seed, strategy))
    test = cursor.fetchone()[0]
    cursor.execute("SELECT count(*), max(validation_score) FILTER (WHERE chosen), sum(fit_cpu_seconds) FROM pgml_auto.trial WHERE model = %s",
                   (model,))
    trials, validation, cpu = cursor.fetchone()
    return {"space": space_name, "set": name, "strategy": strategy, "seed": seed, "validation": loss(s.task, validation), "test": loss(s.task, test),
            "trials": trials, "cpu": cpu, "seconds": round(time.time() - started, 2)}


def read_results():
    if not os.path.exists(RESULTS):
        return []
    with open(RESULTS) as file:
        return [json.loads(line) for line in file]


def pieces(args):
    for space in args.space.split(","):
        for seed in range(1, args.seeds + 1):
            for name in args.sets.split(",") if args.sets else SPACES[space].sets:
                for strategy in ["random"] + SPACES[space].strategies:
                    if args.strategies is None or strategy in args.strategies.split(","):
                        yield space, name, strategy, seed


def run(args):
    import psycopg2

    connection = psycopg2.connect(dbname=os.environ.get("PGDATABASE", "postgres"))
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("SET client_min_messages = error")
    cursor.execute("CREATE EXTENSION IF NOT EXISTS pgml_auto")
    done = {(r["space"], r["set"], r["strategy"], r["seed"]) for r in read_results()}
    end = time.time() + args.seconds
    os.makedirs(os.path.dirname(RESULTS), exist_ok=True)
    with open(RESULTS, "a") as file:
        for piece in pieces(args):
            if piece in done:
                continue
            if time.time() > end:
                return LEFT
            table = make_table(cursor, piece[1], SPACES[piece[0]].rows)
            file.write(json.dumps(run_one(cursor, table, *piece)) + "\n")
            file.flush()
    return 0


def compare(rows, space, strategy, figure):
    """(sets on which the strategy beats random search, sets on which it loses, median relative difference of the losses)"""
    found = collections.defaultdict(dict)
    for r in rows:
        if r["space"] == space:
            found[r["set"], r["seed"]][r["strategy"]] = r[figure]
    by_set = collections.defaultdict(list)
    for (name, _), losses in found.items():
        if "random" in losses and strategy in losses:
            by_set[name].append((losses[strategy], losses["random"]))
    means = [(statistics.mean(a for a, _ in v), statistics.mean(b for _, b in v)) for v in by_set.values()]
    return (sum(a < b for a, b in means), sum(a > b for a, b in means),
            statistics.median(a / b - 1 for a, b in means) if means else float("nan"))


def report(args):
    rows = read_results()
    text = ("| searched | rows | strategy | trials | better on the folds | worse | loss | better on the test rows | worse | loss |\n"
            "|---|---:|---|---:|---:|---:|---:|---:|---:|---:|\n")
    for name, space in SPACES.items():
        for strategy in space.strategies:
            a, b = compare(rows, name, strategy, "validation"), compare(rows, name, strategy, "test")
            if a[0] + a[1] > 0:
                text += (f"| {space.words} | {space.rows:,} | `{strategy}` | {space.trials} | {a[0]} sets | {a[1]} | {100 * a[2]:+.1f} % | {b[0]} sets | {b[1]} | "
                         f"{100 * b[2]:+.1f} % |\n")
    show_report(args.page, "search", text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    runner = verbs.add_parser("run")
    runner.add_argument("--space", default=",".join(SPACES))
    runner.add_argument("--sets")
    runner.add_argument("--strategies")
    runner.add_argument("--seeds", type=int, default=3)
    runner.add_argument("--for", dest="seconds", type=float, default=1e9)
    reporter = verbs.add_parser("report")
    reporter.add_argument("page", nargs="?")
    args = parser.parse_args()
    if args.verb == "run":
        sys.exit(run(args))
    report(args)


if __name__ == "__main__":
    main()

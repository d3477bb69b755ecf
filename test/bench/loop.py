#!/usr/bin/python3
"""The whole loop, from a table to a model to a table of predictions, in the database and in Python beside it.

Table: 1,000,000 rows, a key, 28 columns of type real, a label.  Both grow 500 trees of 31 leaves at a learning rate of 0.1 on nine tenths of the rows,
score the tenth, predict all rows and leave the predictions in a table; both have two threads.  They take turns, and medians are quoted.
Needs a server that has the extension (PGHOST ...), python3-psycopg2, python3-numpy, python3-xgboost, python3-sklearn.
Usage: loop.py [--rows N] [--trees N] [--rounds N] [--report FILE]
"""
import argparse
import json
import os
import statistics
import time

import numpy

import tables
from report import write_report

TABLE = "bench_loop"
THREADS = 2
LEAVES = 31
RATE = 0.1
HELD_OUT = 0.1


class Clock:
    """Seconds between the steps."""

    def __init__(self):
        self.steps = {}
        self.last = time.perf_counter()

    def step(self, name):
        now = time.perf_counter()
        self.steps[name] = now - self.last
        self.last = now


def in_database(cursor, trees):
    hyperparams = {"n_estimators": trees, "num_leaves": LEAVES, "learning_rate": RATE, "min_data_in_leaf": 20, "lambda_l2": 1, "feature_fraction": 1}
    cursor.execute("DROP TABLE IF EXISTS bench_predictions")
    cursor.execute("SELECT automl_drop(name) FROM pgml_auto.model WHERE name = 'bench_loop'")
    clock = Clock()
    cursor.execute(f"SELECT score FROM automl_train('bench_loop', '{TABLE}', 'label', algorithms => '{{gradient_boosting}}', max_trials => 1, "
                   "test_size => 0, options => '{\"folds\": 1, \"refit\": false}', hyperparams => %s)", (json.dumps(hyperparams),))
    score = cursor.fetchone()[0]
    clock.step("train")
    cursor.execute(f"CREATE TABLE bench_predictions AS SELECT id, predict_proba('bench_loop', t) AS p FROM {TABLE} t")
    clock.step("predict")
    return clock.steps, score


def in_python(cursor, trees):
    import xgboost
    from sklearn.metrics import roc_auc_score

    cursor.execute("DROP TABLE IF EXISTS bench_predictions")
    clock = Clock()
    rows = tables.copy_out(cursor, TABLE)
    clock.step("copy out")
    x = numpy.empty((len(rows), tables.COLUMNS), dtype=numpy.float32)
    for k, name in enumerate(tables.NAMES):
        x[:, k] = rows[name]
    y = rows["label"].astype(numpy.float32)
    held_out = numpy.random.default_rng(1).random(len(rows)) < HELD_OUT
    clock.step("parse")
    train = xgboost.DMatrix(x[~held_out], y[~held_out], nthread=THREADS)
    booster = xgboost.train({"objective": "binary:logistic", "tree_method": "hist", "grow_policy": "lossguide", "max_leaves": LEAVES, "max_depth": 0,
                             "max_bin": 255, "eta": RATE, "lambda": 1, "nthread": THREADS}, train, trees)
    clock.step("train")
    p = booster.predict(xgboost.DMatrix(x, nthread=THREADS))
    score = roc_auc_score(y[held_out], p[held_out])
    clock.step("predict")
    out = numpy.zeros(len(rows), tables.PREDICTION)
    out["fields"], out["id_length"], out["id"], out["length"], out["p"] = 2, 8, rows["id"], 8, p
    cursor.execute("CREATE TABLE bench_predictions (id bigint, p double precision)")
    tables.copy_in(cursor, "bench_predictions", out)
    clock.step("copy in")
    return clock.steps, score


def medians(rounds):
    steps = {name: statistics.median(steps[name] for steps, _ in rounds) for name in rounds[0][0]}
    return steps, statistics.median(sum(steps.values()) for steps, _ in rounds), statistics.median(score for _, score in rounds)


def row(name, result):
    steps, total, score = result
    cells = [f"{steps[step]:.2f} s" if step in steps else "" for step in ("copy out", "parse", "train", "predict", "copy in")]
    return f"| {name} | {' | '.join(cells)} | **{total:.2f} s** | {score:.4f} |"


def main():
    import psycopg2

    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--trees", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--report", help="write the table into this file between its markers")
    args = parser.parse_args()
    connection = psycopg2.connect("")
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("CREATE EXTENSION IF NOT EXISTS pgml_auto")
    cursor.execute(f"SET pgml_auto.max_threads = {THREADS}")
    cursor.execute("SET pgml_auto.max_memory = '4GB'")
    cursor.execute(f"SET max_parallel_workers_per_gather = {THREADS - 1}")
    tables.make_table(cursor, TABLE, args.rows)
    ours, theirs = [], []
    for number in range(args.rounds):
        theirs.append(in_python(cursor, args.trees))
        ours.append(in_database(cursor, args.trees))
        print(f"round {number + 1}: Python {theirs[-1]}, database {ours[-1]}", flush=True)
    python, database = medians(theirs), medians(ours)
    text = ("| | copy out | parse | train | predict | copy in | all | ROC AUC, held out |\n|---|---:|---:|---:|---:|---:|---:|---:|\n"
            + row("psycopg2, NumPy, XGBoost 1.7 `hist`", python) + "\n" + row("pgml_auto", database) + "\n\n"
            + f"{args.rows:,} rows, {args.trees} trees, medians of {args.rounds}: "
            + f"the loop in the database takes 1/{python[1] / database[1]:.2f} of the time.\n")
    print(text)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "results", "loop.json"), "w") as file:
        json.dump({"rows": args.rows, "trees": args.trees, "python": theirs, "database": ours}, file, indent=1)
        file.write("\n")
    if args.report:
        write_report(args.report, "loop", text)


if __name__ == "__main__":
    main()

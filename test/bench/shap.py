#!/usr/bin/python3
"""How long exact explanations take: pgml_auto's TreeSHAP beside XGBoost's pred_contribs, one thread, CPU seconds.

Both explain the same rows by models of the same form - 100 trees of 255 leaves, and 500 of 31 - that each has fitted itself to the same rows.
The learner and the explanations are compiled from the core with boosting.c, as the extension compiles them.  Every program adds up: the
largest difference between a row's contributions with the base and its score is shown.

Needs a C compiler, python3-xgboost.  Usage: shap.py [--rounds N] [--report FILE]
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from boosting import compile_driver, numeric_table
from report import write_report

RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results", "shap.json")
LEARN, EXPLAIN = 100_000, 2_000


def write_table(path, x, y, rows):
    """The form that boosting.c reads: rows to learn from, and those to explain."""
    with open(path, "wb") as file:
        np.array([LEARN, rows, x.shape[1], 2], np.int64).tofile(file)
        np.zeros(x.shape[1], np.int64).tofile(file)
        np.ascontiguousarray(x[:LEARN + rows].T).tofile(file)
        y[:LEARN].tofile(file)


def explain_own(binary, path, trees, leaves, features):
    """(CPU seconds of preparing, of explaining, largest error of a sum)"""
    out = subprocess.run([binary, path, "2", f"n_estimators={trees}", f"num_leaves={leaves}", "learning_rate=0.1", "lambda_l2=1",
                          "explain=1"], check=True, capture_output=True, text=True).stdout.split()
    phi = np.fromfile(path + ".phi").reshape(-1, features + 1)
    p = np.fromfile(path + ".out")
    return float(out[2]), float(out[3]), float(np.abs(phi.sum(1) - np.log(p / (1 - p))).max())


def fit_xgboost(x, y, trees, leaves):
    import xgboost

    settings = {"objective": "binary:logistic", "tree_method": "hist", "max_bin": 255, "eta": 0.1, "lambda": 1, "grow_policy": "lossguide",
                "max_leaves": leaves, "max_depth": 0, "nthread": 2}
    booster = xgboost.train(settings, xgboost.DMatrix(x[:LEARN], y[:LEARN]), trees)
    booster.set_param({"nthread": 1})
    return booster


def explain_xgboost(booster, x):
    """(0, CPU seconds, largest error of a sum)"""
    import xgboost

    matrix = xgboost.DMatrix(x[LEARN:LEARN + EXPLAIN], nthread=1)
    start = time.process_time()
    phi = booster.predict(matrix, pred_contribs=True)
    seconds = time.process_time() - start
    return 0.0, seconds, float(np.abs(phi.sum(1) - booster.predict(matrix, output_margin=True)).max())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--report", help="write the table into this file between its markers")
    args = parser.parse_args()
    x, _, y = numeric_table(LEARN + EXPLAIN)
    lines = ["| trees x leaves | pgml_auto, rows/s | XGBoost, rows/s | CPU ratio | one row alone | preparing | largest error of a sum | XGBoost's |",
             "|---|---:|---:|---:|---:|---:|---:|---:|"]
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        binary = compile_driver(folder)
        many, one = os.path.join(folder, "many"), os.path.join(folder, "one")
        write_table(many, x, y, EXPLAIN)
        write_table(one, x, y, 1)
        for trees, leaves in ((100, 255), (500, 31)):
            booster = fit_xgboost(x, y, trees, leaves)
            runs = {"own": [], "one": [], "xgboost": []}
            for _ in range(args.rounds):
                runs["own"].append(explain_own(binary, many, trees, leaves, x.shape[1]))
                runs["one"].append(explain_own(binary, one, trees, leaves, x.shape[1]))
                runs["xgboost"].append(explain_xgboost(booster, x))
                print(trees, leaves, *(f"{who} {run[-1][1]:.4f}" for who, run in runs.items()), file=sys.stderr, flush=True)
            own, alone, peer = ([statistics.median(c) for c in zip(*runs[who])] for who in ("own", "one", "xgboost"))
            results[f"{trees} x {leaves}"] = {"own": own, "one": alone, "xgboost": peer}
            lines.append(f"| {trees} x {leaves} | {EXPLAIN / own[1]:,.0f} | {EXPLAIN / peer[1]:,.0f} | {own[1] / peer[1]:.3f} | "
                         f"{alone[1] * 1e3:.1f} ms | {own[0] * 1e3:.1f} ms | {own[2]:.0e} | {peer[2]:.0e} |")
    text = "\n".join(lines) + "\n"
    print(text)
    with open(RESULTS, "w") as file:
        json.dump(results, file, indent=1)
    if args.report:
        write_report(args.report, "shap", text)


if __name__ == "__main__":
    main()

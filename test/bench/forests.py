#!/usr/bin/python3
"""How fast forests are grown and scored: pgml_auto's random_forest and extra_trees beside scikit-learn's, with the AUC of both.

The learners are compiled from the core with boosting.c, as the extension compiles them, and read their table from a file.  Both sides are
given the same float32 rows (28 numeric features, see boosting.py) and grow full trees with one thread, the square root of the features for each
split, no smoothing of leaves; times are CPU seconds, of a fit with cutting into bins included.  scikit-learn's figures are kept in
results/forests_peer.json, as they take minutes; --peer makes them anew.

Needs a C compiler, python3-sklearn.  Usage: forests.py [--trees N] [--large N] [--peer] [--report FILE]
"""
import argparse
import json
import os
import subprocess
import tempfile
import time

import numpy as np

import boosting
from report import write_report

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results")
LEARN, TEST = 200_000, 50_000


def auc(y, p):
    from sklearn.metrics import roc_auc_score

    return roc_auc_score(y[LEARN:], p)


def own(binary, path, y, learner, trees, threads=1):
    """CPU and wall seconds of the fit, rows scored a second in blocks, bytes, AUC."""
    out = subprocess.run([binary, path, str(threads), "learner=" + learner, f"n_estimators={trees}", "leaf_smoothing=0"], check=True,
                         capture_output=True, text=True).stdout.split()
    return {"cpu": float(out[0]), "wall": float(out[1]), "rows": TEST / float(out[3]), "bytes": int(out[4]),
            "auc": auc(y, np.fromfile(path + ".out"))}


def scikit(x, y, learner, trees):
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

    model = {"random_forest": RandomForestClassifier, "extra_trees": ExtraTreesClassifier}[learner](trees, random_state=1, n_jobs=1)
    start = time.process_time()
    model.fit(x[:LEARN], y[:LEARN])
    fit = time.process_time() - start
    start = time.process_time()
    p = model.predict_proba(x[LEARN:])[:, 1]
    return {"cpu": fit, "rows": TEST / (time.process_time() - start), "auc": auc(y, p)}


def peer(x, y, trees, anew):
    path = os.path.join(FOLDER, "forests_peer.json")
    known = {}
    if os.path.exists(path) and not anew:
        with open(path) as file:
            known = json.load(file)
    for learner in ("random_forest", "extra_trees"):
        name = f"{learner}, {trees} trees"
        if name not in known:
            known[name] = scikit(x, y, learner, trees)
    with open(path, "w") as file:
        json.dump(known, file, indent=1)
    return known


def line(name, a, b):
    if b is None:
        return f"| {name} | {a['cpu']:.1f} s | | | {a['wall2']:.1f} s | {a['auc']:.4f} | | {a['rows']:,.0f} | | {a['bytes'] / 1e6:.0f} MB |"
    return (f"| {name} | {a['cpu']:.1f} s | {b['cpu']:.1f} s | {a['cpu'] / b['cpu']:.2f} | {a['wall2']:.1f} s | {a['auc']:.4f} | {b['auc']:.4f} | "
            f"{a['rows']:,.0f} | {b['rows']:,.0f} | {a['bytes'] / 1e6:.0f} MB |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--large", type=int, default=500, help="trees of the forest that is only scored; 0: none")
    parser.add_argument("--peer", action="store_true", help="measure scikit-learn anew")
    parser.add_argument("--report", help="write the table into this file between its markers")
    args = parser.parse_args()
    boosting.LEARN = LEARN
    x, levels, y = boosting.numeric_table(LEARN + TEST)
    others = peer(x, y, args.trees, args.peer)
    lines = ["| forest | fit, CPU | scikit-learn | ratio | 2 threads, wall | AUC | scikit-learn | rows scored / s | scikit-learn | model |",
             "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"]
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        binary = boosting.compile_driver(folder)
        path = os.path.join(folder, "table")
        boosting.write_table(path, x, levels, y)
        for learner, trees in (("random_forest", args.trees), ("extra_trees", args.trees), ("random_forest", args.large)):
            if trees == 0:
                continue
            name = f"{learner}, {trees} trees"
            results[name] = own(binary, path, y, learner, trees)
            results[name]["wall2"] = own(binary, path, y, learner, trees, 2)["wall"]
            lines.append(line(name, results[name], others.get(name)))
    text = "\n".join(lines) + "\n"
    print(text)
    with open(os.path.join(FOLDER, "forests.json"), "w") as file:
        json.dump(results, file, indent=1)
    if args.report:
        write_report(args.report, "forests", text)


if __name__ == "__main__":
    main()

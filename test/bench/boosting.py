#!/usr/bin/python3
"""How fast gradient boosting trains: pgml_auto's learner beside XGBoost's `hist`, with the AUC of both and of scikit-learn.

The learner is compiled from the core with boosting.c, as the extension compiles it, and reads its table from a file.  Both are given the
same float32 rows and fit in turns; medians are quoted.  A fit includes cutting into bins for both: XGBoost does that in its first round.
Making XGBoost's DMatrix is not counted.  One thread: CPU seconds; two: wall seconds.  Two fits at once, one thread each, tell what two threads
could gain at most here.

Needs a C compiler, python3-sklearn, python3-xgboost.  Usage: boosting.py [--rounds N] [--quick] [--report FILE]
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

from report import write_report

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results", "boosting.json")
CORE = ("core", "data", "stats", "prep", "learner")
LEARN, TEST = 800_000, 200_000
LEVELS = (7, 12, 30, 60, 120, 300)


def compile_driver(folder):
    """The learner with its driver, compiled with the extension's flags."""
    binary = os.path.join(folder, "boosting")
    sources = [os.path.join(ROOT, "src", part, name) for part in CORE
               for name in sorted(os.listdir(os.path.join(ROOT, "src", part))) if name.endswith(".c")]
    subprocess.run([os.environ.get("CC", "gcc"), "-std=gnu11", "-O3", "-ffp-contract=off", "-pthread", "-I" + os.path.join(ROOT, "src"),
                    "-o", binary, os.path.join(ROOT, "test", "bench", "boosting.c"), *sources, "-ldl", "-lm"], check=True)
    return binary


def numeric_table(n, seed=7):
    """28 numeric features of a physicist's kind: bells, heavy tails, four with three values; products and thresholds decide."""
    r = np.random.default_rng(seed)
    x = r.standard_normal((n, 28)).astype(np.float32)
    x[:, 5] = np.exp(x[:, 5])
    x[:, 9] = np.exp(1.5 * x[:, 9])
    x[:, 13] = r.standard_cauchy(n).clip(-1e4, 1e4)
    x[:, 21] = r.exponential(1, n)
    for f in (8, 12, 16, 20):
        x[:, f] = r.choice([0, 1.1, 2.2], n, p=[.5, .3, .2])
    x[:, 3] = np.round(x[:, 3] * 4) / 4
    x[:, 7] = r.uniform(-1.7, 1.7, n)

    def mass(a, b):
        return np.sqrt(np.abs(x[:, a] * x[:, b]) + .3)

    z = (0.9 * x[:, 0] * x[:, 1] + 0.8 * np.sin(2 * x[:, 2]) * x[:, 4] + 0.7 * np.log1p(x[:, 5]) * x[:, 6]
         - 0.5 * np.log1p(x[:, 9]) + 0.6 * (x[:, 8] > 1) * x[:, 10] + 0.5 * np.tanh(x[:, 13]) * x[:, 11] - 0.8 * mass(22, 23)
         + 0.7 * mass(24, 25) * np.sign(x[:, 26]) + 0.3 * x[:, 27]**2 + 0.5 * (x[:, 12] > 2) - 0.4 * x[:, 21] * x[:, 7])
    y = (r.random(n) < 1 / (1 + np.exp(-0.9 * (z - np.median(z))))).astype(np.float64)
    return x, [0] * 28, y


def mixed_table(n, seed=8):
    """Six categorical columns (falling frequencies, an effect for each level) and four numeric ones."""
    r = np.random.default_rng(seed)
    x = np.empty((n, 10), np.float32)
    z = np.zeros(n)
    for f, levels in enumerate(LEVELS):
        weight = 1 / (1 + np.arange(levels))**0.7
        x[:, f] = r.choice(levels, n, p=weight / weight.sum())
        z += 0.5 * r.standard_normal(levels)[x[:, f].astype(int)]
    x[:, 6:] = r.standard_normal((n, 4))
    z += 0.8 * x[:, 6] * r.standard_normal(LEVELS[2])[x[:, 2].astype(int)] + 0.5 * np.sin(3 * x[:, 7]) + 0.4 * x[:, 8] * x[:, 9]
    y = (r.random(n) < 1 / (1 + np.exp(-0.9 * z))).astype(np.float64)
    return x, list(LEVELS) + [0] * 4, y


def write_table(path, x, levels, y):
    """The form that boosting.c reads."""
    with open(path, "wb") as file:
        np.array([LEARN, len(x) - LEARN, x.shape[1], 2], np.int64).tofile(file)
        np.array(levels, np.int64).tofile(file)
        np.ascontiguousarray(x.T).tofile(file)
        y[:LEARN].tofile(file)


def auc(y, p):
    from sklearn.metrics import roc_auc_score

    return roc_auc_score(y[LEARN:], p)


class Own:
    """The learner of the extension."""

    def __init__(self, binary, path, y, *settings):
        self.binary, self.path, self.y, self.settings = binary, path, y, settings

    def arguments(self, trees, leaves):
        """The settings, as the driver takes them."""
        return [f"n_estimators={trees}", f"num_leaves={leaves}", "learning_rate=0.1", "max_bin=255", "lambda_l2=1", *self.settings]

    def fit(self, trees, leaves, threads):
        """(CPU seconds, wall seconds, AUC)"""
        out = subprocess.run([self.binary, self.path, str(threads), *self.arguments(trees, leaves)], check=True, capture_output=True,
                             text=True).stdout.split()
        return float(out[0]), float(out[1]), auc(self.y, np.fromfile(self.path + ".out"))

    def fit_two(self, trees, leaves):
        """Wall seconds of two fits at once that share nothing, each with one thread: what the cores of this machine allow."""
        link = self.path + ".too"
        if not os.path.exists(link):
            os.symlink(self.path, link)
        fits = [subprocess.Popen([self.binary, path, "1", *self.arguments(trees, leaves)], stdout=subprocess.PIPE, text=True)
                for path in (self.path, link)]
        return max(float(fit.communicate()[0].split()[1]) for fit in fits)


class XGBoost:
    """XGBoost on one of the forms that it can be given."""

    def __init__(self, x, levels, y, form, **settings):
        import pandas as pd
        import xgboost

        self.xgboost, self.y, self.form, self.settings = xgboost, y, form, settings
        self.categorical = form == "categories"
        if form == "categories":
            x = pd.DataFrame({f"x{f}": pd.Categorical(x[:, f].astype(int), categories=range(n)) if n else x[:, f]
                              for f, n in enumerate(levels)})
        elif form == "one-hot":
            from scipy import sparse
            from sklearn.preprocessing import OneHotEncoder

            cat = [f for f, n in enumerate(levels) if n]
            num = [f for f, n in enumerate(levels) if not n]
            x = sparse.hstack([OneHotEncoder(dtype=np.float32).fit_transform(x[:, cat]), sparse.csr_matrix(x[:, num])]).tocsr()
        self.learn, self.test = x[:LEARN], x[LEARN:]
        self.test_matrix = xgboost.DMatrix(self.test, enable_categorical=self.categorical)

    def fit(self, trees, leaves, threads):
        """(CPU seconds, wall seconds, AUC)"""
        matrix = self.xgboost.DMatrix(self.learn, self.y[:LEARN], nthread=threads, enable_categorical=self.categorical)
        settings = {"objective": "binary:logistic", "tree_method": "hist", "max_bin": 255, "eta": 0.1, "lambda": 1, "grow_policy": "lossguide",
                    "max_leaves": leaves, "max_depth": 0, "nthread": threads, **self.settings}
        cpu, wall = time.process_time(), time.perf_counter()
        booster = self.xgboost.train(settings, matrix, trees)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        return cpu, wall, auc(self.y, booster.predict(self.test_matrix))


def scikit(x, y, trees, leaves):
    """AUC of HistGradientBoosting."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(max_iter=trees, max_leaf_nodes=leaves, learning_rate=0.1, l2_regularization=1,
                                           early_stopping=False)
    model.fit(x[:LEARN], y[:LEARN])
    return auc(y, model.predict_proba(x[LEARN:])[:, 1])


def compare(own, peer, trees, leaves, rounds):
    """Medians of both, in turns: {who: {threads: (CPU, wall, AUC)}}, and of two fits at once: {"at once": wall}"""
    seen, at_once = {}, []
    for _ in range(rounds):
        for threads in (1, 2):
            for who, learner in (("own", own), ("xgboost", peer)):
                seen.setdefault(who, {}).setdefault(threads, []).append(learner.fit(trees, leaves, threads))
                print(who, threads, "%.2f %.2f %.4f" % seen[who][threads][-1], file=sys.stderr, flush=True)
        at_once.append(own.fit_two(trees, leaves))
        print("at once %.2f" % at_once[-1], file=sys.stderr, flush=True)
    medians = {who: {t: [statistics.median(column) for column in zip(*runs)] for t, runs in by.items()} for who, by in seen.items()}
    return {**medians, "at once": statistics.median(at_once)}


def line(name, result, scikit_auc):
    """A row of the table."""
    own, peer = result["own"], result["xgboost"]
    gain = {who: result[who][1][1] / result[who][2][1] for who in ("own", "xgboost")}
    most = 2 * own[1][1] / result["at once"]
    return (f"| {name} | {own[1][0]:.1f} s | {peer[1][0]:.1f} s | {own[1][0] / peer[1][0]:.2f} | {own[2][1]:.1f} s | {peer[2][1]:.1f} s | "
            f"{gain['own']:.2f} | {most:.2f} | {gain['xgboost']:.2f} | {own[1][2]:.4f} | {peer[1][2]:.4f} | {scikit_auc} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a fifth of the trees")
    parser.add_argument("--report", help="write the table into this file between its markers")
    args = parser.parse_args()
    share = 5 if args.quick else 1
    lines = ["| table, trees x leaves | pgml_auto, CPU | XGBoost, CPU | ratio | 2 threads, wall | XGBoost | gain of 2 | two at once | XGBoost's | AUC | "
             "XGBoost | scikit-learn |", "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"]
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        binary = compile_driver(folder)
        path = os.path.join(folder, "table")
        x, levels, y = numeric_table(LEARN + TEST)
        write_table(path, x, levels, y)
        # By default 0.27 of so many rows are drawn, by gradient, for each tree; XGBoost takes all unless told otherwise.
        rivals = {"": (Own(binary, path, y), XGBoost(x, levels, y, "numbers")),
                  ", all rows": (Own(binary, path, y, "mvs_fraction=1"), XGBoost(x, levels, y, "numbers")),
                  ", both 0.27 of the rows": (Own(binary, path, y), XGBoost(x, levels, y, "numbers", subsample=(100_000 / LEARN)**0.625))}
        for trees, leaves in ((100 // share, 255), (500 // share, 31)):
            auc_of_scikit = f"{scikit(x, y, trees, leaves):.4f}"
            for form, (own, peer) in rivals.items():
                name = f"28 numeric, {trees} x {leaves}{form}"
                results[name] = compare(own, peer, trees, leaves, args.rounds)
                lines.append(line(name, results[name], auc_of_scikit))
        x, levels, y = mixed_table(LEARN + TEST)
        write_table(path, x, levels, y)
        own = Own(binary, path, y)
        for form in ("categories", "one-hot", "numbers"):
            name = f"mixed, {200 // share} x 63, XGBoost by {form}"
            results[name] = compare(own, XGBoost(x, levels, y, form), 200 // share, 63, args.rounds)
            lines.append(line(name, results[name], ""))
    text = "\n".join(lines) + "\n"
    print(text)
    with open(RESULTS, "w") as file:
        json.dump(results, file, indent=1)
    if args.report:
        write_report(args.report, "boosting", text)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""The learners knn and naive_bayes beside scikit-learn's: the same predictions, and the CPU time of one thread.

The learners are compiled from the core with boosting.c, as the extension compiles them.  Data sets are those in the folder PGML_DATA; a quarter
of the rows is predicted.

knn: numbers are standardised here, so that all sides have the same float32 matrix; scikit-learn gets categories one-hot.  Its brute force is timed
with float32 and with float64, and its k-d tree; the fastest is quoted.  Times are of fit and prediction.  Predictions are compared with those of its
k-d tree, which measures distances directly; rows whose k-th and next neighbour are equally far (to 1e-9) may differ and are counted.

naive_bayes: GaussianNB, MultinomialNB, BernoulliNB and CategoricalNB with their defaults; the largest difference of a probability is quoted.

Needs a C compiler, python3-sklearn, python3-pandas.  Usage: PGML_DATA=... neighbours_bayes.py [--times N] [--only NAME] [--report FILE]
"""
import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import json
import statistics
import subprocess
import tempfile
import time
import warnings

import numpy as np

import boosting
from report import write_report

RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results", "neighbours_bayes.json")
REGRESSION = ("california", "diamonds")

# file, target, neighbours, other settings
NEIGHBOURS = {
    "phoneme": ("phoneme.csv", "Class", 5, {}),
    "magic": ("magic_telescope.csv", "class", 5, {}),
    "magic, 50 by distance": ("magic_telescope.csv", "class", 50, {"weights": "distance"}),
    "letter": ("letter.csv", "letter", 5, {}),
    "letter, manhattan": ("letter.csv", "letter", 5, {"metric": "manhattan"}),
    "satimage": ("satimage.csv", "classes", 5, {}),
    "spambase": ("spambase.csv", "type", 5, {}),
    "california": ("california_housing.csv", "median_house_value", 5, {}),
    "diamonds": ("diamonds.csv", "price", 10, {"weights": "distance"}),
    "adult, 16,000 rows": ("adult.csv", "income", 15, {}),
}

# file (None: made up), target, class in scikit-learn
BAYES = {
    "magic": ("magic_telescope.csv", "class", "GaussianNB"),
    "letter": ("letter.csv", "letter", "GaussianNB"),
    "28 numbers": (None, None, "GaussianNB"),
    "spambase": ("spambase.csv", "type", "MultinomialNB"),
    "spambase, yes or no": ("spambase.csv", "type", "BernoulliNB"),
    "letter, counts": ("letter.csv", "letter", "MultinomialNB"),
    "mushroom": ("mushroom.csv", "type", "CategoricalNB"),
    "letter, levels": ("letter.csv", "letter", "CategoricalNB"),
}


def read(file, target, regression):
    """Frame of features, target as numbers, classes."""
    import pandas as pd

    frame = pd.read_csv(os.path.join(os.environ["PGML_DATA"], file), keep_default_na=False, na_values=["", "NA", "?"], low_memory=False)
    frame = frame.sample(frac=1, random_state=1).reset_index(drop=True)
    y = frame.pop(target)
    if regression:
        return frame, y.astype(float).values, 1
    labels = sorted(y.astype(str).unique())
    return frame, y.astype(str).map({v: i for i, v in enumerate(labels)}).values.astype(float), len(labels)


def matrix(frame, learn):
    """Numbers standardised, missing ones 0 with a column that says so; categories by number, missing one a level. Columns, levels."""
    import pandas as pd

    columns, levels = [], []
    for name in frame:
        x = pd.to_numeric(frame[name], errors="coerce").values.astype(float)
        if np.isnan(x).sum() > frame[name].isna().sum():
            codes, known = pd.factorize(frame[name].fillna("missing"))
            columns.append(codes.astype(np.float32))
            levels.append(len(known))
            continue
        mean, deviation = np.nanmean(x[:learn]), np.nanstd(x[:learn])
        if deviation > 0:
            columns.append(np.where(np.isnan(x), 0, (x - mean) / deviation).astype(np.float32))
            levels.append(0)
        if np.isnan(x).any():
            columns.append(np.isnan(x).astype(np.float32))
            levels.append(0)
    return np.column_stack(columns), levels


def one_hot(x, levels):
    parts = [np.eye(n, dtype=np.float32)[x[:, [f]].astype(int)[:, 0]] if n else x[:, [f]] for f, n in enumerate(levels)]
    return np.ascontiguousarray(np.hstack(parts))


class Own:
    """The learner of the extension."""

    def __init__(self, binary, path, learner, x, levels, y, classes, learn, settings):
        self.command = [binary, path, "1", "learner=" + learner, *[f"{k}={v}" for k, v in settings.items()]]
        self.path, self.classes = path, classes
        with open(path, "wb") as file:
            np.array([learn, len(x) - learn, x.shape[1], classes], np.int64).tofile(file)
            np.array(levels, np.int64).tofile(file)
            np.ascontiguousarray(x.T, dtype=np.float32).tofile(file)
            y[:learn].tofile(file)

    def run(self):
        """CPU seconds of the fit, of preparing the model for blocks of rows, and of predicting these."""
        out = subprocess.run(self.command, check=True, capture_output=True, text=True).stdout.split()
        self.single = float(out[2])
        return float(out[0]) + float(out[5]) + float(out[3])

    def predictions(self):
        p = np.fromfile(self.path + ".out")
        if self.classes == 1:
            return p
        return np.column_stack([1 - p, p]) if self.classes == 2 else p.reshape(-1, self.classes)


class Scikit:
    """A class of scikit-learn on rows to learn from and to predict."""

    def __init__(self, make, x, y, learn, method="predict_proba"):
        self.make, self.x, self.y, self.learn, self.method = make, x, y, learn, method
        self.model = self.out = None

    def run(self):
        start = time.process_time()
        self.model = self.make().fit(self.x[:self.learn], self.y[:self.learn])
        self.out = getattr(self.model, self.method)(self.x[self.learn:])
        return time.process_time() - start


def take_turns(sides, times):
    """Median of each."""
    seconds = [[] for _ in sides]
    for _ in range(times):
        for side, taken in zip(sides, seconds):
            taken.append(side.run())
    return [statistics.median(taken) for taken in seconds]


def neighbours(binary, folder, name, times):
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    file, target, k, settings = NEIGHBOURS[name]
    regression = name in REGRESSION
    frame, y, classes = read(file, target, regression)
    if "16,000" in name:
        frame, y = frame[:16000], y[:16000]
    learn = len(y) * 3 // 4
    x, levels = matrix(frame, learn)
    wide = one_hot(x, levels)
    kind, method = (KNeighborsRegressor, "predict") if regression else (KNeighborsClassifier, "predict_proba")

    def make(algorithm):
        return lambda: kind(k, algorithm=algorithm, n_jobs=1, p=1 if settings.get("metric") == "manhattan" else 2,
                            weights=settings.get("weights", "uniform"))

    own = Own(binary, os.path.join(folder, "table"), "knn", x, levels, y, classes, learn,
              {"n_neighbors": k, "standardize": 0, **settings})
    double = wide.astype(np.float64)
    others = {"kd_tree": Scikit(make("kd_tree"), double, y, learn, method), "brute": Scikit(make("brute"), double, y, learn, method),
              "brute, float32": Scikit(make("brute"), wide, y, learn, method)}
    seconds = take_turns([own, *others.values()], times)
    best = min(range(len(others)), key=lambda i: seconds[i + 1])

    expected, got = others["kd_tree"].out, own.predictions()
    scale = np.abs(expected).max()
    differ = np.flatnonzero((np.abs(expected - got).reshape(len(got), -1) > 1e-9 * scale).any(axis=1))
    tied = 0
    if len(differ):
        distance, _ = others["kd_tree"].model.kneighbors(double[learn:][differ], k + 1)
        tied = int((distance[:, k] - distance[:, k - 1] <= 1e-9 * (1 + distance[:, k])).sum())
    return {"rows": learn, "columns": x.shape[1], "predicted": len(got), "k": k, "own": seconds[0], "other": seconds[best + 1],
            "which": list(others)[best], "all": seconds, "tied": tied, "wrong": len(differ) - tied}


def bayes(binary, folder, name, times):
    import sklearn.naive_bayes

    file, target, kind = BAYES[name]
    if file is None:
        x, _, y = boosting.numeric_table(400_000)
        classes = 2
    else:
        frame, y, classes = read(file, target, False)
        if kind == "CategoricalNB":
            frame = frame.apply(lambda c: c.fillna("missing").astype(str).factorize()[0])
        x = frame.astype(float).values.astype(np.float32)
    learn = len(y) * 3 // 4
    levels = [0] * x.shape[1]
    settings = {"distribution": {"GaussianNB": "gaussian", "MultinomialNB": "multinomial", "BernoulliNB": "bernoulli"}.get(kind, "auto")}
    arguments = {}
    if kind == "CategoricalNB":
        levels = (x.max(axis=0).astype(int) + 1).tolist()
        arguments["min_categories"] = levels
    own = Own(binary, os.path.join(folder, "table"), "naive_bayes", x, levels, y, classes, learn, settings)

    def make():
        return getattr(sklearn.naive_bayes, kind)(**arguments)

    exact = Scikit(make, x.astype(np.float64), y, learn)
    single = Scikit(make, x, y, learn)
    seconds = take_turns([own, exact, single], times)
    return {"rows": learn, "columns": x.shape[1], "classes": classes, "own": seconds[0], "other": min(seconds[1:]), "kind": kind,
            "difference": float(np.abs(exact.out - own.predictions()).max())}


def milliseconds(seconds):
    return f"{seconds * 1000:,.1f} ms" if seconds < 0.1 else f"{seconds:.2f} s"


def tables(results):
    lines = ["| knn | rows | predicted | columns | k | CPU | scikit-learn | which | ratio | ties apart | differ |",
             "|---|---:|---:|---:|---:|---:|---:|---|---:|---:|---:|"]
    for name, r in results["knn"].items():
        lines.append(f"| {name} | {r['rows']:,} | {r['predicted']:,} | {r['columns']} | {r['k']} | {milliseconds(r['own'])} | "
                     f"{milliseconds(r['other'])} | {r['which']} | {r['own'] / r['other']:.2f} | {r['tied']} | {r['wrong']} |")
    lines += ["", "| naive_bayes | as | rows | columns | classes | CPU | scikit-learn | ratio | largest difference |",
              "|---|---|---:|---:|---:|---:|---:|---:|---:|"]
    for name, r in results["naive_bayes"].items():
        lines.append(f"| {name} | {r['kind']} | {r['rows']:,} | {r['columns']} | {r['classes']} | {milliseconds(r['own'])} | "
                     f"{milliseconds(r['other'])} | {r['own'] / r['other']:.2f} | {r['difference']:.0e} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--only", help="sets whose name begins so")
    parser.add_argument("--report", help="write the tables into this file between their markers")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    results = {"knn": {}, "naive_bayes": {}}
    with tempfile.TemporaryDirectory() as folder:
        binary = boosting.compile_driver(folder)
        for part, sets, measure in (("knn", NEIGHBOURS, neighbours), ("naive_bayes", BAYES, bayes)):
            for name in sets:
                if not args.only or name.startswith(args.only):
                    results[part][name] = measure(binary, folder, name, args.times)
                    print(part, name, results[part][name], flush=True)
    print(tables(results))
    if args.report:
        with open(RESULTS, "w") as file:
            json.dump(results, file, indent=1)
        write_report(args.report, "neighbours", tables(results))


if __name__ == "__main__":
    main()

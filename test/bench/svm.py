#!/usr/bin/python3
"""The learner svm beside scikit-learn's LinearSVC, LinearSVR, SVC and SVR (LIBLINEAR and libsvm): time and objective of the solvers.

Both sides solve the same problem on the same numbers: the features as the learner scales them, one-hot, with the same C, gamma, epsilon and
tolerance; a regression's target is scaled.  Times are CPU seconds of one thread, the median of --rounds alternating runs.  An objective is
computed here from the coefficients of each side: the primal one for linear machines, the dual one for kernels, so the excess is what the
side with the greater objective is above the other (0: equal; negative: ours is better).  satimage and letter are their first class against the others.

A second table tells the whole learner with its defaults, calibration included, beside SVC(probability=True) and SVR with theirs on features that are
standardised and one-hot: log loss and accuracy, or the root mean squared error as a share of the target's deviation, of a quarter of the rows.

Needs PGML_DATA (a folder with phoneme.csv, satimage.csv, letter.csv, credit_g.csv, california_housing.csv), a C compiler, python3-sklearn,
python3-pandas.  Usage: svm.py [--rounds 3] [--report FILE]
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

from report import write_report

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results")
TOL = 1e-3

# name: (file, target)
SETS = {"phoneme": ("phoneme.csv", "Class"), "credit_g": ("credit_g.csv", "class"), "satimage": ("satimage.csv", "classes"),
        "letter": ("letter.csv", "letter"), "california_housing": ("california_housing.csv", "median_house_value")}

# Problems of the solvers: (set, kernel, C); gamma is 'scale' as scikit-learn has it.
PROBLEMS = [("synthetic", "linear", 0.01), ("synthetic, wide", "linear", 0.001), ("phoneme", "linear", 1.0), ("credit_g", "linear", 1.0),
            ("letter", "linear", 1.0), ("california_housing", "linear", 1.0), ("credit_g", "rbf", 1.0), ("phoneme", "rbf", 1.0), ("phoneme", "rbf", 100.0),
            ("satimage", "rbf", 1.0), ("letter", "rbf", 1.0), ("california_housing", "rbf", 1.0)]
SUBSET = {("california_housing", "rbf"): 10_000}


# What the whole learner is tried on: (set, rows, settings of the learner).
WHOLE = [("phoneme", None, []), ("credit_g", None, []), ("satimage", None, []), ("satimage", None, ["solver=2"]), ("letter", 8000, []),
         ("california_housing", 8000, []), ("california_housing", None, ["solver=2"])]


def compile_driver(folder):
    """The learner with its driver, compiled with the extension's flags."""
    binary = os.path.join(folder, "svm")
    sources = [os.path.join(ROOT, "src", part, name) for part in ("core", "learner") for name in sorted(os.listdir(os.path.join(ROOT, "src", part)))
               if name.endswith(".c") and (part == "core" or name.startswith(("svm", "linear")))]
    subprocess.run([os.environ.get("CC", "gcc"), "-std=gnu11", "-O3", "-ffp-contract=off", "-pthread", "-I" + os.path.join(ROOT, "src"), "-o", binary,
                    os.path.join(ROOT, "test", "bench", "svm.c"), *sources, "-ldl", "-lm"], check=True)
    return binary


def synthetic(n=100_000, d=50):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(n, d)).astype(np.float32)
    x[:, 25:] += x[:, :25]
    return x, [0] * d, (x @ rng.normal(size=d) / 3 + rng.normal(size=n) > 0).astype(float), 2


def wide(n=2000, d=5000):
    """More columns than Newton's method is for: the dual is solved."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=(n, d)).astype(np.float32)
    return x, [0] * d, (x @ rng.normal(size=d) / d ** 0.5 + rng.normal(size=n) > 0).astype(float), 2


def read(name):
    """Columns as float32 with level numbers, numbers of levels, target, classes; rows in a random order."""
    import pandas as pd

    if name.startswith("synthetic"):
        return wide() if "wide" in name else synthetic()
    file, target = SETS[name]
    frame = pd.read_csv(os.path.join(os.environ["PGML_DATA"], file)).sample(frac=1, random_state=1)
    y = frame.pop(target)
    levels = [0 if pd.api.types.is_numeric_dtype(frame[c]) else frame[c].nunique() for c in frame]
    columns = [frame[c].to_numpy(np.float32) if k == 0 else frame[c].astype("category").cat.codes.replace(-1, np.nan).to_numpy(np.float32)
               for c, k in zip(frame, levels)]
    if name == "california_housing":
        return np.column_stack(columns), levels, y.to_numpy(float), 1
    codes = y.astype(str).astype("category").cat.codes.to_numpy(float)
    return np.column_stack(columns), levels, codes, int(codes.max()) + 1


def write_table(path, x, levels, y, learn, classes):
    """The form that boosting.c reads."""
    with open(path, "wb") as file:
        np.array([learn, len(x) - learn, x.shape[1], classes], np.int64).tofile(file)
        np.array(levels, np.int64).tofile(file)
        np.ascontiguousarray(x.T).tofile(file)
        y[:learn].tofile(file)


def read_design(path):
    with open(path, "rb") as file:
        n, d = np.fromfile(file, np.int64, 2)
        x = np.fromfile(file, np.float32, n * d).reshape(n, d)
        return x, np.fromfile(file, np.float64, n)


# ---- objectives ----

def primal(x, y, w, b, c, epsilon, classes):
    f = x @ w + b
    loss = np.maximum(0, np.abs(y - f) - epsilon) if classes == 1 else np.maximum(0, 1 - y * f) ** 2
    return (w @ w + b * b) / 2 + c * loss.sum()


def dual(x, y, beta, gamma, epsilon):
    """Of the minimisation: negative.  y beta >= 0 for classes."""
    support = np.flatnonzero(beta)
    x, beta = x[support].astype(float), beta[support]
    square = (x * x).sum(1)
    quadratic = sum(beta[i:i + 1000] @ (np.exp(-gamma * np.maximum(0, square[i:i + 1000, None] + square - 2 * x[i:i + 1000] @ x.T)) @ beta)
                    for i in range(0, len(x), 1000))
    return quadratic / 2 - y[support] @ beta + epsilon * np.abs(beta).sum()


def scikit(x, y, kernel, c, gamma, epsilon, classes):
    """CPU seconds and coefficients."""
    from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR

    if kernel == "linear":
        model = LinearSVR(C=c, epsilon=epsilon, tol=TOL, random_state=1, max_iter=1000) if classes == 1 else LinearSVC(C=c, tol=TOL, random_state=1)
    else:
        model = SVR(C=c, gamma=gamma, epsilon=epsilon, tol=TOL) if classes == 1 else SVC(C=c, gamma=gamma, tol=TOL)
    start = time.process_time()
    model.fit(x, y)
    seconds = time.process_time() - start
    if kernel == "linear":
        return seconds, np.ravel(model.coef_), float(np.ravel(model.intercept_)[0])
    beta = np.zeros(len(y))
    beta[model.support_] = np.ravel(model.dual_coef_)
    return seconds, beta, 0.0


def solve(binary, folder, name, kernel, c, rounds):
    import warnings

    warnings.simplefilter("ignore")
    x, levels, y, classes = read(name)
    if classes > 2:
        y, classes = (y == 0).astype(float), 2
    learn = min(len(x), SUBSET.get((name, kernel), len(x)))
    x, y = x[:learn], y[:learn]
    epsilon = 0.1 if classes == 1 else 0.0
    path = os.path.join(folder, "table")
    write_table(path, x, levels, y, learn, classes)

    def ours(gamma):
        out = subprocess.run([binary, path, str(classes), kernel, str(c), repr(gamma), str(epsilon), str(TOL)], check=True, capture_output=True,
                             text=True).stdout.split()
        return float(out[0]), int(out[1])

    ours(1.0)
    design, y = read_design(path + ".design")
    design = design[:, design.any(0)]
    gamma = float(np.float32(1 / (design.shape[1] * design.var(dtype=float))))
    times, others = [], []
    for _ in range(rounds):
        seconds, steps = ours(gamma)
        times.append(seconds)
        seconds, theirs, b = scikit(design, y, kernel, c, gamma, epsilon, classes)
        others.append(seconds)
    mine = np.fromfile(path + ".coef")
    if kernel == "linear":
        x, _ = read_design(path + ".design")
        a = primal(x.astype(float), y, mine[1:], mine[0], c, epsilon, classes)
        b = primal(design.astype(float), y, theirs, b, c, epsilon, classes)
    else:
        a, b = dual(design, y, mine[1:], gamma, epsilon), dual(design, y, theirs, gamma, epsilon)
    return {"rows": learn, "columns": design.shape[1], "cpu": statistics.median(times), "peer": statistics.median(others), "steps": steps,
            "excess": (a - b) / abs(b)}


def compare_solvers(binary, folder, rounds):
    lines = ["| table | rows x columns | kernel | C | CPU | scikit-learn | ratio | objective above scikit-learn's |", "|---|---|---|---:|---:|---:|---:|---:|"]
    results = {}
    for name, kernel, c in PROBLEMS:
        r = solve(binary, folder, name, kernel, c, rounds)
        results[f"{name}, {kernel}, C={c:g}"] = r
        lines.append(f"| {name} | {r['rows']:,} x {r['columns']} | {kernel} | {c:g} | {r['cpu']:.3f} s | {r['peer']:.3f} s | {r['cpu'] / r['peer']:.2f} "
                     f"| {r['excess']:.1e} |")
        print(lines[-1], flush=True)
    return lines, results


# ---- the whole learner ----

def scikit_whole(x, levels, y, learn, classes):
    """CPU seconds of fit and prediction, and predictions, of SVC with probabilities or SVR."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from sklearn.svm import SVC, SVR

    numbers = [i for i, k in enumerate(levels) if k == 0]
    others = [i for i, k in enumerate(levels) if k > 0]
    prepare = make_column_transformer((make_pipeline(SimpleImputer(), StandardScaler()), numbers),
                                      (OneHotEncoder(handle_unknown="ignore", sparse=False), others))
    start = time.process_time()
    z = prepare.fit_transform(x[:learn])
    if classes == 1:
        mean, deviation = y[:learn].mean(), y[:learn].std()
        model = SVR().fit(z, (y[:learn] - mean) / deviation)
    else:
        model = SVC(probability=True, random_state=1).fit(z, y[:learn])
    fit = time.process_time() - start
    start = time.process_time()
    z = prepare.transform(x[learn:])
    out = model.predict(z) * deviation + mean if classes == 1 else model.predict_proba(z)
    return fit, time.process_time() - start, out


def judge(y, out, classes):
    """What a line tells of predictions: log loss and accuracy, or the relative error."""
    from sklearn.metrics import log_loss

    if classes == 1:
        return f"{np.sqrt(np.mean((y - out) ** 2)) / y.std():.3f} of sd"
    return f"{log_loss(y, out, labels=list(range(classes))):.3f}, {np.mean(out.argmax(1) == y):.3f}"


def compare_learners(binary, folder):
    lines = ["| table | rows | settings | fit, CPU | scikit-learn | predicted rows / s | scikit-learn | log loss, accuracy | scikit-learn | model |",
             "|---|---:|---|---:|---:|---:|---:|---|---|---:|"]
    for name, rows, settings in WHOLE:
        x, levels, y, classes = read(name)
        x, y = x[:rows], y[:rows]
        learn = len(x) * 3 // 4
        path = os.path.join(folder, "table")
        write_table(path, x, levels, y, learn, classes)
        fit, predict, size = subprocess.run([binary, path, "learner", *settings], check=True, capture_output=True, text=True).stdout.split()
        out = np.fromfile(path + ".out").reshape(len(x) - learn, -1)
        out = out[:, 0] if classes == 1 else np.column_stack([1 - out, out]) if classes == 2 else out
        peer = None if settings else scikit_whole(x, levels, y, learn, classes)
        n = len(x) - learn
        lines.append(f"| {name} | {learn:,} | {'approximate' if settings else 'defaults'} | {float(fit):.2f} s | {f'{peer[0]:.2f} s' if peer else ''} "
                     f"| {n / float(predict):,.0f} | {f'{n / peer[1]:,.0f}' if peer else ''} | {judge(y[learn:], out, classes)} "
                     f"| {judge(y[learn:], peer[2], classes) if peer else ''} | {int(size) / 1e3:,.0f} kB |")
        print(lines[-1], flush=True)
    return lines


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--report", help="write the tables into this file between its markers")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        binary = compile_driver(folder)
        lines, results = compare_solvers(binary, folder, args.rounds)
        lines += ["", *compare_learners(binary, folder)]
    text = "\n".join(lines) + "\n"
    with open(os.path.join(FOLDER, "svm.json"), "w") as file:
        json.dump(results, file, indent=1)
    if args.report:
        write_report(args.report, "svm", text)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""How fast the linear learner reaches its minimum: beside every fitting solver of scikit-learn, on the same design.

The learner is compiled from the core with linear.c, as the extension compiles it, and reads its table from a file.  It writes the design that it
saw: scikit-learn gets exactly those columns, in double precision, dense and (where there are categories) sparse, with the same
penalty and tol=1e-10.  Every solver of scikit-learn is tried once; of those within 1e-6 of the least objective found by anyone the fastest is fitted in
turns with the learner, and medians are quoted.  Saga and liblinear get ever more rounds until they are that near, or ten seconds are over. Above 100,000
rows with categories, solvers that do not compute cross products get the sparse columns only: dense ones take them several times as long.  One
thread, CPU seconds.  "solve" is what scikit-learn does as well; "fit" has measuring, scaling and copying the features in it, and their means.

Needs a C compiler, OpenBLAS, python3-sklearn.  Usage: linear.py [--rounds N] [--only SET] [--data DIR] [--report FILE]
"""
import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
from scipy import sparse
from sklearn import linear_model as sk

from report import write_report

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results", "linear.json")
CORE = ("core", "data", "stats", "prep", "learner")
TOL = 1e-10
NEAR = 1e-6
MOST_SECONDS = 10
MANY_ROWS = 100_000


def compile_driver(folder):
    """The learner with its driver, compiled with the extension's flags."""
    binary = os.path.join(folder, "linear")
    sources = [os.path.join(ROOT, "src", part, name) for part in CORE
               for name in sorted(os.listdir(os.path.join(ROOT, "src", part))) if name.endswith(".c")]
    subprocess.run([os.environ.get("CC", "gcc"), "-std=gnu11", "-O3", "-ffp-contract=off", "-pthread", "-I" + os.path.join(ROOT, "src"),
                    "-o", binary, os.path.join(ROOT, "test", "bench", "linear.c"), *sources, "-ldl", "-lm"], check=True)
    return binary


# ---- tables: (columns as float32, levels of each column, target, classes) ----

def read(data, name, target, classes, drop=(), rows=None):
    """A table of the data directory; text becomes categories."""
    import pandas as pd

    frame = pd.read_csv(os.path.join(data, name + ".csv"), low_memory=False)
    if rows is not None:
        frame = frame.sample(rows, random_state=1)
    y = frame.pop(target)
    frame = frame.drop(columns=list(drop))
    columns, levels = [], []
    for column in frame:
        if frame[column].dtype == object:
            codes, names = pd.factorize(frame[column])
            columns.append(np.where(codes < 0, np.nan, codes))
            levels.append(len(names))
        else:
            columns.append(frame[column].astype(float))
            levels.append(0)
    y = pd.factorize(y)[0].astype(float) if classes > 1 else y.to_numpy(float)
    return np.array(columns, np.float32), levels, y, classes


def wide(classes, n=1000, columns=5000):
    """Correlated columns of which 50 count."""
    r = np.random.default_rng(3)
    x = r.standard_normal((columns, n)).astype(np.float32)
    x[1::2] = 0.6 * x[::2] + 0.8 * x[1::2]
    z = r.standard_normal(50) @ x[::100] + 2 * r.standard_normal(n)
    return x, [0] * columns, z if classes == 1 else (z > 0).astype(float), classes


def tall(classes, n=200_000):
    """20 numbers, half of them correlated, and six categories with up to 100 levels."""
    r = np.random.default_rng(4)
    numbers = r.standard_normal((20, n))
    numbers[10:] = 0.7 * numbers[:10] + 0.7 * numbers[10:]
    z = 0.3 * r.standard_normal(20) @ numbers
    levels, columns = (5, 8, 12, 25, 50, 100), []
    for size in levels:
        code = np.minimum(r.geometric(4 / size, n) - 1, size - 1)
        columns.append(code)
        z += 0.4 * r.standard_normal(size)[code]
    x = np.vstack([numbers, columns]).astype(np.float32)
    if classes == 2:
        y = (r.random(n) < 1 / (1 + np.exp(-z))).astype(float)
    elif classes == 0:
        return x, [0] * 20 + list(levels), r.poisson(np.exp(0.5 * z)).astype(float), 1
    else:
        y = z + r.standard_normal(n)
    return x, [0] * 20 + list(levels), y, classes


# ---- the learner ----

class Own:
    def __init__(self, binary, path, table):
        x, levels, y, classes = table
        self.binary, self.path, self.classes, self.n = binary, path, classes, x.shape[1]
        self.y = y
        with open(path, "wb") as file:
            np.array([x.shape[1], 0, len(x), classes], np.int64).tofile(file)
            np.array(levels, np.int64).tofile(file)
            np.ascontiguousarray(x).tofile(file)
            y.tofile(file)

    def fit(self, settings):
        """CPU seconds of the fit and of its optimisation."""
        out = subprocess.run([self.binary, self.path, "3", f"tol={TOL}", *settings], check=True, capture_output=True, text=True).stdout.split()
        return statistics.median(map(float, out[::2])), statistics.median(map(float, out[1::2]))

    def design(self, poisson):
        """The columns that the last fit saw, without the intercept: sparse if there are categories; and the target on the scale of the fit."""
        with open(self.path + ".coef", "rb") as file:
            rows, outputs = np.fromfile(file, np.int64, 2)
            coef = np.fromfile(file, np.float64, rows * outputs).reshape(rows, outputs)
            unit, mean, sd = np.fromfile(file, np.float64, 3)
        dense = np.fromfile(self.path + ".design", np.float32).reshape(self.n, -1).astype(np.float64)
        levels = np.fromfile(self.path + ".levels", np.int32).reshape(self.n, -1)
        if levels.shape[1]:
            n_levels = rows - 1 - dense.shape[1]
            at = (levels - 1 - dense.shape[1]).ravel()
            hot = sparse.csr_matrix((np.ones(at.size), at, np.arange(0, at.size + 1, levels.shape[1])), (self.n, n_levels))
            dense = sparse.hstack([sparse.csr_matrix(dense), hot]).tocsr()
        y = self.y
        if self.classes == 1 and not poisson:
            coef = coef / (unit * sd)
            coef[0] -= mean / sd
            y = (y / unit - mean) / sd
        return dense, y, coef[0], coef[1:]


# ---- the objective ----

def loss(x, y, classes, poisson, intercept, coef):
    """Sum of the losses of all rows."""
    z = x @ coef + intercept
    if classes == 1:
        z = z[:, 0]
        return (np.exp(z) - y * z).sum() if poisson else 0.5 * ((y - z)**2).sum()
    if classes == 2:
        z = z[:, 0]
        return np.logaddexp(0, z).sum() - (y * z).sum()
    top = z.max(axis=1, keepdims=True)
    return (np.log(np.exp(z - top).sum(axis=1)) + top[:, 0] - z[np.arange(len(y)), y.astype(int)]).sum()


def objective(x, y, classes, poisson, alpha, ratio, intercept, coef):
    return loss(x, y, classes, poisson, intercept, coef) + alpha * (ratio * np.abs(coef).sum() + (1 - ratio) / 2 * (coef**2).sum())


def strongest(x, y, classes, poisson):
    """The penalty on absolute values that just makes all coefficients 0."""
    if classes > 2:
        residual = np.eye(classes)[y.astype(int)]
        residual = residual - residual.mean(axis=0)
    else:
        residual = (y - y.mean())[:, None]
    return np.abs(x.T @ residual).max()


# ---- scikit-learn ----

def peers(n, columns, classes, poisson, alpha, ratio, sparse_too):
    """(name, form, rounds that may be doubled or None, function that makes the model)"""
    out = []
    forms = ("dense", "sparse") if sparse_too else ("dense",)
    light = ("sparse",) if sparse_too and n > MANY_ROWS else forms
    if poisson:
        for solver in ("lbfgs", "newton-cholesky"):
            for form in light if solver == "lbfgs" else forms:
                out.append((solver, form, None, lambda solver=solver: sk.PoissonRegressor(alpha=alpha / n, tol=TOL, max_iter=10000, solver=solver)))
    elif classes == 1 and ratio == 0:
        for solver in ("cholesky", "lsqr", "sparse_cg"):
            for form in forms:
                if not (solver == "cholesky" and form == "sparse"):  # cannot fit an intercept
                    out.append((solver, form, None, lambda solver=solver: sk.Ridge(alpha=alpha, tol=TOL, max_iter=10000, solver=solver)))
    elif classes == 1:
        for form in forms:
            for gram in (True, False) if form == "dense" else (False,):
                out.append(("coordinate descent" + (", Gram" if gram else ""), form, None, lambda gram=gram: sk.ElasticNet(
                    alpha=alpha / n, l1_ratio=ratio, tol=TOL, max_iter=100000, precompute=gram)))
        if ratio == 1:
            out.append(("LARS", "dense", None, lambda: sk.LassoLars(alpha=alpha / n, max_iter=10000)))
    elif ratio == 0:
        for solver in ("lbfgs", "newton-cg") + (("newton-cholesky", "liblinear") if classes == 2 else ()):
            for form in forms if solver == "newton-cholesky" else light:
                if solver != "newton-cholesky" or columns < n:  # its matrix of 5,000 columns takes minutes
                    out.append((solver, form, 30 if solver == "liblinear" else None, lambda solver=solver: sk.LogisticRegression(
                        C=1 / alpha, tol=TOL, max_iter=10000, solver=solver, intercept_scaling=1e3 if solver == "liblinear" else 1)))
    else:
        for form in light:
            out.append(("saga", form, 30, lambda: sk.LogisticRegression(
                penalty="elasticnet", l1_ratio=ratio, C=1 / alpha, tol=TOL, solver="saga", random_state=1)))
            if ratio == 1 and classes == 2:
                # Its intercept is penalised as well: so little that the objective shows no difference.
                out.append(("liblinear", form, 30, lambda: sk.LogisticRegression(
                    penalty="l1", C=1 / alpha, tol=TOL, solver="liblinear", intercept_scaling=1e3, random_state=1)))
    return out


def fit_peer(make, x, y, rounds):
    """CPU seconds, intercept and coefficients."""
    model = make()
    if rounds is not None:
        model.set_params(max_iter=rounds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.process_time()
        model.fit(x, y)
        seconds = time.process_time() - start
    return seconds, np.ravel(model.intercept_), np.atleast_2d(model.coef_).T


def compare(own, poisson, ratio, strength, rounds):
    """A dictionary of what there is to say about a penalty on a table."""
    settings = (["objective=poisson"] if poisson else []) + [f"l1_ratio={ratio}"]
    own.fit(settings + ["alpha=1"])
    x, y, _, _ = own.design(poisson)
    alpha = strength * strongest(x, y, own.classes, poisson) / ratio if ratio else strength
    settings.append(f"alpha={alpha!r}")
    own.fit(settings)
    _, _, intercept, coef = own.design(poisson)
    rest = (own.classes, poisson, alpha, ratio)
    ours = objective(x, y, *rest, intercept, coef)
    forms = {"sparse": x, "dense": x.toarray()} if sparse.issparse(x) else {"dense": x}
    forms["dense"] = np.asfortranarray(forms["dense"]) if own.classes == 1 and not poisson else forms["dense"]
    tried, best = [], ours
    for name, form, grow, make in peers(own.n, x.shape[1], own.classes, poisson, alpha, ratio, "sparse" in forms):
        while True:
            seconds, b0, b = fit_peer(make, forms[form], y, grow)
            value = objective(x, y, *rest, b0, b)
            if grow is None or value <= ours * (1 + NEAR / 2) or seconds > MOST_SECONDS:
                break
            grow = int(grow * (3 if seconds < MOST_SECONDS / 10 else 1.5))
        print("   ", name, form, grow, f"{seconds:.3f}", f"{value:.10g}", f"{ours:.10g}", file=sys.stderr, flush=True)
        tried.append((seconds, name, form, grow, make, value))
        best = min(best, value)
    near = [t for t in tried if t[5] <= best + NEAR * abs(best)]
    seconds, name, form, grow, make, value = min(near or sorted(tried, key=lambda t: t[5])[:1], key=lambda t: t[0])
    turns = [(own.fit(settings), fit_peer(make, forms[form], y, grow)[0] if seconds < 5 else seconds) for _ in range(rounds)]
    fit, solve = (statistics.median(t[0][i] for t in turns) for i in (0, 1))
    peer = statistics.median(t[1] for t in turns)
    return {"columns": x.shape[1] * coef.shape[1], "zeros": int((coef == 0).sum()), "fit": fit, "solve": solve, "peer": peer, "name": f"{name}, {form}",
            "reached": bool(near), "difference": (ours - best) / abs(best), "peer_difference": (value - best) / abs(best)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="only sets whose name has this in it")
    parser.add_argument("--data", default=os.environ.get("PGML_DATA"), help="folder with the data sets; PGML_DATA unless given")
    parser.add_argument("--report", help="write the table into this file between its markers")
    args = parser.parse_args()
    if not args.data:
        parser.error("name the folder with the data sets by --data or PGML_DATA")
    d = args.data
    # name, table, Poisson, share of L1, penalty: of ridge and Poisson alpha, else the share of the one that leaves nothing
    cases = [
        ("california housing, ridge", lambda: read(d, "california_housing", "median_house_value", 1), False, 0, 1),
        ("california housing, lasso", lambda: read(d, "california_housing", "median_house_value", 1), False, 1, 0.01),
        ("california housing, elastic net", lambda: read(d, "california_housing", "median_house_value", 1), False, 0.5, 0.01),
        ("adult, logistic L2", lambda: read(d, "adult", "income", 2), False, 0, 1),
        ("adult, logistic L1", lambda: read(d, "adult", "income", 2), False, 1, 0.001),
        ("adult, logistic elastic net", lambda: read(d, "adult", "income", 2), False, 0.5, 0.001),
        ("satimage, multinomial L2", lambda: read(d, "satimage", "classes", 6), False, 0, 1),
        ("satimage, multinomial L1", lambda: read(d, "satimage", "classes", 6), False, 1, 0.01),
        ("bike sharing, Poisson", lambda: read(d, "bike_sharing_hour", "cnt", 1, ("instant", "dteday", "casual", "registered")), True, 0, 1),
        ("French motor claims, Poisson", lambda: read(d, "fremtpl2_freq", "ClaimNb", 1, ("IDpol",), 200_000), True, 0, 1),
        ("1,000 x 5,000, ridge", lambda: wide(1), False, 0, 100),
        ("1,000 x 5,000, lasso", lambda: wide(1), False, 1, 0.1),
        ("1,000 x 5,000, elastic net", lambda: wide(1), False, 0.5, 0.1),
        ("1,000 x 5,000, logistic L2", lambda: wide(2), False, 0, 100),
        ("1,000 x 5,000, logistic L1", lambda: wide(2), False, 1, 0.1),
        ("200,000 rows, ridge", lambda: tall(1), False, 0, 1),
        ("200,000 rows, lasso", lambda: tall(1), False, 1, 0.01),
        ("200,000 rows, logistic L2", lambda: tall(2), False, 0, 1),
        ("200,000 rows, logistic L1", lambda: tall(2), False, 1, 0.01),
        ("200,000 rows, Poisson", lambda: tall(0), True, 0, 1),
    ]
    lines = ["| set | coefficients | of them 0 | scikit-learn's solver | its CPU | solve | fit | solve : scikit-learn | objective above the least | scikit-learn's |",
             "|---|---:|---:|---|---:|---:|---:|---:|---:|---:|"]
    with tempfile.TemporaryDirectory() as folder:
        binary = compile_driver(folder)
        for name, table, poisson, ratio, strength in cases:
            if args.only and args.only not in name:
                continue
            r = compare(Own(binary, os.path.join(folder, "table"), table()), poisson, ratio, strength, args.rounds)
            print(name, r, file=sys.stderr, flush=True)
            lines.append(f"| {name} | {r['columns']:,} | {r['zeros']:,} | {r['name']}{'' if r['reached'] else ' (not within 1e-6)'} | {1000 * r['peer']:.1f} ms | "
                         f"{1000 * r['solve']:.1f} ms | {1000 * r['fit']:.1f} ms | {r['solve'] / r['peer']:.2f} | {max(r['difference'], 0):.0e} | "
                         f"{max(r['peer_difference'], 0):.0e} |")
    text = "\n".join(lines) + "\n"
    print(text)
    with open(RESULTS, "w") as file:
        json.dump(lines, file, indent=1)
    if args.report:
        write_report(args.report, "linear", text)


if __name__ == "__main__":
    main()

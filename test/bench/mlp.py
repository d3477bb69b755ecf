#!/usr/bin/python3
"""How fast neural networks are trained and how well they predict: pgml_auto's `mlp` beside scikit-learn's MLPClassifier and MLPRegressor.

Speed: equal architectures, batch sizes and optimiser (Adam), plain layers, 28 numeric features in float32 for both; CPU seconds of one thread for
an epoch, fits in turns, medians.

Accuracy (needs PGML_DATA, a folder with the data sets): for each seed 25 % of the rows are scored.  `plain`: 3 x 256 units, ReLU, 32 epochs, constant
rate, no validation rows, as scikit-learn, which gets standardised numbers, medians and indicators for missing ones and one-hot categories.
`default`: the defaults but for the epochs, the best of which is chosen on 20 % of the rows to learn from.

Needs a C compiler, python3-sklearn, python3-pandas.  Usage: mlp.py [--rounds N] [--seeds N] [--epochs N] [--sets A,B] [--report FILE]
"""
import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np

import boosting
import oblivious
from report import write_report

RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results", "mlp.json")
SETS = ("california", "wine", "abalone", "letter", "satimage", "phoneme", "magic", "credit_g")
LEARN, EPOCHS = 50_000, 4
PLAIN = ["num_embedding=none", "parametric_activation=0", "front_scale=0", "parametrization=standard", "dropout=0", "weight_decay=0",
         "alpha=0.0001", "beta_2=0.999", "learning_rate=0.001", "learning_rate_schedule=constant", "activation=relu"]


def scikit(classes, layers, width, batch, epochs):
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    make = MLPRegressor if classes == 1 else MLPClassifier
    return make((width,) * layers, batch_size=batch, max_iter=epochs, tol=0, n_iter_no_change=epochs + 1, random_state=1)


def write_parts(path, x, levels, y, classes, learn, test):
    """The form that boosting.c reads."""
    order = np.concatenate([learn, test])
    with open(path, "wb") as file:
        np.array([len(learn), len(test), x.shape[1], classes], np.int64).tofile(file)
        np.array(levels, np.int64).tofile(file)
        np.ascontiguousarray(x[order].T).tofile(file)
        y[learn].tofile(file)


def run(binary, path, settings):
    """CPU seconds of the fit, of predicting the other rows, and the predictions."""
    out = subprocess.run([binary, path, "1", "learner=mlp", *settings], check=True, capture_output=True, text=True).stdout.split()
    return float(out[0]), float(out[2]), np.fromfile(path + ".out")


# ---- speed ----


def speed(binary, folder, rounds, results):
    """Lines of the table of CPU seconds an epoch."""
    x, levels, y = boosting.numeric_table(2 * LEARN)
    x = ((x - x.mean(0)) / x.std(0)).astype(np.float32)
    path = os.path.join(folder, "table")
    write_parts(path, x, levels, y, 2, np.arange(LEARN), np.arange(LEARN, 2 * LEARN))
    lines = ["| network, batch | scikit-learn | mlp, plain | ratio | mlp, default layers | rows scored / s | scikit-learn |",
             "|---|---:|---:|---:|---:|---:|---:|"]
    for layers, width, batch in ((1, 100, 200), (2, 128, 256), (3, 256, 256)):
        shape = [f"hidden_layers={layers}", f"hidden_width={width}", f"batch_size={batch}", f"max_iter={EPOCHS}"]
        seen = {"scikit": [], "plain": [], "default": [], "scored": [], "peer scored": []}
        for _ in range(rounds):
            model = scikit(2, layers, width, batch, EPOCHS)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                start = time.process_time()
                model.fit(x[:LEARN], y[:LEARN])
            seen["scikit"].append((time.process_time() - start) / EPOCHS)
            start = time.process_time()
            model.predict_proba(x[LEARN:])
            seen["peer scored"].append(LEARN / (time.process_time() - start))
            cpu, scored, _ = run(binary, path, shape + PLAIN)
            seen["plain"].append(cpu / EPOCHS)
            seen["scored"].append(LEARN / scored)
            seen["default"].append(run(binary, path, shape)[0] / EPOCHS)
        m = {k: statistics.median(v) for k, v in seen.items()}
        name = f"{layers} x {width}, {batch}"
        results[name] = m
        print(name, m, file=sys.stderr, flush=True)
        lines.append(f"| {name} | {m['scikit']:.3f} s | {m['plain']:.3f} s | {m['plain'] / m['scikit']:.2f} | {m['default']:.3f} s | "
                     f"{m['scored']:,.0f} | {m['peer scored']:,.0f} |")
    return lines


# ---- accuracy ----


def peer_matrix(frame, categories, learn):
    """What scikit-learn gets: float32, fitted on the rows to learn from."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = [c for c in frame if c not in categories]
    text = frame[categories].astype(object).where(frame[categories].notna(), "missing").astype(str)
    frame = frame.copy()
    frame[categories] = text
    make = ColumnTransformer([("n", make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), numbers),
                              ("c", OneHotEncoder(handle_unknown="ignore", sparse_output=False), categories)])
    make.fit(frame.iloc[learn])
    return make.transform(frame).astype(np.float32)


def score(y, p, classes):
    """RMSE, or log loss and the share of the rows that are right."""
    if classes == 1:
        return oblivious.loss(y, p, 1), None
    p = p.reshape(len(y), -1)
    p = np.column_stack([1 - p, p]) if p.shape[1] == 1 else p
    p = p.clip(1e-7, 1)
    return oblivious.loss(y, p / p.sum(1, keepdims=True), classes), float(np.mean(p.argmax(1) == y))


def accuracy(binary, folder, seeds, epochs, sets, results):
    """Lines of the table of losses."""
    oblivious.SETS.setdefault("letter", ("letter.csv", "letter", [], False))
    lines = ["| set | loss | scikit-learn | mlp, plain | mlp, default | right: scikit-learn | plain | default |", "|---|---|---:|---:|---:|---:|---:|---:|"]
    path = os.path.join(folder, "set")
    for name in sets:
        frame, y, classes, categories = oblivious.read(name)
        y = y / 1e5 if name == "california" else y
        seen = {"scikit": [], "plain": [], "default": []}
        for seed in range(1, seeds + 1):
            order = np.random.default_rng(seed).permutation(len(y))
            test, learn = order[:len(y) // 4], order[len(y) // 4:]
            x, levels = oblivious.encode(frame, categories, learn)
            matrix = peer_matrix(frame, categories, learn)
            model = scikit(classes, 3, 256, 256, 32)
            center, scale = (y[learn].mean(), y[learn].std()) if classes == 1 else (0, 1)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit(matrix[learn], (y[learn] - center) / scale)
            p = model.predict(matrix[test]) * scale + center if classes == 1 else model.predict_proba(matrix[test])
            seen["scikit"].append(score(y[test], p, classes))
            write_parts(path, x, levels, y, classes, learn, test)
            seen["plain"].append(score(y[test], run(binary, path, PLAIN + ["max_iter=32", f"seed={seed}"])[2], classes))
            settings = [f"valid={len(learn) // 5}", f"max_iter={epochs}", f"seed={seed}"]
            seen["default"].append(score(y[test], run(binary, path, settings)[2], classes))
        m = {k: [None if v[0] is None else statistics.mean(v) for v in zip(*runs)] for k, runs in seen.items()}
        results[name] = m
        print(name, m, file=sys.stderr, flush=True)
        right = " | ".join("" if m[k][1] is None else f"{m[k][1]:.4f}" for k in seen)
        lines.append(f"| {name} | {'RMSE' if classes == 1 else 'log loss'} | {m['scikit'][0]:.4f} | {m['plain'][0]:.4f} | {m['default'][0]:.4f} | {right} |")
    return lines


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=64, help="of the default settings")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--binary", help="boosting.c, compiled already")
    parser.add_argument("--report", help="write the tables into this file between their markers")
    args = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        binary = args.binary or boosting.compile_driver(folder)
        text = "\n".join(speed(binary, folder, args.rounds, results)) + "\n" if args.rounds else ""
        if os.environ.get("PGML_DATA") and args.seeds:
            text += "\n" + "\n".join(accuracy(binary, folder, args.seeds, args.epochs, args.sets.split(","), results)) + "\n"
    print(text)
    with open(RESULTS, "w") as file:
        json.dump(results, file, indent=1)
    if args.report:
        write_report(args.report, "mlp", text)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""How well gradient boosting fits other losses than squared error: pgml_auto's learner beside scikit-learn's HistGradientBoosting.

Both get the same float32 rows, categories as codes of categorical features, 100 rounds of 31 leaves at learning rate 0.1, and no early
stopping.  The loss of each is computed by scikit-learn on a quarter of the rows that neither has seen, for three seeds of the split; means
are quoted.  The learner is compiled as in boosting.py.

Needs a C compiler, python3-sklearn, python3-pandas.  Usage: PGML_DATA=folder objectives.py [--seeds N] [--report FILE]
"""
import argparse
import json
import os
import subprocess
import tempfile

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import mean_absolute_error, mean_pinball_loss, mean_poisson_deviance
from sklearn.model_selection import train_test_split

from boosting import compile_driver
from report import write_report

RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results", "objectives.json")
ROWS = 200_000  # of a table, at most
# file, target, columns to leave out
TABLES = {"french claims": ("fremtpl2_freq.csv", "ClaimNb", ["IDpol"]),
          "bike sharing": ("bike_sharing_hour.csv", "cnt", ["instant", "dteday", "casual", "registered"]),
          "California housing": ("california_housing.csv", "median_house_value", []),
          "diamonds": ("diamonds.csv", "price", [])}
# scikit-learn does not damp the steps: at the default of 0.7 they are half as long, for which 100 rounds are too few.
POISSON = ("objective=poisson", "poisson_max_delta_step=0")
# table, name, the learner's settings, scikit-learn's, the loss
CASES = [("french claims", "Poisson", [*POISSON], {"loss": "poisson"}, mean_poisson_deviance),
         ("bike sharing", "Poisson", [*POISSON], {"loss": "poisson"}, mean_poisson_deviance)]
for table in ("bike sharing", "California housing", "diamonds"):
    CASES.append((table, "absolute error", ["objective=absolute"], {"loss": "absolute_error"}, mean_absolute_error))
    for share in (0.1, 0.9):
        CASES.append((table, f"quantile {share}", ["objective=quantile", f"alpha={share}"], {"loss": "quantile", "quantile": share},
                      lambda y, p, share=share: mean_pinball_loss(y, p, alpha=share)))


def read_table(folder, name):
    """Features as float32, number of levels of each (0: numeric), target."""
    file, target, drop = TABLES[name]
    frame = pd.read_csv(os.path.join(folder, file))
    if len(frame) > ROWS:
        frame = frame.sample(ROWS, random_state=0)
    y = frame.pop(target).to_numpy(np.float64)
    frame = frame.drop(columns=drop)
    levels = []
    for column in frame:
        if frame[column].dtype == object:
            codes = frame[column].astype("category").cat.codes
            levels.append(int(codes.max()) + 1)
            frame[column] = codes.where(codes >= 0)
        else:
            levels.append(0)
    return frame.to_numpy(np.float32), levels, y


def own(binary, path, x, levels, y, test, settings):
    """Predictions of the extension's learner."""
    with open(path, "wb") as file:
        np.array([len(x), len(test), x.shape[1], 1], np.int64).tofile(file)
        np.array(levels, np.int64).tofile(file)
        np.ascontiguousarray(np.vstack([x, test]).T).tofile(file)
        y.tofile(file)
    # All rows in each round: scikit-learn has no drawing of rows.
    subprocess.run([binary, path, "1", "bagging_fraction=1", *settings], check=True, capture_output=True)
    return np.fromfile(path + ".out")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--report", help="write the table into this file between its markers")
    args = parser.parse_args()
    lines = ["| table | loss | pgml_auto | scikit-learn | ratio |", "|---|---|---:|---:|---:|"]
    results = []
    with tempfile.TemporaryDirectory() as folder:
        binary = compile_driver(folder)
        for table, name, settings, peer, loss in CASES:
            x, levels, y = read_table(os.environ["PGML_DATA"], table)
            seen = []
            for seed in range(args.seeds):
                learn, test, y_learn, y_test = train_test_split(x, y, test_size=0.25, random_state=seed)
                model = HistGradientBoostingRegressor(**peer, early_stopping=False, random_state=seed,
                                                      categorical_features=[n > 0 for n in levels])
                predicted = own(binary, os.path.join(folder, "table"), learn, levels, y_learn, test, settings)
                seen.append((loss(y_test, predicted), loss(y_test, model.fit(learn, y_learn).predict(test))))
            ours, theirs = np.mean(seen, axis=0)
            results.append({"table": table, "loss": name, "own": ours, "scikit-learn": theirs})
            lines.append(f"| {table} | {name} | {ours:.5g} | {theirs:.5g} | {ours / theirs:.3f} |")
            print(lines[-1], flush=True)
    text = "\n".join(lines) + "\n"
    with open(RESULTS, "w") as file:
        json.dump(results, file, indent=1)
    if args.report:
        write_report(args.report, "objectives", text)


if __name__ == "__main__":
    main()

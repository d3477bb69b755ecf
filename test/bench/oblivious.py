#!/usr/bin/python3
"""How fast `oblivious_boosting` trains and how well it predicts: beside XGBoost's `hist` with trees of depth 6 and gradient boosting.

Speed: the tables of boosting.py, equal numbers of trees of depth 6, the learner compiled from the core with boosting.c; fits in turns, CPU
seconds of one thread, medians, AUC of the rows not learned from.  Making XGBoost's DMatrix is not counted.

Accuracy (--accuracy, needs PGML_DATA, a folder with the data sets): for each seed 25 % of the rows are scored, 20 % of the others are for early
stopping (50 rounds, at most 2000).  Sets of fewer than 2,000 rows have four times the seeds, as one row too many decides there.  `oblivious_boosting` with its defaults, `gradient_boosting` and XGBoost (depth 6) with a rate of 0.05;
XGBoost gets categories as numbers and one-hot, and the better of the two is quoted.

Published (--published, needs PGML_DATA): ten folds, a tenth of the other rows for early stopping (50 rounds, at most 2000), beside what the
AutoML benchmark has for a single CatBoost on its own ten folds of the same tables (means; the deviation between folds is that of AutoGluon there).

Needs a C compiler, python3-sklearn, python3-xgboost, python3-pandas.
Usage: oblivious.py [--rounds N] [--quick] [--accuracy] [--seeds N] [--published] [--report FILE]
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

import boosting
from report import write_report

RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results", "oblivious.json")
TREES = 200
ROUNDS = 2000  # at most, where early stopping ends them

# file, target, columns left out, are all columns categories?
SETS = {
    "adult": ("adult.csv", "income", [], False),
    "credit_g": ("credit_g.csv", "class", [], False),
    "car": ("car_evaluation.csv", "target", [], True),
    "mushroom": ("mushroom.csv", "type", [], True),
    "horse_colic": ("horse_colic.csv", "surgical_lesion", [], False),
    "dresses": ("dresses_messy.csv", "Recommendation", [], False),
    "phoneme": ("phoneme.csv", "Class", [], False),
    "magic": ("magic_telescope.csv", "class", [], False),
    "satimage": ("satimage.csv", "classes", [], False),
    "ames": ("ames_modeldata.csv", "Sale_Price", [], False),
    "california": ("california_housing.csv", "median_house_value", [], False),
    "diamonds": ("diamonds.csv", "price", [], False),
    "wine": ("wine_quality.csv", "quality", [], False),
    "abalone": ("abalone.csv", "rings", [], False),
}
ONLY_PUBLISHED = {"segment": ("segment.csv", "class", [], False)}
# Of the AutoML benchmark: metric, CatBoost's mean, deviation between folds.
PUBLISHED = {
    "credit_g": ("AUC", 0.7850, 0.0392),
    "phoneme": ("AUC", 0.9567, 0.00767),
    "adult": ("AUC", 0.9303, 0.00361),
    "car": ("log loss", 0.0284, 0.000517),
    "segment": ("log loss", 0.0651, 0.0231),
    "abalone": ("RMSE", 2.139, 0.118),
    "wine": ("RMSE", 0.6109, 0.0224),
    "diamonds": ("RMSE", 522.3, 19.8),
}
REGRESSION = {"ames", "california", "diamonds", "wine", "abalone"}


class Own:
    """A learner of the extension on a file that boosting.c reads."""

    def __init__(self, binary, path, y, settings):
        self.command, self.path, self.y = [binary, path, "1", *settings], path, y

    def fit(self):
        """(CPU seconds, AUC)"""
        out = subprocess.run(self.command, check=True, capture_output=True, text=True).stdout.split()
        return float(out[0]), boosting.auc(self.y, np.fromfile(self.path + ".out"))


class XGBoost:
    """XGBoost's `hist`, trees of depth 6."""

    def __init__(self, x, y, trees):
        import xgboost

        self.xgboost, self.x, self.y, self.trees = xgboost, x, y, trees

    def fit(self):
        """(CPU seconds, AUC)"""
        learn = boosting.LEARN
        matrix = self.xgboost.DMatrix(self.x[:learn], self.y[:learn], nthread=1)
        settings = {"objective": "binary:logistic", "tree_method": "hist", "max_bin": 255, "eta": 0.1, "lambda": 1, "max_depth": 6,
                    "grow_policy": "depthwise", "nthread": 1}
        cpu = time.process_time()
        booster = self.xgboost.train(settings, matrix, self.trees)
        cpu = time.process_time() - cpu
        return cpu, boosting.auc(self.y, booster.predict(self.xgboost.DMatrix(self.x[learn:])))


def speed(binary, folder, rounds, trees):
    """Lines of the table of CPU seconds."""
    plain = ["bootstrap_type=none", "random_strength=0", "leaf_estimation_iterations=1", "one_hot_max_size=1"]
    lines = ["| table, trees | settings | pgml_auto, CPU | XGBoost, CPU | ratio | AUC | XGBoost |", "|---|---|---:|---:|---:|---:|---:|"]
    for name, make in (("28 numeric", boosting.numeric_table), ("6 categories, 4 numeric", boosting.mixed_table)):
        x, levels, y = make(boosting.LEARN + boosting.TEST)
        path = os.path.join(folder, "table")
        boosting.write_table(path, x, levels, y)
        common = ["learner=oblivious_boosting", f"n_estimators={trees}", "learning_rate=0.1", "l2_leaf_reg=1"]
        forms = {"defaults": common, "nothing random, one step": common + plain}
        if max(levels) > 0:
            forms = {"defaults": common, "no combinations": common + ["max_ctr_complexity=1"]}
        learners = {form: Own(binary, path, y, settings) for form, settings in forms.items()}
        learners["xgboost"] = XGBoost(x, y, trees)
        seen = {}
        for _ in range(rounds):
            for who, learner in learners.items():
                seen.setdefault(who, []).append(learner.fit())
                print(name, who, "%.2f %.4f" % seen[who][-1], file=sys.stderr, flush=True)
        median = {who: [statistics.median(c) for c in zip(*runs)] for who, runs in seen.items()}
        peer = median["xgboost"]
        lines += [f"| {name}, {trees} | {form} | {median[form][0]:.1f} s | {peer[0]:.1f} s | {median[form][0] / peer[0]:.2f} | "
                  f"{median[form][1]:.4f} | {peer[1]:.4f} |" for form in forms]
    return lines


# ---- accuracy ----


def read(name):
    """(frame, target as numbers, classes, categorical columns)"""
    import pandas as pd

    file, target, left_out, all_categories = (SETS | ONLY_PUBLISHED)[name]
    missing = [""] if name == "ames" else ["", "?", "NULL", "NA", "null"]
    frame = pd.read_csv(os.path.join(os.environ["PGML_DATA"], file), keep_default_na=False, na_values=missing, low_memory=False)
    frame = frame.drop(columns=left_out)
    y = frame.pop(target)
    if name in REGRESSION:
        y, classes = y.astype(float).values, 1
    else:
        labels = sorted(y.astype(str).unique())
        y, classes = y.astype(str).map({v: i for i, v in enumerate(labels)}).values.astype(float), len(labels)
    categories = []
    for column in frame:
        number = pd.to_numeric(frame[column], errors="coerce")
        if number.notna().sum() == frame[column].notna().sum() and not all_categories:
            frame[column] = number.astype(np.float32)
        else:
            categories.append(column)
    return frame, y, classes, categories


def encode(frame, categories, train):
    """Columns as float32, levels by falling count in the training rows; unknown ones are missing."""
    x = np.empty(frame.shape, np.float32)
    levels = []
    for j, column in enumerate(frame):
        if column not in categories:
            x[:, j] = frame[column]
            levels.append(0)
            continue
        text = frame[column].map(lambda v: None if v != v or v is None else str(v))
        known = {v: i for i, v in enumerate(text.iloc[train].dropna().value_counts().index)}
        x[:, j] = text.map(known).astype(np.float32)
        levels.append(max(1, len(known)))
    return x, levels


def loss(y, p, classes):
    """RMSE or log loss."""
    from sklearn.metrics import log_loss, mean_squared_error

    if classes == 1:
        return mean_squared_error(y, p) ** 0.5
    return log_loss(y, p, labels=list(range(classes)))


def own_prediction(binary, path, x, levels, y, classes, parts, settings):
    """What a learner of the extension predicts for the last part."""
    train, valid, test = parts
    order = np.concatenate(parts)
    n = len(train) + len(valid)
    with open(path, "wb") as file:
        np.array([n, len(test), x.shape[1], classes], np.int64).tofile(file)
        np.array(levels, np.int64).tofile(file)
        np.ascontiguousarray(x[order].T).tofile(file)
        y[order][:n].tofile(file)
    subprocess.run([binary, path, "1", settings[0], f"valid={len(valid)}", *settings[1:]], check=True, capture_output=True)
    p = np.fromfile(path + ".out")
    return p.reshape(len(test), -1) if classes > 2 else p


def own_loss(binary, path, x, levels, y, classes, parts, settings):
    """Loss of a learner of the extension."""
    return loss(y[parts[2]], own_prediction(binary, path, x, levels, y, classes, parts, settings), classes)


def xgboost_loss(x, levels, y, classes, parts, one_hot):
    """Loss of XGBoost."""
    import xgboost
    from scipy import sparse

    if one_hot:
        columns = []
        for j, n in enumerate(levels):
            known = ~np.isnan(x[:, j])
            if n == 0:
                columns.append(sparse.csr_matrix(np.where(x[:, [j]] == 0, 1e-30, x[:, [j]])))
            else:
                columns.append(sparse.csr_matrix((np.ones(known.sum(), np.float32), (np.where(known)[0], x[known, j].astype(int))),
                                                 shape=(len(x), n)))
        x = sparse.hstack(columns).tocsr()
    settings = {"tree_method": "hist", "eta": 0.05, "max_depth": 6, "nthread": 1,
                "objective": "reg:squarederror" if classes == 1 else "binary:logistic" if classes == 2 else "multi:softprob"}
    if classes > 2:
        settings["num_class"] = classes
    train, valid, test = (xgboost.DMatrix(x[part], y[part]) for part in parts)
    booster = xgboost.train(settings, train, ROUNDS, evals=[(valid, "valid")], early_stopping_rounds=50, verbose_eval=False)
    return loss(y[parts[2]], booster.predict(test, iteration_range=(0, booster.best_iteration + 1)), classes)


def accuracy(binary, folder, seeds):
    """Lines of the table of losses."""
    from sklearn.model_selection import train_test_split

    lines = ["| set, splits | loss | oblivious_boosting | gradient_boosting | XGBoost | over the better of the two |",
             "|---|---|---:|---:|---:|---:|"]
    path = os.path.join(folder, "set")
    for name in SETS:
        frame, y, classes, categories = read(name)
        rows = []
        splits = seeds * (4 if len(y) < 2000 else 1)
        for seed in range(1, splits + 1):
            by = None if classes == 1 else y
            rest, test = train_test_split(np.arange(len(y)), test_size=0.25, random_state=seed, stratify=by)
            train, valid = train_test_split(rest, test_size=0.2, random_state=seed, stratify=None if classes == 1 else y[rest])
            x, levels = encode(frame, categories, train)
            parts = (train, valid, test)
            rows.append([own_loss(binary, path, x, levels, y, classes, parts, ["learner=oblivious_boosting", f"n_estimators={ROUNDS}"]),
                         own_loss(binary, path, x, levels, y, classes, parts,
                                  ["learner=gradient_boosting", f"n_estimators={ROUNDS}", "learning_rate=0.05"]),
                         xgboost_loss(x, levels, y, classes, parts, False),
                         xgboost_loss(x, levels, y, classes, parts, True) if categories else np.inf])
            print(name, seed, rows[-1], file=sys.stderr, flush=True)
        rows = np.array(rows)
        ours, boosted = rows[:, :2].mean(axis=0)
        one_hot = rows[:, 2:].mean(axis=0).argmin()
        peer = rows[:, 2 + one_hot].mean()
        better = rows[:, 1 if boosted < peer else 2 + one_hot]
        error = (rows[:, 0] - better).std(ddof=1) / len(rows)**0.5
        lines.append(f"| {name}, {splits} | {'RMSE' if classes == 1 else 'log loss'} | {ours:.5g} | {boosted:.5g} | {peer:.5g} | "
                     f"{100 * (ours / better.mean() - 1):+.1f} % ± {100 * error / better.mean():.1f} |")
    return lines


def published(binary, folder):
    """Lines of the table beside CatBoost's published scores."""
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

    lines = ["| set | metric | CatBoost, published | deviation between folds | oblivious_boosting | better by |", "|---|---|---:|---:|---:|---:|"]
    for name, (metric, theirs, deviation) in PUBLISHED.items():
        frame, y, classes, categories = read(name)
        scores = []
        folds = (KFold if classes == 1 else StratifiedKFold)(10, shuffle=True, random_state=1)
        for rest, test in folds.split(frame, y):
            train, valid = train_test_split(rest, test_size=0.1, random_state=1, stratify=None if classes == 1 else y[rest])
            x, levels = encode(frame, categories, train)
            p = own_prediction(binary, os.path.join(folder, "set"), x, levels, y, classes, (train, valid, test),
                               ["learner=oblivious_boosting", f"n_estimators={ROUNDS}"])
            scores.append(roc_auc_score(y[test], p) if metric == "AUC" else loss(y[test], p, classes))
        ours = statistics.mean(scores)
        gain = (ours - theirs if metric == "AUC" else theirs - ours) / theirs
        lines.append(f"| {name} | {metric} | {theirs:.5g} | {deviation:.3g} | {ours:.5g} | {100 * gain:+.1f} % |")
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a fifth of the trees")
    parser.add_argument("--accuracy", action="store_true", help="losses on real data sets instead of speed")
    parser.add_argument("--published", action="store_true", help="scores beside published ones instead of speed")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--report", help="write the table into this file between its markers")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        binary = boosting.compile_driver(folder)
        if args.accuracy:
            name, lines = "oblivious accuracy", accuracy(binary, folder, args.seeds)
        elif args.published:
            name, lines = "oblivious published", published(binary, folder)
        else:
            name, lines = "oblivious", speed(binary, folder, args.rounds, TREES // (5 if args.quick else 1))
    text = "\n".join(lines) + "\n"
    print(text)
    results = {}
    if os.path.exists(RESULTS):
        with open(RESULTS) as file:
            results = json.load(file)
    results[name] = lines
    with open(RESULTS, "w") as file:
        json.dump(results, file, indent=1)
    if args.report:
        write_report(args.report, name, text)


if __name__ == "__main__":
    main()

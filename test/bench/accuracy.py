#!/usr/bin/python3
"""Accuracy of automl_train with its defaults against scikit-learn's HistGradientBoosting with its defaults.

Same outer splits for both: 25 % of the rows, drawn by seed (stratified for classes), are scored and seen by nobody
before.  HistGradientBoosting trains on the other 75 %.  pgml_auto gets the same rows twice: with its default settings (it holds
out 20 % of them as its own test rows, so it learns from less), and with test_size => 0 (it learns from all of them).

Every finished run is a line of results/accuracy.jsonl; runs found there are not repeated.  Needs PGML_DATA (a folder
with the CSV files), a server that has the extension (PGHOST ...), python3-sklearn, python3-pandas, python3-psycopg2.
Usage: accuracy.py [--seconds 30] [--seeds 0,1,2] [--sets adult,letter] [--report FILE]
"""
import argparse
import json
import os
import statistics
import time

from report import write_report

HERE = os.path.dirname(os.path.abspath(__file__))
RESULTS = os.path.join(HERE, "results", "accuracy.jsonl")

# name: (file, target, task, columns left out)
SETS = {
    "adult": ("adult.csv", "income", "binary", []),
    "credit_g": ("credit_g.csv", "class", "binary", []),
    "credit_default": ("credit_card_default.csv", "DEFAULT", "binary", ["ID"]),
    "magic": ("magic_telescope.csv", "class", "binary", []),
    "phoneme": ("phoneme.csv", "Class", "binary", []),
    "letter": ("letter.csv", "letter", "multiclass", []),
    "satimage": ("satimage.csv", "classes", "multiclass", []),
    "segment": ("segment.csv", "class", "multiclass", []),
    "california": ("california_housing.csv", "median_house_value", "regression", []),
    "diamonds": ("diamonds.csv", "price", "regression", []),
    "bike_hour": ("bike_sharing_hour.csv", "cnt", "regression", ["instant", "dteday", "casual", "registered"]),
    "ames": ("ames_modeldata.csv", "Sale_Price", "regression", []),
}
METRIC = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}


def read(name):
    import pandas as pd

    file, target, task, left_out = SETS[name]
    path = os.path.join(os.environ["PGML_DATA"], file)
    frame = pd.read_csv(path, keep_default_na=False, na_values=[""], low_memory=False)
    return frame.drop(columns=left_out), target, task


def split(frame, target, task, seed):
    from sklearn.model_selection import train_test_split

    return train_test_split(frame, test_size=0.25, random_state=seed,
                            stratify=None if task == "regression" else frame[target].astype(str))


def score(task, truth, prediction, classes=None):
    from sklearn.metrics import log_loss, mean_squared_error, roc_auc_score

    if task == "binary":
        return roc_auc_score(truth, prediction)
    if task == "multiclass":
        return log_loss(truth, prediction, labels=classes)
    return mean_squared_error(truth, prediction) ** 0.5


def hist_gradient_boosting(train, test, target, task):
    """scikit-learn's defaults; '?' is missing, text is a category known from the training rows."""
    import numpy as np
    import pandas as pd
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.preprocessing import OrdinalEncoder

    x, z = train.drop(columns=[target]).replace("?", np.nan), test.drop(columns=[target]).replace("?", np.nan)
    text = []
    for column in x.columns:
        number = pd.to_numeric(x[column], errors="coerce")
        if number.notna().sum() == x[column].notna().sum():
            x[column], z[column] = number, pd.to_numeric(z[column], errors="coerce")
        else:
            text.append(column)
    if text:
        encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
        x[text], z[text] = encoder.fit_transform(x[text].astype(object)), encoder.transform(z[text].astype(object))
    mask = [c in text for c in x.columns]
    kind = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    model = kind(categorical_features=mask if text else None, random_state=0)
    start = time.time()
    if task == "regression":
        model.fit(x, train[target].astype(float))
        seconds = time.time() - start
        return score(task, test[target].astype(float), model.predict(z)), seconds
    model.fit(x, train[target].astype(str))
    seconds = time.time() - start
    p = model.predict_proba(z)
    classes = list(model.classes_)
    truth = test[target].astype(str)
    if task == "binary":
        return score(task, (truth == classes[1]).astype(int), p[:, 1]), seconds
    return score(task, truth, p, classes), seconds


def load(connection, table, frame):
    """A table with an id; numbers as float8 or bigint, everything else as text, NULL where the file is empty."""
    import io

    from psycopg2.extensions import quote_ident

    cursor = connection.cursor()
    types = {"i": "bigint", "f": "float8", "b": "boolean"}
    columns = ", ".join(f"{quote_ident(c, cursor)} {types.get(frame[c].dtype.kind, 'text')}" for c in frame.columns)
    cursor.execute(f"DROP TABLE IF EXISTS {table}; CREATE TABLE {table} (row_number bigint PRIMARY KEY, {columns})")
    buffer = io.StringIO()
    frame.to_csv(buffer, header=False, index=True)
    buffer.seek(0)
    cursor.copy_expert(f"COPY {table} FROM STDIN WITH (FORMAT csv)", buffer)
    cursor.execute(f"ANALYZE {table}")


def pgml_auto(connection, train, test, target, task, seconds, seed, test_size):
    from psycopg2.extensions import quote_ident

    load(connection, "bench_train", train)
    load(connection, "bench_test", test)
    cursor = connection.cursor()
    cursor.execute("SELECT 1 FROM pgml_auto.model WHERE name = 'bench'")
    if cursor.fetchone():
        cursor.execute("SELECT automl_drop('bench')")
    start = time.time()
    cursor.execute(
        "SELECT algorithm FROM automl_train('bench', 'bench_train', %s, "
        "task => %s, time_budget => make_interval(secs => %s), seed => %s, test_size => %s)",
        (target, task, seconds, seed, test_size))
    algorithm = cursor.fetchone()[0]
    wall = time.time() - start
    name = quote_ident(target, cursor)
    if task == "regression":
        cursor.execute(f"SELECT {name}, predict_value('bench', t) FROM bench_test t")
        rows = cursor.fetchall()
        value = score(task, [float(r[0]) for r in rows], [r[1] for r in rows])
    elif task == "binary":
        cursor.execute(f"SELECT {name}::text, predict_proba('bench', t) FROM bench_test t")
        rows = cursor.fetchall()
        positive = max(str(r[0]) for r in rows)
        value = score(task, [int(str(r[0]) == positive) for r in rows], [r[1] for r in rows])
    else:
        cursor.execute(f"SELECT {name}::text, predict_probs('bench', t) FROM bench_test t")
        rows = cursor.fetchall()
        classes = sorted(set(train[target].astype(str)))
        value = score(task, [r[0] for r in rows], [[r[1].get(c, 0.0) for c in classes] for r in rows], classes)
    return value, wall, algorithm


def done():
    if not os.path.exists(RESULTS):
        return {}
    with open(RESULTS) as file:
        rows = [json.loads(line) for line in file if line.strip()]
    return {(r["set"], r["seed"], r["system"], r["seconds"]): r for r in rows}


def run(args):
    import psycopg2

    have = done()
    connection = psycopg2.connect("")
    connection.autocommit = True
    connection.cursor().execute("CREATE EXTENSION IF NOT EXISTS pgml_auto")
    for seed in args.seeds:
        for name in args.sets:
            missing = [s for s in ("hist_gradient_boosting", "pgml_auto", "pgml_auto all rows")
                       if (name, seed, s, args.seconds) not in have]
            if not missing:
                continue
            frame, target, task = read(name)
            train, test = split(frame, target, task, seed)
            for system in missing:
                if system == "hist_gradient_boosting":
                    value, wall = hist_gradient_boosting(train.copy(), test.copy(), target, task)
                    extra = {}
                else:
                    value, wall, algorithm = pgml_auto(connection, train, test, target, task, args.seconds, seed,
                                                       0.2 if system == "pgml_auto" else 0.0)
                    extra = {"algorithm": algorithm}
                row = {"set": name, "seed": seed, "system": system, "seconds": args.seconds, "metric": METRIC[task],
                       "score": value, "wall": round(wall, 2), "train_rows": len(train), **extra}
                with open(RESULTS, "a") as file:
                    file.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)


def verdict(task, ours, peer):
    """True when not worse: AUC difference >= -0.002, or at most 0.5 % more loss."""
    return ours >= peer - 0.002 if task == "binary" else ours <= peer * 1.005


def report(args):
    have = done()
    lines = ["| set | metric | HistGradientBoosting | pgml_auto, defaults | not worse | pgml_auto, test_size 0 | not worse |",
             "|---|---|---:|---:|---|---:|---|"]
    wins = [0, 0]
    for name in args.sets:
        task = SETS[name][2]
        means = []
        for system in ("hist_gradient_boosting", "pgml_auto", "pgml_auto all rows"):
            values = [have[(name, s, system, args.seconds)]["score"] for s in args.seeds
                      if (name, s, system, args.seconds) in have]
            means.append(statistics.mean(values) if len(values) == len(args.seeds) else None)
        if None in means:
            continue
        ok = [verdict(task, means[1], means[0]), verdict(task, means[2], means[0])]
        wins = [wins[i] + ok[i] for i in (0, 1)]
        digits = ".4f" if task != "regression" else ".5g"
        lines.append(f"| {name} | {METRIC[task]} | {means[0]:{digits}} | {means[1]:{digits}} | "
                     f"{'yes' if ok[0] else 'no'} | {means[2]:{digits}} | {'yes' if ok[1] else 'no'} |")
    lines.append(f"| **not worse on** | | | | **{wins[0]} of {len(lines) - 2}** | | **{wins[1]} of {len(lines) - 2}** |")
    text = "\n".join(lines) + "\n"
    if not args.report:
        print(text)
        return
    write_report(args.report, "accuracy", text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--seeds", type=lambda s: [int(x) for x in s.split(",")], default=[0, 1, 2])
    parser.add_argument("--sets", type=lambda s: s.split(","), default=list(SETS))
    parser.add_argument("--report", help="write the table into this file between its markers")
    parser.add_argument("--only-report", action="store_true")
    args = parser.parse_args()
    if not args.only_report:
        run(args)
    report(args)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""How often predict_interval and predict_set hold the truth on rows that no training has seen, and how wide they are.

Ten tables, each split by seed as in automl.py: a quarter of the rows is put aside, pgml_auto trains with its defaults on the rest (of which it
tests on a fifth itself) and again without test rows; all levels are looked up for the rows put aside.

Regression is compared with the naive interval, prediction +- z x rmse, with the model's own test rmse and the normal distribution's z.
"Worst fifth" is the share held in that fifth of the predictions, by size, where it is smallest.  Every finished run is a line of
results/coverage.jsonl; runs found there are not repeated.
Needs PGML_DATA (a folder with the CSV files), a server that has the extension (PGHOST ...), python3-sklearn, python3-pandas, python3-psycopg2.
Usage: coverage.py [--seconds 5] [--seeds 0,1,2] [--sets abalone,letter] [--test-sizes 0.2,0] [--report FILE]
"""
import argparse
import itertools
import json
import os
import statistics
from statistics import NormalDist

import automl_sets
from report import show_report

RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results", "coverage.jsonl")
LEVELS = [0.8, 0.9, 0.95]
automl_sets.SETS["wine_quality"] = automl_sets.SETS["wine_quality"]._replace(task="multiclass")
SETS = ["abalone", "bike_hour", "california", "diamonds", "ames",
        "credit_default", "phoneme", "satimage", "letter", "wine_quality"]


def train(cursor, frame, target, task, args, test_size, seed):
    automl_sets.load(cursor.connection, "bench_train", frame)
    cursor.execute("SELECT 1 FROM pgml_auto.model WHERE name = 'bench'")
    if cursor.fetchone():
        cursor.execute("SELECT automl_drop('bench')")
    cursor.execute("SELECT algorithm FROM automl_train('bench', 'bench_train', %s, task => %s, "
                   "time_budget => make_interval(secs => %s), seed => %s, test_size => %s)",
                   (target, task, args.seconds, seed, test_size))
    return cursor.fetchone()[0]


def intervals(cursor, column):
    """Share held and mean width of both kinds of interval, by level."""
    cursor.execute("SELECT value FROM pgml_auto.metric WHERE model = 'bench' AND metric = 'rmse'")
    rmse = cursor.fetchone()[0]
    result = {}
    for level in LEVELS:
        cursor.execute(f"SELECT {column}::float8, prediction, lower, upper FROM bench_test t, predict_interval('bench', t, %s)", (level,))
        half = NormalDist().inv_cdf((1 + level) / 2) * rmse
        rows = sorted(((p, lower <= y <= upper, abs(y - p) <= half, upper - lower) for y, p, lower, upper in cursor.fetchall()),
                      key=lambda row: row[0])
        fifths = [rows[len(rows) * i // 5:len(rows) * (i + 1) // 5] for i in range(5)]
        result[str(level)] = {"held": statistics.mean(r[1] for r in rows), "naive_held": statistics.mean(r[2] for r in rows),
                              "worst": min(statistics.mean(r[1] for r in f) for f in fifths),
                              "naive_worst": min(statistics.mean(r[2] for r in f) for f in fifths),
                              "width": statistics.mean(r[3] for r in rows) / (2 * half)}
    return result


def sets(cursor, column):
    result = {}
    for level in LEVELS:
        cursor.execute(f"SELECT avg(({column}::text = ANY (s))::int)::float8, avg(cardinality(s))::float8, "
                       f"avg(({column}::text = s[1])::int)::float8 FROM bench_test t, predict_set('bench', t, %s) AS s", (level,))
        held, size, accurate = cursor.fetchone()
        result[str(level)] = {"held": held, "size": size, "accuracy": accurate}
    return result


def done():
    if not os.path.exists(RESULTS):
        return {}
    with open(RESULTS) as file:
        rows = [json.loads(line) for line in file if line.strip()]
    return {(r["set"], r["seed"], r["seconds"], r["test_size"]): r for r in rows}


def run(args):
    import psycopg2
    from psycopg2.extensions import quote_ident

    have = done()
    connection = psycopg2.connect("")
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("CREATE EXTENSION IF NOT EXISTS pgml_auto")
    for test_size, seed, name in itertools.product(args.test_sizes, args.seeds, args.sets):
        if (name, seed, args.seconds, test_size) in have:
            continue
        frame, target, task = automl_sets.read(name), automl_sets.SETS[name].target, automl_sets.SETS[name].task
        # wine_quality has a class of five rows.
        rare = frame[target].map(frame[target].value_counts()) < 10 if task != "regression" else None
        if rare is not None:
            frame = frame[~rare]
        part = automl_sets.part(name, f"s{seed}", frame)
        training, test = part.training, part.test
        automl_sets.load(connection, "bench_test", test)
        algorithm = train(cursor, training, target, task, args, test_size, seed)
        column = quote_ident(target, cursor)
        levels = intervals(cursor, column) if task == "regression" else sets(cursor, column)
        row = {"set": name, "seed": seed, "seconds": args.seconds, "test_size": test_size, "task": task,
               "train_rows": len(training), "test_rows": len(test), "algorithm": algorithm, "levels": levels}
        with open(RESULTS, "a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


def is_held(rows, level):
    """Within two points; sets may hold more where the predicted class alone does."""
    most = statistics.mean(max(level, r["levels"][str(level)].get("accuracy", 0)) for r in rows)
    return level - 0.02 <= mean(rows, level, "held") <= most + 0.02


def mean(rows, level, what):
    return statistics.mean(r["levels"][str(level)][what] for r in rows)


def runs(have, args, name, test_size):
    return [have[(name, s, args.seconds, test_size)] for s in args.seeds if (name, s, args.seconds, test_size) in have]


def table(have, args, task_of_table, header, cells):
    lines = [header, "|" + "---|" + "---:|" * (header.count("|") - 2)]
    good = 0
    for name in args.sets:
        rows = runs(have, args, name, 0.2)
        if not rows or len(rows) < len(args.seeds) or (rows[0]["task"] == "regression") != (task_of_table == "regression"):
            continue
        within = all(is_held(rows, level) for level in LEVELS)
        good += within
        lines.append(f"| {name} | " + " | ".join(cells(rows)) + f" | {'yes' if within else 'no'} |")
    return lines, good


def without_test_rows(have, args):
    """One line for each table, where there are runs with test_size 0."""
    lines = ["", "The same with `test_size => 0`, calibrated on validation rows:", "",
             "| set | accuracy | held at 0.8 | at 0.9 | at 0.95 |", "|---|---:|---:|---:|---:|"]
    for name in args.sets:
        rows = runs(have, args, name, 0)
        if len(rows) == len(args.seeds):
            accurate = "" if rows[0]["task"] == "regression" else f"{mean(rows, 0.9, 'accuracy'):.3f}"
            lines.append(f"| {name} | {accurate} | " + " | ".join(f"{mean(rows, level, 'held'):.3f}" for level in LEVELS) + " |")
    return "\n".join(lines) + "\n" if len(lines) > 5 else ""


def report(args):
    have = done()
    numbers, good = table(
        have, args, "regression",
        "| set | rows aside | held at 0.8 | at 0.9 | at 0.95 | width, of naive, at 0.8 | at 0.9 | at 0.95 | naive held at 0.9 | "
        "worst fifth at 0.9 | naive | within 2 points |",
        lambda rows: [f"{rows[0]['test_rows']:,}"] + [f"{mean(rows, level, 'held'):.3f}" for level in LEVELS]
        + [f"{mean(rows, level, 'width'):.2f}" for level in LEVELS]
        + [f"{mean(rows, 0.9, w):.3f}" for w in ("naive_held", "worst", "naive_worst")])
    classes, more = table(
        have, args, "classes",
        "| set | rows aside | accuracy | held at 0.8 | at 0.9 | at 0.95 | mean size of the set at 0.8 | at 0.9 | at 0.95 | within 2 points |",
        lambda rows: [f"{rows[0]['test_rows']:,}", f"{mean(rows, 0.9, 'accuracy'):.3f}"]
        + [f"{mean(rows, level, w):.{d}f}" for w, d in (("held", 3), ("size", 2)) for level in LEVELS])
    n = len(numbers) + len(classes) - 4
    text = "\n".join(numbers + [""] + classes + ["", f"Within two points at all three levels: {good + more} of {n} tables."]) + "\n"
    text += without_test_rows(have, args)
    show_report(args.report, "coverage", text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--seeds", type=lambda s: [int(x) for x in s.split(",")], default=[0, 1, 2])
    parser.add_argument("--sets", type=lambda s: s.split(","), default=SETS)
    parser.add_argument("--test-sizes", type=lambda s: [float(x) for x in s.split(",")], default=[0.2, 0.0])
    parser.add_argument("--report", help="write the tables into this file between its markers")
    parser.add_argument("--only-report", action="store_true")
    args = parser.parse_args()
    if not args.only_report:
        run(args)
    report(args)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""How the time and the memory of a training grow with its rows: 10,000 to 10,000,000 rows of 28 numbers, on one plot.

Each training is one gradient boosting fit of 100 trees of 31 leaves on a connection of its own; small sizes are repeated and their medians taken.  Memory is
the most that the server's process held of its own (RssAnon, looked at every 10 ms) above what it held before; CPU is what its threads took together.
Has to run where the server runs.
Measurements are kept in results/growth.json: sizes that are not asked for keep theirs.
Needs a server that has the extension (PGHOST ...), python3-psycopg2, python3-numpy.
Usage: growth.py [--rows N ...] [--keep] [--report FILE [--plot FILE]]
"""
import argparse
import json
import math
import os
import statistics
import threading
import time

import tables
from report import write_report

RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results", "growth.json")
HYPERPARAMS = {"n_estimators": 100, "num_leaves": 31, "learning_rate": 0.1, "min_data_in_leaf": 20}
MATRIX_BYTES = tables.COLUMNS * (4 + 1)  # of a row: a float and a bin for each column


class Watch:
    """The largest RssAnon of a process while it is looked at, in bytes above that of the beginning."""

    def __init__(self, pid):
        self.pid = pid
        self.start = self.most = self.rss()
        self.running = True
        self.thread = threading.Thread(target=self.look)
        self.thread.start()

    def rss(self):
        with open(f"/proc/{self.pid}/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))

    def look(self):
        while self.running:
            self.most = max(self.most, self.rss())
            time.sleep(0.01)

    def cpu(self):
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.running = False
        self.thread.join()
        return self.most - self.start


def train(table):
    """Rows, seconds, seconds of CPU and bytes of one training."""
    import psycopg2

    connection = psycopg2.connect("")
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("SET pgml_auto.max_threads = 2")
    cursor.execute("SET pgml_auto.max_memory = '16GB'")
    cursor.execute("SELECT automl_drop(name) FROM pgml_auto.model WHERE name = 'bench_growth'")
    cursor.execute("SELECT pg_backend_pid()")
    watch = Watch(cursor.fetchone()[0])
    start, cpu = time.perf_counter(), watch.cpu()
    cursor.execute(f"SELECT rows FROM automl_train('bench_growth', '{table}', 'label', algorithms => '{{gradient_boosting}}', max_trials => 1, "
                   "options => '{\"folds\": 1, \"refit\": false}', hyperparams => %s)", (json.dumps(HYPERPARAMS),))
    rows = cursor.fetchone()[0]
    seconds, cpu = time.perf_counter() - start, watch.cpu() - cpu
    most = watch.stop()
    connection.close()
    return rows, seconds, cpu, most


def measure(cursor, n, keep):
    table = f"bench_growth_{n}"
    tables.make_table(cursor, table, n)
    runs = [train(table) for _ in range(1 if n > 1_000_000 else 3)]
    if not keep:
        cursor.execute(f"DROP TABLE {table}")
    assert all(run[0] == n for run in runs), "a sample was trained on: raise max_memory"
    return {"rows": n, "seconds": statistics.median(run[1] for run in runs), "cpu": statistics.median(run[2] for run in runs),
            "bytes": max(run[3] for run in runs)}


def label(value, unit):
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.2g} {unit}"


def panel(points, key, scale, unit, title, left, colour):
    """One log-log panel of the plot: the measurements, and a line through the largest that grows with the rows."""
    width, height, top = 320, 240, 50
    values = [point[key] / scale for point in points]
    low_x, high_x = math.log10(points[0]["rows"]), math.log10(points[-1]["rows"])
    low_y = math.floor(math.log10(min(values + [values[-1] * points[0]["rows"] / points[-1]["rows"]])))
    high_y = math.ceil(math.log10(max(values)))

    def place(rows, value):
        return (left + width * (math.log10(rows) - low_x) / max(high_x - low_x, 1),
                top + height * (high_y - math.log10(value)) / max(high_y - low_y, 1))

    out = [f'<text x="{left + width / 2}" y="{top - 20}" text-anchor="middle" font-weight="bold">{title}</text>',
           f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#999"/>']
    for power in range(low_y, high_y + 1):
        _, y = place(points[0]["rows"], 10.0 ** power)
        out.append(f'<line x1="{left}" y1="{y:.1f}" x2="{left + width}" y2="{y:.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{label(10.0 ** power, unit)}</text>')
    for point in points:
        x, _ = place(point["rows"], 10.0 ** low_y)
        out.append(f'<line x1="{x:.1f}" y1="{top + height}" x2="{x:.1f}" y2="{top + height + 4}" stroke="#999"/>')
        out.append(f'<text x="{x:.1f}" y="{top + height + 18}" text-anchor="middle">{point["rows"]:,}</text>')
    out.append(f'<text x="{left + width / 2}" y="{top + height + 36}" text-anchor="middle">rows</text>')
    x1, y1 = place(points[0]["rows"], values[-1] * points[0]["rows"] / points[-1]["rows"])
    x2, y2 = place(points[-1]["rows"], values[-1])
    out.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#777" stroke-dasharray="5 4"/>')
    line = " ".join("{:.1f},{:.1f}".format(*place(point["rows"], value)) for point, value in zip(points, values))
    out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
    for point, value in zip(points, values):
        x, y = place(point["rows"], value)
        out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
        # The curve rises: above and to the left of a point is room, but for the first, over whose label it would run.
        x, y, anchor = (x + 4, y - 18, "start") if point is points[0] else (x - 6, y - 8, "end")
        out.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{label(value, unit)}</text>')
    # The legend, where the curve is not.
    x, y = left + width - 150, top + height - 32
    out.append(f'<line x1="{x}" y1="{y}" x2="{x + 24}" y2="{y}" stroke="{colour}" stroke-width="2"/>')
    out.append(f'<circle cx="{x + 12}" cy="{y}" r="4" fill="{colour}"/>')
    out.append(f'<text x="{x + 30}" y="{y + 4}">measured</text>')
    out.append(f'<line x1="{x}" y1="{y + 18}" x2="{x + 24}" y2="{y + 18}" stroke="#777" stroke-dasharray="5 4"/>')
    out.append(f'<text x="{x + 30}" y="{y + 22}">in proportion to rows</text>')
    return out


def plot(points):
    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="880" height="350" viewBox="0 0 880 350" font-family="sans-serif" font-size="11">',
           '<rect width="880" height="350" fill="white"/>']
    out += panel(points, "seconds", 1, "s", "Time of a training", 70, "#1b6ca8")
    out += panel(points, "bytes", 1e6, "MB", "Most memory of a training", 520, "#b3541e")
    return "\n".join(out + ["</svg>"]) + "\n"


def report(points):
    lines = ["| rows | time | CPU | memory | times the matrices | time, of the next smaller |", "|---:|---:|---:|---:|---:|---:|"]
    for before, point in zip([None] + points, points):
        factor = f"{point['seconds'] / before['seconds']:.1f} for {point['rows'] / before['rows']:g} times the rows" if before else ""
        lines.append(f"| {point['rows']:,} | {point['seconds']:.2f} s | {format(point['cpu'], '.2f') + ' s' if 'cpu' in point else ''} | {point['bytes'] / 1e6:,.0f} MB | "
                     f"{point['bytes'] / (point['rows'] * MATRIX_BYTES):.1f} | {factor} |")
    return "\n".join(lines) + "\n"


def main():
    import psycopg2

    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 100_000, 1_000_000, 10_000_000])
    parser.add_argument("--keep", action="store_true", help="leave the tables for the next time")
    parser.add_argument("--report", help="write the table into this file between its markers, and the plot beside it")
    parser.add_argument("--plot", help="write the plot into this file")
    args = parser.parse_args()
    connection = psycopg2.connect("")
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("CREATE EXTENSION IF NOT EXISTS pgml_auto")
    points = {}
    if os.path.exists(RESULTS):
        with open(RESULTS) as file:
            points = {point["rows"]: point for point in json.load(file)}
    for n in sorted(args.rows):
        points[n] = measure(cursor, n, args.keep)
        print(points[n], flush=True)
        with open(RESULTS, "w") as file:
            json.dump([points[rows] for rows in sorted(points)], file, indent=1)
            file.write("\n")
    points = [points[rows] for rows in sorted(points)]
    print(report(points))
    if args.report:
        write_report(args.report, "growth", report(points))
        args.plot = args.plot or os.path.join(os.path.dirname(args.report), "growth.svg")
    if args.plot:
        with open(args.plot, "w") as file:
            file.write(plot(points))


if __name__ == "__main__":
    main()

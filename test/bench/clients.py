#!/usr/bin/python3
"""Many connections: memory of a large model in all of them, throughput of single predictions, and what one takes.

A server of its own is made in a temporary folder, once with and once without shared_preload_libraries.  Run it as a user that may run
PostgreSQL (not root).  Needs initdb, pg_ctl and pgbench (PG_CONFIG or pg_config tells where), the extension installed (PGML_STAGE:
in a stage), python3-psycopg2; without preloading the memory of all connections is about 7 GB.
Usage: clients.py [--connections 64] [--trees 650] [--seconds 5] [--rounds 5] [--only memory|throughput] [--report FILE]
"""
import argparse
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time

from report import write_report

BIN = subprocess.run([os.environ.get("PG_CONFIG", "pg_config"), "--bindir"], capture_output=True, text=True,
                     check=True).stdout.strip()
HEADS = {"clients memory": ["| preloaded | private memory | proportional memory | first prediction of the first connection | of the others |",
                            "|---|---:|---:|---:|---:|"],
         "clients throughput": ["| preloaded | one column, per second | whole row, per second | predict, per second | "
                                "share of one column | share of the whole row |",
                                "|---|---:|---:|---:|---:|---:|"],
         "clients single": ["| preloaded | one column | whole row | predict | over one column | over the whole row |",
                            "|---|---:|---:|---:|---:|---:|"]}
COLUMNS = 28
ROWS = 50000


class Server:
    """A throw-away server."""

    def __init__(self, connections):
        self.folder = tempfile.mkdtemp(prefix="pgml_clients.")
        self.data = os.path.join(self.folder, "data")
        self.run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        with open(os.path.join(self.data, "postgresql.conf"), "a") as file:
            file.write(f"listen_addresses = ''\nunix_socket_directories = '{self.folder}'\nfsync = off\n"
                       f"max_connections = {connections + 20}\nshared_buffers = 256MB\nautovacuum = off\n"
                       "pgml_auto.model_cache_size = 512MB\n")
            if "PGML_STAGE" in os.environ:
                file.write(f"extension_destdir = '{os.environ['PGML_STAGE']}'\n")
        os.environ.update(PGHOST=self.folder, PGUSER="postgres", PGDATABASE="postgres", PGPORT="5432")

    @staticmethod
    def run(program, *args):
        subprocess.run([os.path.join(BIN, program), *args], check=True, stdout=subprocess.DEVNULL)

    def start(self, preload):
        libraries = "$libdir/pgml_auto" if preload else ""
        self.run("pg_ctl", "-D", self.data, "-l", os.path.join(self.folder, "log"), "-w",
                 "-o", f"-c shared_preload_libraries='{libraries}'", "start")

    def stop(self):
        self.run("pg_ctl", "-D", self.data, "-m", "fast", "-w", "stop")

    def remove(self):
        subprocess.run([os.path.join(BIN, "pg_ctl"), "-D", self.data, "-m", "immediate", "stop"], capture_output=True, check=False)
        shutil.rmtree(self.folder)


def connect():
    import psycopg2

    connection = psycopg2.connect("")
    connection.autocommit = True
    return connection


# ---- memory ----------------------------------------------------------------------------------


def train_large(trees):
    """A model whose trees know each row by heart; returns the bytes of its image."""
    cursor = connect().cursor()
    cursor.execute("CREATE EXTENSION IF NOT EXISTS pgml_auto")
    cursor.execute("CREATE TABLE cells AS SELECT i % 90 AS a, i / 90 AS b, random() AS y FROM generate_series(0, 8099) i "
                   "ORDER BY random()")
    cursor.execute("SELECT 1 FROM automl_train('large', 'cells', 'y', features => '{a,b}', max_trials => 1, test_size => 0, "
                   "algorithms => '{gradient_boosting}', options => '{\"folds\": 1}', "
                   "hyperparams => jsonb_build_object('n_estimators', %s, 'num_leaves', 8192, 'early_stopping_round', 0, "
                   "'min_data_in_leaf', 1, 'learning_rate', 0.01, 'lambda_l2', 0))", (trees,))
    cursor.execute("SELECT 1 FROM automl_train('none', 'cells', 'y', features => '{a,b}', max_trials => 1, algorithms => '{constant}')")
    cursor.execute("SELECT image_bytes FROM pgml_auto.version WHERE model = 'large'")
    return cursor.fetchone()[0]


def memory_of(pid):
    """Private and proportional memory of a process in bytes, without PostgreSQL's buffers (/dev/zero)."""
    private = proportional = 0
    with open(f"/proc/{pid}/smaps") as file:
        for line in file:
            word = line.split()
            if re.match(r"[0-9a-f]+-", word[0]):
                counts = "/dev/zero" not in word
            elif counts and word[0] == "Private_Dirty:":
                private += 1024 * int(word[1])
            elif counts and word[0] == "Pss:":
                proportional += 1024 * int(word[1])
    return private, proportional


def measure_memory(connections, preload):
    """Growth of private and proportional memory over all connections, and milliseconds of first predictions."""
    sessions = [connect() for _ in range(connections)]
    cursors = [s.cursor() for s in sessions]
    pids = [s.get_backend_pid() for s in sessions]
    for cursor in cursors:
        # What tables, catalogs and the library take is not the model's.
        cursor.execute("SELECT sum(predict_value('none', c)) FROM cells c")
    before = [memory_of(pid) for pid in pids]
    times = []
    for cursor in cursors:
        start = time.perf_counter()
        cursor.execute("SELECT predict_value('large', c) FROM cells c LIMIT 1")
        cursor.fetchall()
        times.append((time.perf_counter() - start) * 1e3)
        cursor.execute("SELECT sum(predict_value('large', c)) FROM cells c WHERE a < 15")
    after = [memory_of(pid) for pid in pids]
    private = sum(a[0] - b[0] for a, b in zip(after, before))
    proportional = sum(a[1] - b[1] for a, b in zip(after, before))
    for session in sessions:
        session.close()
    return (f"| {'yes' if preload else 'no'} | {private / 1e6:,.0f} MB | {proportional / 1e6:,.0f} MB | {times[0]:.0f} ms | "
            f"{statistics.median(times[1:]):.1f} ms |")


# ---- throughput ------------------------------------------------------------------------------


def train_small():
    """A table of numbers and a model of 500 trees with 31 leaves."""
    cursor = connect().cursor()
    names = [f"x{i}" for i in range(1, COLUMNS + 1)]
    cursor.execute("CREATE EXTENSION IF NOT EXISTS pgml_auto")
    cursor.execute("SELECT setseed(0.5)")
    cursor.execute(f"CREATE TABLE numbers AS SELECT i AS id, {', '.join(f'random() AS {n}' for n in names)} "
                   f"FROM generate_series(1, {ROWS}) i")
    cursor.execute("ALTER TABLE numbers ADD y boolean")
    cursor.execute("UPDATE numbers SET y = sin(7 * x1) * x2 + x3 * x4 + 0.5 * x5 + 0.3 * random() > 0.9")
    cursor.execute("ALTER TABLE numbers ADD PRIMARY KEY (id)")
    cursor.execute("VACUUM (FULL, ANALYZE) numbers")
    cursor.execute("SELECT 1 FROM automl_train('small', 'numbers', 'y', max_trials => 1, algorithms => '{gradient_boosting}', "
                   "options => '{\"folds\": 1}', hyperparams => '{\"n_estimators\": 500, \"num_leaves\": 31, "
                   "\"early_stopping_round\": 0, \"learning_rate\": 0.05}')")
    cursor.execute("CREATE EXTENSION pg_prewarm")
    cursor.execute("SELECT pg_prewarm('numbers')")


STATEMENTS = {"column": "SELECT y FROM numbers t WHERE id = :id",
              "row": "SELECT * FROM numbers t WHERE id = :id",
              "predict": "SELECT predict_proba('small', t) FROM numbers t WHERE id = :id"}


def pgbench(folder, name, connections, seconds):
    """Transactions a second of one run of a statement."""
    path = os.path.join(folder, name + ".sql")
    with open(path, "w") as file:
        file.write(f"\\set id random(1, {ROWS})\n{STATEMENTS[name]};\n")
    output = subprocess.run([os.path.join(BIN, "pgbench"), "-n", "-M", "prepared", "-c", str(connections), "-j", str(min(2, connections)),
                             "-T", str(seconds), "-f", path], capture_output=True, text=True, check=True).stdout
    return float(re.search(r"tps = ([\d.]+)", output).group(1))


def measure_in_turns(folder, connections, rounds, seconds):
    """Transactions a second of each statement in each round."""
    tps = {name: [] for name in STATEMENTS}
    for _ in range(rounds):
        for name in STATEMENTS:
            tps[name].append(pgbench(folder, name, connections, seconds))
    return tps


def measure_throughput(folder, preload, args):
    tps = measure_in_turns(folder, args.connections, args.rounds, args.seconds)
    share = {name: statistics.median(p / f for p, f in zip(tps["predict"], tps[name])) for name in ("column", "row")}
    return (f"| {'yes' if preload else 'no'} | {statistics.median(tps['column']):,.0f} | {statistics.median(tps['row']):,.0f} | "
            f"{statistics.median(tps['predict']):,.0f} | {100 * share['column']:.0f} % | {100 * share['row']:.0f} % |")


def measure_single(folder, preload, args):
    """Microseconds of each statement on one connection, and what the prediction takes more than the others."""
    # Differences are small: many short runs, so that what else the machine does meets all statements alike.
    in_turns = measure_in_turns(folder, 1, 4 * args.rounds, max(1, args.seconds // 4))
    took = {name: [1e6 / t for t in all_tps] for name, all_tps in in_turns.items()}
    more = {name: statistics.median(p - f for p, f in zip(took["predict"], took[name])) for name in ("column", "row")}
    return (f"| {'yes' if preload else 'no'} | {statistics.median(took['column']):.1f} µs | {statistics.median(took['row']):.1f} µs | "
            f"{statistics.median(took['predict']):.1f} µs | {more['column']:.1f} µs | {more['row']:.1f} µs |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--trees", type=int, default=650)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["memory", "throughput"])
    parser.add_argument("--report", help="write the tables into this file between their markers")
    args = parser.parse_args()
    server = Server(args.connections)
    tables = {}

    def add(table, line):
        print(line, flush=True)
        tables.setdefault(table, []).append(line)

    try:
        server.start(True)
        if args.only != "throughput":
            size = train_large(args.trees)
            print(f"image: {size / 1e6:.1f} MB", flush=True)
        if args.only != "memory":
            train_small()
        for preload in (True, False):
            server.stop()
            server.start(preload)
            if args.only != "throughput":
                add("clients memory", measure_memory(args.connections, preload))
            if args.only != "memory":
                add("clients throughput", measure_throughput(server.folder, preload, args))
                add("clients single", measure_single(server.folder, preload, args))
    finally:
        server.remove()
    for name, lines in tables.items():
        if args.report:
            write_report(args.report, name, "\n".join(HEADS[name] + lines) + "\n")


if __name__ == "__main__":
    main()

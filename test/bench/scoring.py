#!/usr/bin/python3
"""Scoring many rows without PostgreSQL: the program's kernels and XGBoost, one thread each, on the same rows, in turns.

The data are made: 28 numbers a row, as in the HIGGS table, and two classes.  Both train models of the same size on the same rows; the
medians of several rounds are quoted, in CPU time.  The core is compiled for this with the flags of the extension.  Needs gcc,
python3-numpy, python3-xgboost.  Usage: scoring.py [--rows N] [--rounds N] [--report FILE]
"""
import argparse
import ctypes
import glob
import os
import statistics
import subprocess
import tempfile
import time

from report import write_report

import numpy

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
FEATURES = 28
TRAIN = 100_000
SHAPES = ((100, 31), (500, 31), (100, 255))
CFLAGS = "-std=gnu11 -O3 -ffp-contract=off -fvisibility=default -fPIC -shared -pthread -w".split()


def build(folder):
    """Compile the core and scoring.c into a library."""
    sources = [path for part in ("core", "data", "stats", "prep", "learner", "model")
               for path in glob.glob(os.path.join(ROOT, "src", part, "*.c"))]
    library = os.path.join(folder, "scoring.so")
    subprocess.run([os.environ.get("CC", "gcc"), *CFLAGS, "-I", os.path.join(ROOT, "src"), "-o", library,
                    os.path.join(HERE, "scoring.c"), *sources, "-ldl", "-lm"], check=True)
    lib = ctypes.CDLL(library)
    pointer, i64 = ctypes.c_void_p, ctypes.c_int64
    lib.scoring_train.restype = pointer
    lib.scoring_train.argtypes = [pointer, pointer, i64] + [ctypes.c_int] * 4
    lib.scoring_free.argtypes = [pointer]
    lib.scoring_prepare_seconds.argtypes = [pointer]
    lib.scoring_prepare_seconds.restype = ctypes.c_double
    lib.scoring_image_bytes.argtypes = [pointer]
    lib.scoring_image_bytes.restype = i64
    lib.scoring_blocks.argtypes = [pointer, pointer, i64, pointer, ctypes.POINTER(ctypes.c_double)]
    lib.scoring_blocks.restype = ctypes.c_double
    lib.scoring_rows.argtypes = [pointer, pointer, i64, i64, pointer]
    lib.scoring_rows.restype = ctypes.c_double
    lib.scoring_kernel.argtypes = [pointer, ctypes.c_int, pointer, i64, pointer]
    lib.scoring_kernel.restype = ctypes.c_double
    lib.scoring_kernel_name.argtypes = [ctypes.c_int]
    lib.scoring_kernel_name.restype = ctypes.c_char_p
    return lib


def make_rows(n, seed):
    """Numbers of several kinds: normal, heavy-tailed, few distinct values, flags; and a class that depends on most of them."""
    rng = numpy.random.default_rng(seed)
    x = rng.standard_normal((FEATURES, n))
    x[10:16] = numpy.exp(x[10:16])
    x[16:20] = rng.integers(0, 40, (4, n))
    x[20:22] = rng.integers(0, 2, (2, n))
    z = x[0] * x[1] + numpy.sin(2 * x[2]) + x[3] * (x[20] > 0) + numpy.log(x[10] + x[11]) * x[4]
    z += numpy.abs(x[5] - x[6]) + 0.2 * (x[16] % 5) - 0.1 * x[12] * x[7]
    z += 0.1 * sum(x[8:10]) + 0.05 * sum(x[22:28]) + rng.standard_normal(n)
    # Doubles that are float32 exactly, so that both sides see the same numbers.
    return numpy.ascontiguousarray(x.astype(numpy.float32).astype(numpy.float64)), (z > 1).astype(numpy.float64)


def pointers(x):
    """The columns as C takes them."""
    return (ctypes.c_void_p * len(x))(*[column.ctypes.data for column in x])


def train_peer(x, y, trees, leaves):
    import xgboost

    return xgboost.train({"objective": "binary:logistic", "tree_method": "hist", "grow_policy": "lossguide", "max_depth": 0,
                          "max_leaves": leaves, "min_child_weight": 1e-3, "max_bin": 255, "eta": 0.1, "nthread": 2},
                         xgboost.DMatrix(x.T.astype(numpy.float32), y), trees)


class Contest:
    """One size of model: ours and the peer's, and the times of both."""

    def __init__(self, lib, train, rows, trees, leaves):
        self.lib, self.rows, self.n = lib, rows, rows.shape[1]
        x, y = train
        self.model = lib.scoring_train(pointers(x), y.ctypes.data, x.shape[1], FEATURES, trees, leaves, 2)
        assert self.model
        self.peer = train_peer(x, y, trees, leaves)
        self.peer.set_param({"nthread": 1})
        self.features = numpy.ascontiguousarray(rows.T.astype(numpy.float32))
        self.times = {}

    def note(self, name, seconds, n):
        self.times.setdefault(name, []).append(seconds / n)

    def round(self):
        self.round_peer()
        self.round_blocks()
        self.round_rows()

    def round_peer(self):
        """XGBoost's two ways: from its own matrix (a new one: it remembers predictions), its making not counted; and from an array."""
        import xgboost

        matrix = xgboost.DMatrix(self.features, nthread=1)
        for name, call in (("peer matrix", lambda: self.peer.predict(matrix)),
                           ("peer array", lambda: self.peer.inplace_predict(self.features))):
            start = time.process_time()
            call()
            self.note(name, time.process_time() - start, self.n)

    def round_blocks(self):
        """The whole way from numbers to predictions, as a query goes it; then the trees alone by each kind of kernels."""
        self.out = numpy.empty(self.n)
        columns = pointers(self.rows)
        recipe = ctypes.c_double()
        seconds = self.lib.scoring_blocks(self.model, columns, self.n, self.out.ctypes.data, ctypes.byref(recipe))
        self.note("recipe", recipe.value, self.n)
        self.note("blocks", seconds, self.n)
        some = min(self.n, 100_000)
        other = numpy.empty(some)
        kernel = 0
        while name := self.lib.scoring_kernel_name(kernel).decode():
            seconds = self.lib.scoring_kernel(self.model, kernel, columns, some, other.ctypes.data)
            if seconds >= 0:
                self.note(name, seconds, some)
                assert (other == self.out[:some]).all()
            kernel += 1

    def round_rows(self):
        """The stored form, 128 rows at once and one; and one row with the prepared form."""
        some = min(self.n, 40_000)
        other = numpy.empty(some)
        for name, at_once in (("stored", 128), ("stored row", 1), ("prepared row", 0)):
            seconds = self.lib.scoring_rows(self.model, self.features.ctypes.data, some, at_once, other.ctypes.data)
            self.note(name, seconds, some)
            assert (other == self.out[:some]).all()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--report", help="write the table into this file between its markers")
    args = parser.parse_args()
    train = make_rows(TRAIN, 1)
    rows, _ = make_rows(args.rows, 2)
    lines = ["| model | XGBoost 1.7 | recipe and trees | trees, AVX-512 | trees, AVX2 | trees, plain C | row by row as stored | "
             "one row as stored | one row prepared | preparing |",
             "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"]
    with tempfile.TemporaryDirectory() as folder:
        lib = build(folder)
        for trees, leaves in SHAPES:
            contest = Contest(lib, train, rows, trees, leaves)
            for _ in range(args.rounds):
                contest.round()
            median = {name: statistics.median(times) for name, times in contest.times.items()}
            print(trees, leaves, {name: round(1e9 * value) for name, value in median.items()}, "ns a row", flush=True)
            median["peer"] = min(median["peer matrix"], median["peer array"])
            rates = " | ".join(f"{1 / median[name]:,.0f}" if name in median else ""
                               for name in ("peer", "blocks", "avx512", "avx2", "plain", "stored"))
            lines.append(f"| {trees} trees, {leaves} leaves | {rates} | {1e6 * median['stored row']:.1f} µs | "
                         f"{1e6 * median['prepared row']:.1f} µs | {1e3 * lib.scoring_prepare_seconds(contest.model):.1f} ms |")
            lib.scoring_free(contest.model)
    text = "\n".join(lines) + "\n"
    print(text)
    if args.report:
        write_report(args.report, "scoring", text)


if __name__ == "__main__":
    main()

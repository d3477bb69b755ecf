"""What the benchmarks of large tables share: a table of 28 numbers, and reading and writing it in PostgreSQL's binary format."""
import io

import numpy

COLUMNS = 28
NAMES = [f"c{k + 1}" for k in range(COLUMNS)]
CHUNK = 1_000_000

# A row of the binary format of COPY: the number of fields, then each with its length in front.
ROW = numpy.dtype([("fields", ">i2"), ("id_length", ">i4"), ("id", ">i8")]
                  + [item for k in range(COLUMNS) for item in ((f"length{k}", ">i4"), (f"c{k + 1}", ">f4"))]
                  + [("label_length", ">i4"), ("label", ">i4")])
PREDICTION = numpy.dtype([("fields", ">i2"), ("id_length", ">i4"), ("id", ">i8"), ("length", ">i4"), ("p", ">f8")])
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"


def make_rows(first, n):
    """Rows with the ids first ... first + n - 1; the label depends on some of the columns, and on chance."""
    random = numpy.random.default_rng(first)
    rows = numpy.zeros(n, ROW)
    x = random.standard_normal((n, COLUMNS), dtype=numpy.float32)
    signal = x[:, 0] + x[:, 1] * x[:, 2] + numpy.abs(x[:, 3]) - 0.5 * x[:, 4] * (x[:, 5] > 0) + numpy.sin(2 * x[:, 6])
    rows["fields"], rows["id_length"], rows["id"] = COLUMNS + 2, 8, numpy.arange(first, first + n)
    for k in range(COLUMNS):
        rows[f"length{k}"], rows[f"c{k + 1}"] = 4, x[:, k]
    rows["label_length"], rows["label"] = 4, signal + 1.5 * random.standard_normal(n) > 0.7
    return rows


def make_table(cursor, name, n):
    """Create the table with n rows, unless it has them."""
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (name,))
    if cursor.fetchone()[0]:
        cursor.execute(f"SELECT count(*) FROM {name}")
        if cursor.fetchone()[0] == n:
            return
        cursor.execute(f"DROP TABLE {name}")
    cursor.execute(f"CREATE TABLE {name} (id bigint PRIMARY KEY, {', '.join(f'{c} real' for c in NAMES)}, label integer)")
    for first in range(0, n, CHUNK):
        copy_in(cursor, name, make_rows(first, min(CHUNK, n - first)))
    cursor.execute(f"VACUUM ANALYZE {name}")


def copy_in(cursor, name, rows):
    cursor.copy_expert(f"COPY {name} FROM STDIN WITH (FORMAT binary)", io.BytesIO(HEADER + rows.tobytes() + TRAILER))


def copy_out(cursor, name):
    """All rows of the table."""
    buffer = io.BytesIO()
    cursor.copy_expert(f"COPY {name} TO STDOUT WITH (FORMAT binary)", buffer)
    data = buffer.getbuffer()
    return numpy.frombuffer(data, ROW, count=(len(data) - len(HEADER) - len(TRAILER)) // ROW.itemsize, offset=len(HEADER))

"""The tables of the AutoML benchmark: which they are, how their rows are divided, and how predictions are scored.

The files are looked for in PGML_DATA, as by the other benchmarks. A split is named:
    fixed    the rows listed in splits/SET.test_idx of that folder are scored (a quarter)
    s0, s1   a quarter of the rows, drawn by the seed in the name, stratified for classes
    t0, t1   the same with a tenth of the rows
Of larger tables at most MOST_TRAINING rows are learnt from and MOST_TEST scored, by every system the same.
"""
import collections
import io
import os

import numpy as np

MOST_TRAINING = 100_000
MOST_TEST = 25_000
FEW = 2_500  # so few training rows choose the best of the peers by five folds, more by a fifth of them

# left: columns that are not given to anybody: row numbers, and what is known only once the target is
Set = collections.namedtuple("Set", "file target task left splits", defaults=([], ("s0",)))
SMALL = ("s0", "s1", "s2")
SETS = {
    "credit_g": Set("credit_g.csv", "class", "binary", [], ("fixed", "s1", "s2")),
    "phoneme": Set("phoneme.csv", "Class", "binary", [], ("fixed", "s1", "s2")),
    "magic": Set("magic_telescope.csv", "class", "binary", [], ("fixed",)),
    "credit_default": Set("credit_card_default.csv", "DEFAULT", "binary", ["ID"], ("fixed",)),
    "adult": Set("adult.csv", "income", "binary", [], ("fixed",)),
    "satimage": Set("satimage.csv", "classes", "multiclass", [], ("fixed",)),
    "letter": Set("letter.csv", "letter", "multiclass", [], ("fixed",)),
    "ames": Set("ames_modeldata.csv", "Sale_Price", "regression", [], ("fixed", "s1", "s2")),
    "california": Set("california_housing.csv", "median_house_value", "regression", [], ("fixed",)),
    "bike_hour": Set("bike_sharing_hour.csv", "cnt", "regression", ["instant", "dteday", "casual", "registered"], ("fixed",)),
    "diamonds": Set("diamonds.csv", "price", "regression", [], ("fixed",)),
    "horse_colic": Set("horse_colic.csv", "surgical_lesion", "binary", [], SMALL),
    "dresses": Set("dresses_messy.csv", "Recommendation", "binary", ["Dress_ID"], SMALL),
    "breast_cancer": Set("breast_cancer_wdbc.csv", "diagnosis", "binary", ["id"], SMALL),
    "titanic": Set("titanic3.csv", "survived", "binary", ["boat", "body"], SMALL),
    "spambase": Set("spambase.csv", "type", "binary", [], SMALL),
    "mushroom": Set("mushroom.csv", "type", "binary"),
    "ai4i": Set("ai4i_2020.csv", "Machine failure", "binary", ["UDI", "Product ID", "TWF", "HDF", "PWF", "OSF", "RNF"]),
    "mammography": Set("mammography_imbalanced.csv", "class", "binary"),
    "iris": Set("iris.csv", "species", "multiclass", [], SMALL),
    "wine": Set("wine.csv", "class", "multiclass", [], SMALL),
    "soybean": Set("soybean_missing.csv", "Class", "multiclass", [], SMALL),
    "car": Set("car_evaluation.csv", "target", "multiclass", [], SMALL),
    "segment": Set("segment.csv", "class", "multiclass", [], SMALL),
    "concrete": Set("concrete.csv", "strength", "regression", [], SMALL),
    "power_outages": Set("power_outages_messy.csv", "Number of Customers Affected", "regression", [], SMALL),
    "abalone": Set("abalone.csv", "rings", "regression", [], SMALL),
    "wine_quality": Set("wine_quality.csv", "quality", "regression"),
    "electricity": Set("drift_elec2_nsw.csv", "class", "binary"),
    "adult_messy": Set("adult_raw_messy.csv", "income", "binary", ["split"]),
    "hotel": Set("hotel_bookings.csv", "is_canceled", "binary", ["reservation_status", "reservation_status_date"]),
    "employment": Set("drift_acs_employment_ma.csv", "employed", "binary", ["id", "period"]),
    "fertility": Set("fertility.csv", "morekids", "binary"),
    "accidents": Set("fars_accidents.csv", "target", "multiclass"),
    "claims": Set("fremtpl2_freq.csv", "ClaimNb", "regression", ["IDpol"]),
}
METRIC = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}
FIXED = [name for name, s in SETS.items() if "fixed" in s.splits]
# Chosen before anything was measured: all tasks, small and large, clean and messy.
SIXTY = ["credit_g", "phoneme", "titanic", "adult", "hotel", "car", "segment", "letter",
         "abalone", "wine_quality", "california", "diamonds"]
# Of those, five that the published runs of AutoGluon have; scored on a tenth of the rows, as there.
TEN_MINUTES = ["phoneme", "adult", "car", "abalone", "diamonds"]

Part = collections.namedtuple("Part", "name split task target training test classes")


def parse_splits(name, choice):
    """The splits of a set that are asked for: None for its own, or a list of names."""
    if choice is None:
        return SETS[name].splits
    return [s for s in choice if s != "fixed" or "fixed" in SETS[name].splits]


def read(name):
    """The whole table with a clean target, a DataFrame indexed by the row's number in the file."""
    import pandas as pd

    s = SETS[name]
    frame = pd.read_csv(os.path.join(os.environ["PGML_DATA"], s.file), keep_default_na=False, na_values=[""], low_memory=False)
    frame = frame.drop(columns=s.left)
    if s.task == "regression":
        # numbers written as 420,000; rows whose target is Unknown cannot be scored
        text = frame[s.target].astype(str).str.replace(",", "")
        frame[s.target] = pd.to_numeric(text, errors="coerce")
        frame = frame[frame[s.target].notna()]
    elif frame[s.target].dtype == object:
        # four spellings of two classes in adult_raw_messy.csv
        frame[s.target] = frame[s.target].str.strip().str.rstrip(".")
    return frame


def draw(frame, s, share, seed):
    """Divide by seed, stratified for classes: (the rest, that share or number of the rows)."""
    from sklearn.model_selection import train_test_split

    return train_test_split(frame, test_size=share, random_state=seed,
                            stratify=None if s.task == "regression" else frame[s.target].astype(str))


def validations(p):
    """[(rows to learn from, rows to choose by)] of the training rows."""
    from sklearn.model_selection import KFold, StratifiedKFold

    if len(p.training) >= FEW:
        return [draw(p.training, SETS[p.name], 0.2, 0)]
    kind = KFold if p.task == "regression" else StratifiedKFold
    return [(p.training.iloc[a], p.training.iloc[b])
            for a, b in kind(5, shuffle=True, random_state=0).split(p.training, truth(p, p.training))]


def part(name, split, frame):
    """The training and the test rows of a split of a table that was read."""
    s = SETS[name]
    if split == "fixed":
        with open(os.path.join(os.environ["PGML_DATA"], "splits", name + ".test_idx")) as file:
            chosen = frame.index.isin([int(line) for line in file])
        training, test = frame[~chosen], frame[chosen]
    else:
        training, test = draw(frame, s, {"s": 0.25, "t": 0.1}[split[0]], int(split[1:]))
    if len(training) > MOST_TRAINING:
        training = draw(training, s, MOST_TRAINING, 0)[1]
    if len(test) > MOST_TEST:
        test = draw(test, s, MOST_TEST, 0)[1]
    classes = None if s.task == "regression" else sorted(set(training[s.target].astype(str)))
    return Part(name, split, s.task, s.target, training, test, classes)


def truth(p, frame):
    """The targets of rows: numbers, or positions in the list of classes (-1 for a class of no training row)."""
    if p.task == "regression":
        return frame[p.target].to_numpy(float)
    position = {c: k for k, c in enumerate(p.classes)}
    return np.array([position.get(c, -1) for c in frame[p.target].astype(str)])


def score(task, y, prediction):
    """(metric, influence): the influence of each row on it, whose mean is 0. The standard error of a difference of two
    systems on the same rows is the standard deviation of the differences of influences over the root of their number.

    prediction: numbers, the probability of the second class, or a matrix with a column for each class. For the area under
    the curve the influences are DeLong's components (1988), for the root mean squared error those of the delta method.
    """
    prediction = np.asarray(prediction, float)
    n = len(y)
    if prediction.shape[0] != n or not np.isfinite(prediction).all():
        raise ValueError("a prediction is missing or not finite")
    if task == "binary":
        from scipy.stats import rankdata

        positive = y == 1
        n1, n0 = positive.sum(), n - positive.sum()
        rank = rankdata(prediction)
        place = np.empty(n)
        place[positive] = (rank[positive] - rankdata(prediction[positive])) / n0
        place[~positive] = 1 - (rank[~positive] - rankdata(prediction[~positive])) / n1
        value = place[positive].mean()
        return value, (place - value) * np.where(positive, n / n1, n / n0)
    if task == "multiclass":
        p = np.clip(prediction / prediction.sum(axis=1, keepdims=True), 1e-15, 1)
        loss = -np.log(np.where(y >= 0, p[np.arange(n), np.maximum(y, 0)], 1e-15))
        return loss.mean(), loss - loss.mean()
    square = (prediction - y) ** 2
    value = square.mean() ** 0.5
    return value, (square - value ** 2) / (2 * max(value, 1e-300))


def constant(p):
    """The metric of the best constant prediction of the training rows: what a failure counts as."""
    y, z = truth(p, p.training), truth(p, p.test)
    if p.task == "binary":
        return 0.5
    if p.task == "regression":
        return score(p.task, z, np.full(len(z), y.mean()))[0]
    return score(p.task, z, np.tile(np.bincount(y, minlength=len(p.classes)) / len(y), (len(z), 1)))[0]


def load(connection, table, frame):
    """A table with a row number as primary key; numbers as float8 or bigint, everything else as text, NULL where the file is empty."""
    from psycopg2.extensions import quote_ident

    cursor = connection.cursor()
    types = {"i": "bigint", "f": "float8", "b": "boolean"}
    columns = ", ".join(f"{quote_ident(c, cursor)} {types.get(frame[c].dtype.kind, 'text')}" for c in frame.columns)
    cursor.execute(f"DROP TABLE IF EXISTS {table}; CREATE TABLE {table} (row_number bigint PRIMARY KEY, {columns})")
    buffer = io.StringIO()
    frame.to_csv(buffer, header=False, index=True)
    buffer.seek(0)
    cursor.copy_expert(f"COPY {table} FROM STDIN WITH (FORMAT csv)", buffer)
    cursor.execute(f"VACUUM ANALYZE {table}")

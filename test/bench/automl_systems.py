"""What the AutoML benchmark compares: pgml_auto through SQL, and learners of scikit-learn and XGBoost with their defaults.

Every function here gets a Part and never scores itself: it returns predictions of the test rows in the order of p.test.
"""
import time

import numpy as np

import automl_sets as sets

PEERS = ["xgboost", "hist_gradient_boosting", "random_forest", "extra_trees", "linear", "mlp"]
MISSING = ["?", "NA", "N/A", "NULL", "null"]  # besides empty fields; pgml_auto finds these by itself
MOST_CATEGORIES = 100  # one-hot columns of one feature; rarer ones share a column
RATE_ROWS = 5_000


def inputs(training, test, target):
    """Features of both with missing values as NaN, and the names of those that are text: what is not a number in the training rows."""
    import pandas as pd

    x, z = training.drop(columns=[target]), test.drop(columns=[target])
    text = []
    for c in x.columns:
        for frame in (x, z):
            if frame[c].dtype == object:
                frame[c] = frame[c].where(~frame[c].isin(MISSING))
            elif frame[c].dtype == bool:
                frame[c] = frame[c].astype(float)
        number = pd.to_numeric(x[c], errors="coerce")
        if number.notna().sum() == x[c].notna().sum():
            x[c], z[c] = number.astype(float), pd.to_numeric(z[c], errors="coerce").astype(float)
        else:
            text.append(c)
            x[c], z[c] = (frame[c].where(frame[c].isna(), frame[c].astype(str)).astype(object) for frame in (x, z))
    x = x.dropna(axis=1, how="all")
    return x, z[x.columns], text


def matrices(x, z, text, peer):
    """(features to learn from, features to predict, categorical mask or None) as the peer takes them."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    numbers = [c for c in x.columns if c not in text]
    if peer == "hist_gradient_boosting":
        encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
        steps = [("numbers", "passthrough", numbers), ("text", encoder, text)]
        transformer = ColumnTransformer(steps, sparse_threshold=0)
        mask = [False] * len(numbers) + [x[c].nunique() <= 254 for c in text]  # it takes no more categories than that
        return transformer.fit_transform(x), transformer.transform(z), mask if any(mask) else None
    one_hot = make_pipeline(SimpleImputer(strategy="constant", fill_value="missing"),
                            OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MOST_CATEGORIES, sparse_output=False))
    number = {"xgboost": "passthrough", "random_forest": SimpleImputer(strategy="median"),
              "extra_trees": SimpleImputer(strategy="median")}.get(peer)
    if number is None:
        number = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    transformer = ColumnTransformer([("numbers", number, numbers), ("text", one_hot, text)], sparse_threshold=0)
    return transformer.fit_transform(x), transformer.transform(z), None


def model(peer, task, mask, seed):
    import xgboost
    from sklearn import ensemble, linear_model, neural_network
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.preprocessing import StandardScaler

    kind = "Regressor" if task == "regression" else "Classifier"
    if peer == "xgboost":
        # hist became the default with version 2.0
        return getattr(xgboost, "XGB" + kind)(random_state=seed, n_jobs=1, tree_method="hist")
    if peer == "hist_gradient_boosting":
        return getattr(ensemble, "HistGradientBoosting" + kind)(categorical_features=mask, random_state=seed)
    if peer == "random_forest":
        return getattr(ensemble, "RandomForest" + kind)(random_state=seed, warm_start=True)
    if peer == "extra_trees":
        return getattr(ensemble, "ExtraTrees" + kind)(random_state=seed)
    if peer == "linear":
        return linear_model.Ridge(random_state=seed) if task == "regression" else linear_model.LogisticRegression(random_state=seed)
    network = getattr(neural_network, "MLP" + kind)(random_state=seed)
    # prices of some hundred thousand would need another learning rate
    return TransformedTargetRegressor(network, transformer=StandardScaler()) if task == "regression" else network


def predict(fitted, task, features, classes):
    """Predictions as sets.score takes them; columns for classes that the fit has not seen are 0."""
    if task == "regression":
        return fitted.predict(features)
    p = fitted.predict_proba(features)
    if len(fitted.classes_) == classes:
        return p[:, 1] if task == "binary" else p
    all_classes = np.zeros((len(p), classes))
    all_classes[:, np.asarray(fitted.classes_, int)] = p
    return all_classes[:, 1] if task == "binary" else all_classes


def fit_peer(peer, p, training, test, more_trees=False):
    """[(name, predictions of the test rows, seconds)]; with more_trees also the forest grown to 500 trees."""
    x, z, text = inputs(training, test, p.target)
    start = time.process_time()
    x, z, mask = matrices(x, z, text, peer)
    fitted = model(peer, p.task, mask, 0)
    y = sets.truth(p, training)
    if peer == "xgboost" and p.task != "regression":
        # it refuses classes without a row among the numbers
        seen, y = np.unique(y, return_inverse=True)
    fitted.fit(x, y)
    if peer == "xgboost" and p.task != "regression" and len(seen) < len(p.classes):
        prediction = np.zeros((len(z), len(p.classes)))
        prediction[:, seen] = fitted.predict_proba(z)
    else:
        prediction = predict(fitted, p.task, z, len(p.classes or []))
    done = [(peer, prediction, time.process_time() - start)]
    if peer == "random_forest" and more_trees:
        fitted.set_params(n_estimators=500)
        fitted.fit(x, y)
        done.append(("random_forest_500", predict(fitted, p.task, z, len(p.classes or [])), time.process_time() - start))
    return done


def own(connection, p, budget, threads, arguments):
    """Train as a user would and predict the test rows; returns (predictions, what else to write down)."""
    from psycopg2.extensions import quote_ident

    sets.load(connection, "bench_train", p.training)
    sets.load(connection, "bench_test", p.test)
    cursor = connection.cursor()
    cursor.execute("SELECT automl_drop(name) FROM pgml_auto.model WHERE name = 'bench'")
    cursor.execute("SET pgml_auto.max_threads = %s", (threads,))
    given = f"test_size => 0, seed => 0{', ' + arguments if arguments else ''}"
    start = time.time()
    cursor.execute("SELECT algorithm, trials, features, score FROM automl_train('bench', 'bench_train', %s, task => %s, "
                   f"time_budget => make_interval(secs => %s), {given})", (p.target, p.task, budget))
    algorithm, trials, features, validation = cursor.fetchone()
    extra = {"wall": round(time.time() - start, 2), "algorithm": algorithm, "trials": trials, "features": features,
             "validation": validation}
    call = {"regression": "predict_value('bench', t)", "multiclass": "predict_probs('bench', t)"}.get(p.task)
    if call is None:
        call = cursor.mogrify("predict_proba('bench', t, %s)", (p.classes[1],)).decode()
    cursor.execute(f"SELECT t.row_number, {call} FROM bench_test t")
    rows = dict(cursor.fetchall())
    if p.task == "multiclass":
        prediction = [[rows[i].get(c, 0.0) for c in p.classes] for i in p.test.index]
    else:
        prediction = [rows[i] for i in p.test.index]
    extra["rows_per_second"] = rate(cursor, p, quote_ident(p.target, cursor))
    return np.array(prediction, float), extra


def rate(cursor, p, target):
    """Rows predicted in a second by one core in an aggregate, the model loaded, over the test rows or copies of them."""
    copies = -(-RATE_ROWS // len(p.test))
    cursor.execute("DROP TABLE IF EXISTS bench_rate; CREATE UNLOGGED TABLE bench_rate AS "
                   f"SELECT t.* FROM bench_test t, generate_series(1, {copies}); "
                   f"ALTER TABLE bench_rate DROP COLUMN {target}; ANALYZE bench_rate; SET max_parallel_workers_per_gather = 0")
    call = "predict_value('bench', t)" if p.task == "regression" else "predict('bench', t)"
    best = float("inf")
    for _ in range(2):
        start = time.time()
        cursor.execute(f"SELECT count({call}) FROM bench_rate t")
        rows = cursor.fetchone()[0]
        best = min(best, time.time() - start)
    cursor.execute("RESET max_parallel_workers_per_gather; DROP TABLE bench_rate")
    return round(rows / best)

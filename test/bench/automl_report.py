"""Tables of the AutoML benchmark: one version against another, and the section of the documentation."""
import math
import os
import random
import statistics

import automl_sets as sets
import automl_systems as systems
from report import write_report

FOREST = "random_forest_500"
SHORT = {"xgboost": "XGBoost", "hist_gradient_boosting": "HistGB", "random_forest": "RF", "extra_trees": "ET", "linear": "linear", "mlp": "MLP"}
# Mean of the ten folds of OpenML and its standard deviation over them: AutoGluon 1.0 best quality, 5 minutes on 8 cores,
# from the raw results of its authors (github.com/Innixma/autogluon-benchmark, v1_results).
PUBLISHED = {"phoneme": (0.9711, 0.00767), "adult": (0.9313, 0.00361), "car": (0.0061, 0.000517),
             "abalone": (2.05, 0.118), "diamonds": (509.7, 19.8)}
SAME = 1e-6  # scores that close, relative to 1 or to the score, are a tie


class Results:
    """Pieces by their key, and the influences of test rows that were kept."""

    def __init__(self, rows, influence_file):
        self.rows, self.influence_file = rows, influence_file

    def get(self, name, split, system, label=None, budget=None, threads=None):
        return self.rows.get((name, split, system, label, budget, threads))

    def influence(self, row):
        import numpy as np

        path = self.influence_file(row)
        return np.load(path).astype(float) if os.path.exists(path) else None

    def peers(self, name, split):
        """The rows of all peers, or None when one is not there yet."""
        rows = [self.get(name, split, s) for s in systems.PEERS + [FOREST]]
        return None if None in rows else rows

    def chosen(self, name, split):
        """The peer that was best on validation rows."""
        rows = [r for r in self.peers(name, split) if "validation" in r]
        return max(rows, key=lambda r: sign(r) * r["validation"])


def sign(row):
    return 1 if row["metric"] == "roc_auc" else -1


def score(row):
    """A failure counts as a constant prediction."""
    return row["constant"] if row["score"] is None else row["score"]


def mean(rows):
    return statistics.mean(score(r) for r in rows)


def number(row, value, plus=False):
    digits = (4 if abs(value) < 10 else 2 if abs(value) < 1000 else 0) if row["metric"] == "rmse" else 4
    return f"{value:{'+' if plus else ''}.{digits}f}"


def compared(row, a, b):
    """1 when a is the better score, -1 when b is, 0 for a tie."""
    if abs(a - b) <= SAME * max(1, abs(b)):
        return 0
    return 1 if sign(row) * (a - b) > 0 else -1


def difference(results, pairs):
    """(mean of a - b over splits, half the width of its 95 % interval or None) of pairs of pieces on the same test rows."""
    values, variances = [], []
    for a, b in pairs:
        values.append(score(a) - score(b))
        one, other = results.influence(a), results.influence(b)
        if one is None or other is None or a["score"] is None or b["score"] is None:
            variances.append(None)
        else:
            variances.append((one - other).var() / len(one))
    half = None if None in variances else 1.96 * math.sqrt(sum(variances)) / len(variances)
    return statistics.mean(values), half


def with_interval(row, value, half):
    return number(row, value, True) + ("" if half is None else f" ± {number(row, half)}")


def significant(value, half):
    return half is not None and abs(value) > half


def scaled(row, value, forest, best):
    """0 is the forest, 1 the best of all; None where the forest is the best."""
    span = sign(row) * (best - forest)
    return None if span <= SAME * max(1, abs(forest)) else sign(row) * (value - forest) / span


def count(outcomes):
    """Words for a list of 1, 0, -1."""
    wins, losses = outcomes.count(1), outcomes.count(-1)
    share = f", {100 * wins / (wins + losses):.0f} %" if wins + losses else ""
    ties = f", {outcomes.count(0)} equal" if 0 in outcomes else ""
    return f"{wins} of {wins + losses}{share}{ties}"


def bootstrap(values, draws=2000):
    """95 % interval of the mean over sets."""
    generator = random.Random(0)
    means = sorted(statistics.mean(generator.choices(values, k=len(values))) for _ in range(draws))
    return means[int(0.025 * draws)], means[int(0.975 * draws)]


def compare(results, args):
    """Print new against old, on the pieces that both have."""
    changes, outcomes, clear, over = [], [], [0, 0], [0, 0]
    print(f"| set | metric | splits | {args.old} | {args.new} | difference | error | wall | rows/s |\n|---|---|---:|---:|---:|---:|---:|---|---|")
    for name in sets.SETS:
        pairs = [(new, old) for (s, split, system, label, budget, threads), new in sorted(results.rows.items(), key=str)
                 if (s, system, label, budget, threads) == (name, "own", args.new, args.budget, args.threads)
                 and (old := results.get(name, split, "own", args.old, args.budget, args.threads))]
        if not pairs:
            continue
        new, old = [a for a, _ in pairs], [b for _, b in pairs]
        row, a, b = new[0], mean(new), mean(old)
        value, half = difference(results, pairs)
        outcomes.append(compared(row, a, b))
        if significant(value, half):
            clear[outcomes[-1] < 0] += 1
        error = [max(1 - x if row["metric"] == "roc_auc" else x, 1e-6) for x in (a, b)]
        changes.append(math.log(error[0] / error[1]))
        over = [over[0] + sum(is_failure(r) for r in old), over[1] + sum(is_failure(r) for r in new)]
        print(f"| {name} | {row['metric']} | {len(pairs)} | {number(row, b)} | {number(row, a)} | {with_interval(row, value, half)} | "
              f"{100 * math.expm1(changes[-1]):+.1f} % | {walls(old)} → {walls(new)} | {rates(old)} → {rates(new)} |")
    if not changes:
        print("nothing that both have run")
        return
    low, high = bootstrap(changes)
    print(f"\n{args.new} better on {count(outcomes)}; beyond the interval: better {clear[0]}, worse {clear[1]}. Error (1 - AUC, log loss, RMSE), "
          f"geometric mean of the ratios: {100 * math.expm1(statistics.mean(changes)):+.2f} % ({100 * math.expm1(low):+.2f} to {100 * math.expm1(high):+.2f} over sets). "
          f"Failures: {over[0]} → {over[1]}.")


def is_failure(row):
    return row["score"] is None or row["wall"] > row["budget"]


def walls(rows):
    return " / ".join(sorted({f"{r['wall']:.1f}" for r in rows if "wall" in r})) or "failed"


def rates(rows):
    values = [r["rows_per_second"] for r in rows if "rows_per_second" in r]
    return f"{statistics.median(values):,.0f}" if values else ""


def budget_table(results, args, budget, names, splits):
    """Lines of the table of one budget on args.threads cores, and of what it adds up to."""
    lines = ["| set | rows | metric | RF 500 | best by validation | | best of peers | | pgml_auto | difference | scaled | better | wall | rows/s |",
             "|---|---:|---|---:|---:|---|---:|---|---:|---:|---:|---|---:|---:|"]
    by_validation, by_test, clear, scales, peer_scales, failures, slow, missing = [], [], [0, 0], [], [], [], [], []
    for name in names:
        pieces = [(split, mine) for split in sets.parse_splits(name, splits)
                  if (mine := results.get(name, split, "own", args.label, budget, args.threads)) and results.peers(name, split)]
        if not pieces:
            missing.append(name)
            continue
        mine = [m for _, m in pieces]
        row, a = mine[0], mean(mine)
        chosen = [results.chosen(name, split) for split, _ in pieces]
        peers = {s: mean([results.get(name, split, s) for split, _ in pieces]) for s in systems.PEERS + [FOREST]}
        best_peer = max(systems.PEERS, key=lambda s: sign(row) * peers[s])
        best = max(list(peers.values()) + [a], key=lambda v: sign(row) * v)
        b = mean(chosen)
        value, half = difference(results, list(zip(mine, chosen)))
        by_validation.append(compared(row, a, b))
        by_test.append(compared(row, a, peers[best_peer]))
        if significant(value, half):
            clear[value * sign(row) < 0] += 1
        scale = scaled(row, a, peers[FOREST], best)
        if scale is not None:
            scales.append(scale)
            peer_scales.append(scaled(row, b, peers[FOREST], best))
        failures += [f"{name} {m['split']}: " + (m.get("failed") or f"{m['wall']} s") for m in mine if is_failure(m)]
        slow += [name] if any(m.get("rows_per_second", math.inf) < args.rate for m in mine) else []
        names_chosen = ", ".join(dict.fromkeys(SHORT[c["system"]] for c in chosen))
        lines.append(f"| {name} | {row['training']:,} | {row['metric']} | {number(row, peers[FOREST])} | {number(row, b)} | {names_chosen} | "
                     f"{number(row, peers[best_peer])} | {SHORT[best_peer]} | {number(row, a)} | {with_interval(row, value, half)} | "
                     f"{'' if scale is None else f'{scale:.2f}'} | {['equal', 'yes', 'no'][by_validation[-1]]} | {walls(mine)} | {rates(mine)} |")
    if not by_validation:
        return []
    median = (f" Scaled, median over {len(scales)} sets where the forest is not the best: {statistics.median(scales):.2f}, the best by validation "
              f"{statistics.median(peer_scales):.2f}." if scales else "")
    lines += ["", f"Better than the best by validation on **{count(by_validation)}** (beyond the interval: better {clear[0]}, worse {clear[1]}); than the best of the "
              f"peers on the test rows, which nobody knows before, on {count(by_test)}.{median} Failures and overtime: "
              f"{'; '.join(failures) or 'none'}. Fewer than {args.rate:,} rows/s: {', '.join(dict.fromkeys(slow)) or 'none'}."]
    if missing:
        lines += ["", f"Not measured yet, by pgml_auto or by all peers: {', '.join(missing)}."]
    return lines


def reference():
    """Scores of other systems on the fixed splits, {set: {system: score}}, from REFERENCE.md of the data."""
    path = os.path.join(os.environ.get("PGML_DATA", ""), "REFERENCE.md")
    if not os.path.exists(path):
        return {}
    found, header = {}, None
    with open(path) as file:
        for cells in ([c.strip() for c in line.strip().strip("|").split("|")] for line in file if line.startswith("|")):
            if cells[:2] == ["set", "train x cols"]:
                header = cells
            elif header and cells[0] in sets.SETS and len(cells) == len(header):
                found[cells[0]] = {h: float(c) for h, c in zip(header[3:], cells[3:])}
    return found


def fixed_table(results, label):
    """Lines of the table of the fixed splits on one thread, beside what others reached there."""
    others = reference()
    lines = ["| set | metric | RF 500 | best by validation | FLAML 60 s | AutoGluon 60 s | pgml_auto 10 s | pgml_auto 60 s |",
             "|---|---|---:|---:|---:|---:|---:|---:|"]
    outcomes = {"60 s than FLAML at 60 s": [], "60 s than AutoGluon at 60 s": [], "10 s than FLAML at 60 s": []}
    for name in sets.FIXED:
        mine = {budget: results.get(name, "fixed", "own", label, budget, 1) for budget in (10, 60)}
        if name not in others or not any(mine.values()):
            continue
        row = mine[10] or mine[60]
        rivals = {"FLAML": others[name]["FLAML 60 s"], "AutoGluon": others[name]["AutoGluon best 60 s"]}
        for what, values in outcomes.items():
            budget, rival = int(what.split()[0]), what.split()[3]
            if mine[budget]:
                values.append(compared(row, score(mine[budget]), rivals[rival]))
        ready = results.peers(name, "fixed")
        cells = [number(row, score(results.get(name, "fixed", FOREST))) if ready else "",
                 number(row, score(results.chosen(name, "fixed"))) if ready else ""]
        cells += [number(row, v) for v in rivals.values()] + [number(row, score(m)) if m else "" for m in mine.values()]
        lines.append(f"| {name} | {row['metric']} | " + " | ".join(cells) + " |")
    if len(lines) == 2:
        return []
    return lines + ["", "Better at " + "; ".join(f"{what} on {count(v)}" for what, v in outcomes.items() if v) + "."]


def published_table(results, label, threads):
    """Lines of the comparison with AutoGluon's published scores at 10 minutes."""
    cores = "1 core" if threads == 1 else f"{threads} cores"
    lines = [f"| set | metric | AutoGluon, 5 minutes, 8 cores | pgml_auto, 10 minutes, {cores} | within a standard deviation |", "|---|---|---:|---:|---|"]
    for name in sets.TEN_MINUTES:
        mine = [m for (s, split, system, own_label, budget, t), m in results.rows.items()
                if (s, split[0], system, own_label, budget, t) == (name, "t", "own", label, 600, threads)]
        if mine:
            row, (theirs, deviation) = mine[0], PUBLISHED[name]
            ok = sign(row) * (mean(mine) - theirs) >= -deviation
            lines.append(f"| {name} | {row['metric']} | {number(row, theirs)} ± {number(row, deviation)} | {number(row, mean(mine))} | {'yes' if ok else 'no'} |")
    return lines if len(lines) > 2 else []


def report(results, args):
    text = []
    cores = {1: "one core", 2: "two cores"}.get(args.threads, f"{args.threads} cores")
    for title, lines in (
            (f"All sets, 10 seconds, {cores}:", budget_table(results, args, 10, list(sets.SETS), None)),
            (f"Twelve sets, 60 seconds, {cores}:", budget_table(results, args, 60, sets.SIXTY, None)),
            (f"Five sets, 10 minutes, {cores}, a tenth of the rows scored:", budget_table(results, args, 600, sets.TEN_MINUTES, ["t0", "t1", "t2"])),
            ("Beside published scores; theirs are means of ten folds:", published_table(results, args.label, args.threads)),
            ("The fixed splits, one thread; one run each of FLAML and AutoGluon's best quality (without CatBoost and FastAI):",
             fixed_table(results, args.label))):
        if lines:
            text += [title, ""] + lines + [""]
    text = "\n".join(text)
    if args.file:
        write_report(args.file, "automl", text.rstrip("\n") + "\n")
    else:
        print(text)

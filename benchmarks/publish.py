"""The numbers of docs/results.md: from runs to CSV files, from those to its tables.

    python benchmarks/publish.py <scan or runs> ...    # docs/results/{runs,chains,stages,pairs}.csv
    python benchmarks/publish.py                       # writes the tables of docs/results.md anew

A row of `runs.csv` is a run and condition, of `chains.csv` a run and chain that it judged, of
`stages.csv` a run and training, of `pairs.csv` a difference with the error that the choice of test
events gives it. A scan is told by the name of its folder. The tables stand between comments,
`<!-- table: name -->` and `<!-- end -->`; nothing else of the page is touched.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from msnas.results.event_error import paired_event_error
from msnas.results.quantity import Quantity
from msnas.results.result import Result
from msnas.results.runs import Runs, collect

DOCS = Path(__file__).resolve().parents[1] / "docs"
FOLDER = DOCS / "results"
PAGE = DOCS / "results.md"

MSE, AUC, JOINT = "tau_calibration/mse", "higgs_id/auc", "validity/joint"
LEVEL = 0.05
"""A difference whose p-value is above it is called `no difference seen`."""


# ------------------------------------------------------------------ from runs to files


def runs_frame(scan: str, runs: Runs) -> pd.DataFrame:
    """A row for every run, and for every condition of one trained for a range."""
    frame = pd.concat([runs.wide, runs.conditions])
    columns = {
        **{name: name for name in ("key", "method", "label", "seed", "events", "v1", "chain")},
        "pretrained": "pretrained",
        "parameter/task_weight": "condition",
        **{f"{part}/loss": f"{part}_loss" for part in ("valid", "test")},
        **{f"{part}/{AUC}": f"{part}_auc" for part in ("valid", "test")},
        **{f"{part}/{MSE}": f"{part}_mse" for part in ("valid", "test")},
        f"test/{JOINT}": "joint_validity",
        "seconds/total": "seconds",
    }
    frame = frame.reindex(columns=list(columns)).rename(columns=columns)
    return frame.assign(scan=scan)


def chains_frame(scan: str, runs: Runs) -> pd.DataFrame:
    """A row for every chain that a run judged on validation events."""
    rows = [
        {
            "scan": scan,
            "key": run.key,
            "seed": run.seed,
            "stage": one["stage"],
            "chain": "-".join(one["selected"].values()),
            "valid_loss": one["valid"].get("loss"),
            "valid_auc": one["valid"].get(AUC),
            "valid_mse": one["valid"].get(MSE),
        }
        for run in runs.finished
        for one in run.chains
    ]
    return pd.DataFrame(rows, columns=None if rows else ["scan"])


def stages_frame(scan: str, runs: Runs) -> pd.DataFrame:
    """A row for every training of a run; `start` is the loss of the weights it began with.

    The seconds are those of all trainings of the stage.
    """
    rows = [
        {
            "scan": scan,
            "key": run.key,
            "seed": run.seed,
            "stage": name,
            "seconds": stage["seconds"],
            "training": training,
            "epochs": epochs,
            "start": stage.get("start", {}).get(training),
            "loss": stage.get("loss", {}).get(training),
        }
        for run in runs.finished
        for name, stage in run.stages.items()
        for training, epochs in stage["epochs"].items()
    ]
    return pd.DataFrame(rows, columns=None if rows else ["scan"])


def pairs_frame(scan: str, runs: Runs) -> pd.DataFrame:
    """Event errors of AUC differences: of each chain given, trained in two ways, at all seeds."""
    by_chain: dict[str, dict[bool, dict[int, Result]]] = {}
    for run in runs.finished:
        if "reoptimise" in run.config["method"]:
            ways = by_chain.setdefault(run.chain, {})
            ways.setdefault(run.config["method"]["reoptimise"], {})[run.seed] = run
    auc = Quantity(name=AUC, label="AUC", higher_is_better=True)
    rows = []
    for chain, ways in by_chain.items():
        if ways.keys() == {True, False}:
            seeds = sorted(ways[True].keys() & ways[False].keys())
            both = [(ways[True][seed], ways[False][seed]) for seed in seeds]
            rows.append(
                {
                    "scan": scan,
                    "chain": chain,
                    "seeds": len(seeds),
                    "event_error": paired_event_error(both, auc),
                }
            )
    return pd.DataFrame(rows, columns=["scan", "chain", "seeds", "event_error"])


FRAMES: dict[str, Callable[[str, Runs], pd.DataFrame]] = {
    "runs": runs_frame,
    "chains": chains_frame,
    "stages": stages_frame,
    "pairs": pairs_frame,
}


def collect_numbers(folders: Sequence[Path]) -> None:
    """Write the CSV files."""
    scans = {folder.name: collect([folder]) for folder in folders}
    for name, frame_of in FRAMES.items():
        frame = pd.concat([frame_of(scan, runs) for scan, runs in scans.items()])
        first = ["scan", *(column for column in frame.columns if column != "scan")]
        frame[first].round(5).to_csv(FOLDER / f"{name}.csv", index=False)


# ------------------------------------------------------------------ from files to tables


class Published:
    """The CSV files."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.runs, self.chains, self.stages, self.pairs, self.reference = (
            pd.read_csv(folder / f"{name}.csv") for name in (*FRAMES, "reference")
        )

    def scan(self, name: str) -> pd.DataFrame:
        """The runs of a scan, without their conditions."""
        chosen = self.runs[(self.runs["scan"] == name) & self.runs["condition"].isna()]
        if chosen.empty:
            raise SystemExit(f"docs/results/runs.csv has no run of the scan {name!r}")
        return chosen


def mean_of(values: Sequence[float] | pd.Series, digits: int = 3) -> str:
    """Mean with half the 95 % interval (Student's t over seeds); alone below five seeds."""
    known = np.asarray(values, float)
    known = known[~np.isnan(known)]
    if not len(known):
        return ""
    told = short(known.mean(), digits)
    if len(known) < 5:
        return told
    half = stats.sem(known) * stats.t.ppf(0.975, len(known) - 1)
    return f"{told} +- {short(half, digits)}"


def short(value: float, digits: int = 3, *, sign: bool = False) -> str:
    """A number without the zero before its point."""
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    return re.sub(r"^([+-]?)0\.", r"\1.", text)


def difference(first: pd.Series, second: pd.Series, digits: int = 4) -> tuple[str, float]:
    """Mean paired difference with its 95 % interval over seeds, and the p-value of Student's t."""
    values = (first - second).dropna()
    if len(values) < 5 or values.nunique() < 2:
        return short(values.mean(), digits, sign=True), float("nan")
    half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    p_value = float(stats.ttest_1samp(values, 0.0).pvalue)
    return f"{short(values.mean(), digits, sign=True)} +- {short(half, digits)}", p_value


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) adjustment: each is then valid for all of them together."""
    order = np.argsort(p_values)
    adjusted, largest = np.empty(len(p_values)), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return [float(one) for one in adjusted]


def verdict(mean: float, p_value: float, *, higher_is_better: bool = True) -> str:
    """What the test allows to say."""
    if not p_value < LEVEL:
        return "no difference seen"
    return "better" if (mean > 0) is higher_is_better else "worse"


def compared(
    first: pd.Series, second: pd.Series, *, higher_is_better: bool = True
) -> tuple[str, str, str]:
    """Mean paired difference with its interval, the p-value, and what the test allows to say."""
    gap, p_value = difference(first, second)
    said = verdict(float((first - second).mean()), p_value, higher_is_better=higher_is_better)
    return gap, f"{p_value:.2g}", said


def counts(chains: pd.Series) -> str:
    """`cnn-lstm 8, cnn-mlp 2`."""
    return ", ".join(f"{name} {count}" for name, count in Counter(chains).most_common())


def rows_of(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def choice(numbers: Published) -> str:
    """The default search, with the side channel, and with all events."""
    rows = []
    for name, told in (
        ("best", "10,000"),
        ("side", "10,000, `side` among the candidates"),
        ("all", "all 30,010"),
    ):
        runs = numbers.scan(name)
        rows.append(
            [
                told,
                str(len(runs)),
                counts(runs["chain"]),
                mean_of(runs["valid_loss"]),
                mean_of(runs["test_auc"]),
                mean_of(runs["test_mse"]),
                mean_of(runs["joint_validity"]),
            ]
        )
    header = ["events", "seeds", "selected", "validation loss", "test AUC", "test MSE", "validity"]
    return rows_of(header, rows)


def trees(numbers: Published) -> str:
    """The selected chains beside boosted trees, on the same events."""
    of_problem = numbers.reference[numbers.reference["problem"] == "htautau"]
    header = ["trained with", "seeds", "judged on", "model", "AUC", "chain minus tree"]
    return rows_of(
        header,
        [
            [str(one.events), str(one.seeds), f"{one.judged} ({one.number})", *told]
            for one, told in beside_trees(of_problem)
        ],
    )


def fakes(numbers: Published) -> str:
    """The same for the chain of three tasks."""
    of_problem = numbers.reference[numbers.reference["problem"] == "htautau_fakes"]
    header = ["seeds", "quantity", "judged on", "model", "value", "chain minus tree"]
    return rows_of(
        header,
        [
            [str(one.seeds), one.quantity, f"{one.judged} ({one.number})", *told]
            for one, told in beside_trees(of_problem)
        ],
    )


def beside_trees(rows: pd.DataFrame) -> Iterator[tuple[Any, list[str]]]:
    """Every row with its model, value and difference in words."""
    groups = rows.groupby(["events", "candidates", "quantity", "judged"], sort=False)
    for (_, candidates, _, _), own in groups:
        side = " with `side`" if own["problem"].eq("htautau").all() and "side" in candidates else ""
        for one in own.itertuples():
            gap = "" if np.isnan(one.chain_minus) else short(one.chain_minus, 4, sign=True)
            error = "" if np.isnan(one.error) else f" +- {short(one.error, 4)}"
            name = one.model + side if np.isnan(one.error) else f"tree: {one.model}"
            yield one, [name, short(one.value, 4), gap + error]


def pairs(numbers: Published) -> str:
    """Fig. 2: every pair task after task, and re-optimised at v1 = 0."""
    runs = numbers.scan("fig2")
    runs = runs.assign(again=runs["label"].str.contains("reoptimise=true"))
    rows, p_values, means = [], [], []
    errors = numbers.pairs.set_index("chain")["event_error"]
    for chain, own in runs.groupby("chain", sort=False):
        after, again = (
            own[own["again"] == way].set_index("seed").sort_index() for way in (False, True)
        )
        told, p_value = difference(again["test_auc"], after["test_auc"])
        p_values.append(p_value)
        means.append(float((again["test_auc"] - after["test_auc"]).mean()))
        rows.append(
            [
                str(chain),
                str(len(again)),
                mean_of(after["test_auc"], 4),
                mean_of(again["test_auc"], 4),
                told,
                short(errors[chain], 4),
                mean_of(again["joint_validity"], 2),
            ]
        )
    adjusted = holm(p_values)
    for row, mean, p_value in zip(rows, means, adjusted, strict=True):
        row += [f"{p_value:.2g}", verdict(mean, p_value)]
    header = [
        *("pair", "seeds", "task after task", "re-optimised", "difference", "event error"),
        *("validity", "p (Holm)", "verdict"),
    ]
    return rows_of(header, rows)


def axis(numbers: Published) -> str:
    """Figs. 3 and 6: SPOS against v1."""
    runs = numbers.scan("v1")
    middle = runs[runs["v1"] == 0.5].set_index("seed")
    rows = []
    for v1, own in runs.groupby("v1"):
        by_seed = own.set_index("seed")
        blind, itself = v1 == 1, v1 == 0.5
        if blind or itself:
            said = "", "", ""
        else:
            said = compared(by_seed["test_auc"], middle["test_auc"])
        rows.append(
            [
                f"{v1:g}",
                str(len(own)),
                mean_of(own["test_mse"]),
                "no loss" if blind else mean_of(own["test_auc"], 4),
                *said,
                mean_of(own["joint_validity"]),
                counts(own["chain"]),
            ]
        )
    header = ["v1", "seeds", "MSE", "AUC", "AUC minus that at .5", "p", "verdict", "validity"]
    return rows_of([*header, "selected"], rows)


def regrets(own: pd.DataFrame, grid: pd.DataFrame, chains: pd.DataFrame) -> list[float]:
    """What a grid search of the same seed and v1 says the selected chains lose, if it has them."""
    losses = chains.groupby(["key", "chain"])["valid_loss"].min()
    keys = {(one.seed, one.v1): one.key for one in grid.itertuples()}
    judged = [(keys.get((one.seed, one.v1)), one.chain) for one in own.itertuples()]
    return [losses[one] - losses[one[0]].min() for one in judged if one in losses.index]


def methods(numbers: Published) -> str:
    """Every search at v1 = .5, paired with grid search by seed."""
    grid = numbers.scan("bank")
    spos = numbers.scan("v1")
    tables = {"grid_search": grid, "spos": spos[spos["v1"] == 0.5]}
    others = numbers.scan("methods")
    tables |= {str(label): own for label, own in others.groupby("label", sort=False)}
    rows = []
    for name, own in tables.items():
        regret = regrets(own, grid, numbers.chains)
        auc, auc_of_grid = (one.set_index("seed")["test_auc"] for one in (own, grid))
        said = ("", "", "") if name == "grid_search" else compared(auc, auc_of_grid)
        rows.append(
            [
                f"`{name}`",
                str(len(own)),
                counts(own["chain"]),
                mean_of(regret, 4) if regret else "",
                mean_of(own["test_auc"], 4),
                *said,
                mean_of(own["test_mse"]),
                mean_of(own["joint_validity"]),
            ]
        )
    header = [
        *("method", "seeds", "selected", "regret", "AUC", "AUC minus grid search's", "p"),
        *("verdict", "MSE", "validity"),
    ]
    return rows_of(header, rows)


def fresh(numbers: Published) -> str:
    """The talk's comparison: the same searches from fresh weights, paired by seed."""
    began = pd.concat([numbers.scan("bank"), numbers.scan("v1"), numbers.scan("methods")])
    plain = numbers.scan("plain")
    rows = []
    for name, own in plain.groupby("method", sort=False):
        own = own.set_index("seed")
        pretrained = began[(began["method"] == name) & (began["v1"] == 0.5)].set_index("seed")
        cells = [f"`{name}`", str(len(own)), counts(own["chain"])]
        for column, higher in (("test_auc", True), ("test_mse", False)):
            gap, *said = compared(own[column], pretrained[column], higher_is_better=higher)
            cells += [mean_of(own[column], 4 if higher else 3), gap, ", ".join(said)]
        rows.append([*cells, mean_of(own["joint_validity"])])
    header = ["method", "seeds", "selected"]
    for name in ("AUC", "MSE"):
        header += [name, "minus pre-trained", "p, verdict"]
    return rows_of([*header, "validity"], rows)


def grid_axis(numbers: Published) -> str:
    """Fig. 3: SPOS beside grid search at every v1, paired by seed."""
    spos = numbers.scan("v1")
    grids = pd.concat([numbers.scan("grid"), numbers.scan("bank")])
    rows = []
    for v1, grid in grids[grids["seed"].isin(spos["seed"])].groupby("v1"):
        own = spos[(spos["v1"] == v1) & spos["seed"].isin(grid["seed"])]
        auc, auc_of_grid = (one.set_index("seed")["test_auc"] for one in (own, grid))
        gap, *told = compared(auc, auc_of_grid)
        said = [gap, ", ".join(told)] if v1 < 1 else ["no loss", ""]
        lost = regrets(own, grid, numbers.chains)
        chains = counts(grid["chain"]), counts(own["chain"])
        rows.append([f"{v1:g}", str(len(own)), *chains, mean_of(lost, 4), *said])
    header = ["v1", "seeds", "grid search selects", "SPOS selects", "regret", "AUC minus grid's"]
    return rows_of([*header, "p, verdict"], rows)


def one_training(numbers: Published) -> str:
    """One training for every v1 against a training at each: of a given chain, and of SPOS."""
    rows = []
    conditions = numbers.runs[numbers.runs["condition"].notna()]
    searched = conditions[conditions["scan"] == "yoto"]
    for told, several, each in (
        ("cnn-lstm", conditions[conditions["scan"] == "chain_once"], "chain_fixed"),
        ("SPOS", searched, "v1"),
        ("SPOS, where it selects cnn-lstm", searched[searched["chain"] == "cnn-lstm"], "v1"),
    ):
        fixed = numbers.scan(each)
        for v1, own in several.groupby("condition"):
            alone = fixed[np.isclose(fixed["v1"], v1)].set_index("seed")
            if alone.empty or v1 == 1:
                continue
            together = own.set_index("seed")
            cells = [told, f"{v1:g}", str(len(own))]
            for column, higher in (("test_auc", True), ("test_mse", False)):
                gap, *said = compared(together[column], alone[column], higher_is_better=higher)
                cells += [mean_of(alone[column]), mean_of(together[column]), gap, ", ".join(said)]
            rows.append(cells)
    header = ["trained", "v1", "seeds"]
    for name in ("AUC", "MSE"):
        header += [f"{name}, fixed", "one training", "difference", "p, verdict"]
    return rows_of(header, rows)


def recipes(numbers: Published) -> str:
    """`make train` under both recipes."""
    rows = []
    for name, told in (
        ("make", "the default: `recipe=fast`, `frame=canonical`, four candidates a task"),
        ("paper", "`recipe=paper frame=detector`, the paper's three candidates a task"),
    ):
        runs = numbers.scan(name)
        rows.append(
            [
                told,
                str(len(runs)),
                counts(runs["chain"]),
                f"{runs['seconds'].median():.0f}",
                mean_of(runs["valid_loss"]),
                mean_of(runs["test_auc"]),
                mean_of(runs["test_mse"]),
            ]
        )
    header = ["setting", "seeds", "selected", "seconds (median)", "validation loss", "AUC", "MSE"]
    return rows_of(header, rows)


TABLES = (choice, trees, fakes, pairs, axis, methods, fresh, grid_axis, one_training, recipes)


def filled(page: str, numbers: Published) -> str:
    """The page with its tables written anew."""
    return "".join(_pieces(page, numbers))


def _pieces(page: str, numbers: Published) -> Iterator[str]:
    known = {table.__name__: table for table in TABLES}
    last = 0
    for found in re.finditer(r"<!-- table: (\w+) -->\n.*?<!-- end -->", page, flags=re.DOTALL):
        yield page[last : found.start()]
        yield f"<!-- table: {found[1]} -->\n\n{known[found[1]](numbers)}\n\n<!-- end -->"
        last = found.end()
    yield page[last:]


if __name__ == "__main__":
    if sys.argv[1:]:
        collect_numbers([Path(word) for word in sys.argv[1:]])
    PAGE.write_text(filled(PAGE.read_text(), Published()))

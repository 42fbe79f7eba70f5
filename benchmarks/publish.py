"""The numbers of the pages of results: from runs to CSV files, from those to the pages' tables.

    python benchmarks/publish.py <scan or runs> ...    # writes docs/results/{runs,...}.csv first
    python benchmarks/publish.py                       # writes the tables of docs/results*.md anew

A row of `runs.csv` is a run and condition, of `chains.csv` a run and chain that it judged, of
`stages.csv` a run and training, of `pairs.csv` a difference with the error that the choice of test
events gives it, of `imbalance.csv` a run and condition of the two problems of taus and jets. A scan
is told by the name of its folder. `reference.csv` is what reference.py prints; `paper.csv` has the
runs of the paper's recipe. The tables stand between comments, `<!-- table: name -->` and
`<!-- end -->`; nothing else of a page is touched.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
import tables_default
import tables_imbalance
import tables_paper
from published import DOCS, FOLDER, Published

from msnas.results.event_error import paired_event_error
from msnas.results.quantity import Quantity
from msnas.results.result import Result
from msnas.results.runs import Runs, collect

PAGES = {
    DOCS / "results.md": tables_default.TABLES,
    DOCS / "results_paper.md": tables_paper.TABLES,
    DOCS / "results_imbalance.md": tables_imbalance.TABLES,
}

MSE, AUC, JOINT = "tau_calibration/mse", "higgs_id/auc", "validity/joint"
JETS = ("tau_vs_jet", "tau_jet_multitask")
"""The problems of taus among jets: their scans are in imbalance.csv, all others in other files."""


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


OF_JETS = {
    "test_taus": "tau_id/minor_accuracy",
    "test_jets": "tau_id/major_accuracy",
    "test_auc": "tau_id/auc",
    "test_mse": "jet_calibration/mse",
}


def imbalance_frame(scan: str, runs: Runs) -> pd.DataFrame:
    """A row for every run of taus among jets, and for every condition."""
    rows = []
    for run in runs.finished:
        loss = run.config["tasks"]["tau_id"]["loss"]
        common = {
            "scan": scan,
            "key": run.key,
            "problem": run.problem,
            "seed": run.seed,
            "tau_fraction": run.config["data"].get("tau_fraction"),
            "loss": str(loss["_target_"]).rpartition(".")[2],
            "one_minus_beta": loss.get("one_minus_beta"),
            "weighting": run.weighting,
            "w1": run.v1,
            "seconds": sum(run.seconds.values()),
        }
        several = [(one["parameters"], one["test"]) for one in run.conditions]
        for parameters, test in [({}, run.test), *several]:
            numbers = {told: test.get(name) for told, name in OF_JETS.items()}
            condition = next(iter(parameters.values()), None)
            rows.append({**common, "condition": condition, **numbers})
    return pd.DataFrame(rows)


FRAMES: dict[str, Callable[[str, Runs], pd.DataFrame]] = {
    "runs": runs_frame,
    "chains": chains_frame,
    "stages": stages_frame,
    "pairs": pairs_frame,
}


def collect_numbers(folders: Sequence[Path]) -> None:
    """Write the CSV files."""
    scans = {folder.name: collect([folder]) for folder in folders}
    of_jets = {scan for scan, runs in scans.items() if runs.finished[0].problem in JETS}
    for name, frame_of in {**FRAMES, "imbalance": imbalance_frame}.items():
        chosen = {scan for scan in scans if (scan in of_jets) == (name == "imbalance")}
        if not chosen:
            continue
        frame = pd.concat([frame_of(scan, runs) for scan, runs in scans.items() if scan in chosen])
        first = ["scan", *(column for column in frame.columns if column != "scan")]
        digits = {
            column: 5 for column in frame.columns if column not in ("one_minus_beta", "condition")
        }
        frame[first].round(digits).to_csv(FOLDER / f"{name}.csv", index=False)


Table = Callable[[Published], str]


def filled(page: str, known: Sequence[Table], numbers: Published) -> str:
    """The page with its tables written anew."""
    return "".join(_pieces(page, {table.__name__: table for table in known}, numbers))


def _pieces(page: str, known: Mapping[str, Table], numbers: Published) -> Iterator[str]:
    last = 0
    for found in re.finditer(r"<!-- table: (\w+) -->\n.*?<!-- end -->", page, flags=re.DOTALL):
        yield page[last : found.start()]
        yield f"<!-- table: {found[1]} -->\n\n{known[found[1]](numbers)}\n\n<!-- end -->"
        last = found.end()
    yield page[last:]


if __name__ == "__main__":
    if sys.argv[1:]:
        collect_numbers([Path(word) for word in sys.argv[1:]])
    for path, known in PAGES.items():
        path.write_text(filled(path.read_text(), known, Published()))

"""Test AUC of the selected chain beside a boosted tree on the two jets' four-vectors.

    python benchmarks/reference.py [seeds=3] [overrides of train.py ...]

The tree (scikit-learn's histogram booster, learning rate 0.05, stopped early on the validation
part) is fitted on the same split. The test sample's own standard error of an AUC is that of
Hanley and McNeil, Radiology 143 (1982) 29. Runs that are finished already are not repeated.
"""

from __future__ import annotations

import math
import statistics
import sys
from pathlib import Path

import hydra
import numpy as np
from rich.console import Console
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from msnas.data.events import Batch, Events
from msnas.parts import read_events
from msnas.plan import make_plan
from msnas.run import run

CONF = str(Path(__file__).resolve().parents[1] / "conf")


def jets(part: Batch, *, with_mass: bool) -> np.ndarray:
    """The eight encoded jet numbers [event, 8], and the di-jet mass if asked for."""
    jet = part["jet"].double().numpy()
    columns = [jet.reshape(len(jet), -1)]
    if with_mass:
        pt = np.exp(jet[..., 0]) - 0.1
        momentum = np.stack(
            (pt * np.cos(jet[..., 2]), pt * np.sin(jet[..., 2]), pt * np.sinh(jet[..., 1])), -1
        )
        energy = np.sqrt((momentum**2).sum(-1)).sum(1)
        mass = np.sqrt(np.maximum(energy**2 - (momentum.sum(1) ** 2).sum(-1), 0))
        columns.append(mass[:, None])
    return np.concatenate(columns, 1)


def tree_auc(events: Events, *, with_mass: bool, seed: int) -> float:
    """Test AUC of the boosted tree."""
    tree = HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=1000, early_stopping=True, random_state=seed
    )
    parts = [
        (jets(part, with_mass=with_mass), part["label"].numpy())
        for part in (events.train, events.valid, events.test)
    ]
    (train, train_label), (valid, valid_label), (test, test_label) = parts
    tree.fit(train, train_label, X_val=valid, y_val=valid_label)
    return float(roc_auc_score(test_label, tree.predict_proba(test)[:, 1]))


def standard_error(auc: float, positives: int, negatives: int) -> float:
    """Standard error of an AUC from so many events of each class."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (
        auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    ) / (positives * negatives)
    return math.sqrt(variance)


def main() -> None:
    """Print the table."""
    words = [word for word in sys.argv[1:] if word.startswith("seeds=")]
    seeds = int(words[-1].split("=")[1]) if words else 3
    overrides = [word for word in sys.argv[1:] if not word.startswith("seeds=")]
    console = Console()
    chains, plan = [], None
    for seed in range(seeds):
        with hydra.initialize_config_dir(CONF, version_base="1.3"):
            cfg = hydra.compose(
                "config",
                ["method=spos", "task_weight=0.9", "logger=none", f"seed={seed}", *overrides],
            )
        plan = make_plan(cfg)
        result = run(cfg, console=Console(quiet=True))
        chains.append(result["metrics"]["test"]["higgs_id/auc"])
        seconds = sum(stage["seconds"] for stage in result["stages"].values())
        console.print(
            f"seed {seed}: {' -> '.join(result['selected'].values())} test AUC {chains[-1]:.4f} "
            f"({seconds:.0f} s in stages)"
        )
    assert plan is not None
    events = read_events(plan)
    label = events.test["label"]
    positives = int(label.sum())
    for with_mass in (False, True):
        trees = [tree_auc(events, with_mass=with_mass, seed=seed) for seed in range(seeds)]
        name = "boosted tree on jets" + (" and di-jet mass" if with_mass else "")
        console.print(
            f"{name}: mean {statistics.mean(trees):.4f}; "
            f"chain minus tree {statistics.mean(chains) - statistics.mean(trees):+.4f}"
        )
    mean = statistics.mean(chains)
    error = standard_error(mean, positives, len(label) - positives)
    console.print(
        f"selected chains: mean {mean:.4f}; standard error of {len(label)} test events {error:.4f}"
    )


if __name__ == "__main__":
    main()

"""AUC of the selected chain beside boosted trees, on the same events.

    python benchmarks/reference.py [seeds=3] [out=table.csv] [overrides of train.py ...]

Three trees (scikit-learn's histogram booster, learning rate 0.05, stopped early on the validation
part) are fitted on the same split: on the two jets' four-vectors; with the di-jet mass and angles
beside them; and with about a hundred numbers of the images as well. Judged are the run's test
events, and the events of the file that took no part in the run, if there are some. Differences are
those of the means over the seeds, their errors DeLong's, of the events alone. Runs that are
finished already are not repeated.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import HistGradientBoostingClassifier

from msnas.auc import auc_contrast_error, auc_covariance
from msnas.data.events import split_indices
from msnas.model import load_model
from msnas.plan import Plan, make_plan
from msnas.run import run

CONF = str(Path(__file__).resolve().parents[1] / "conf")

Arrays = Mapping[str, np.ndarray]

CHAIN = "selected chain"


def pair(jet: np.ndarray) -> np.ndarray:
    """Mass [GeV], pT [GeV], delta phi, delta eta and delta R of two jets [event, 2, 4]."""
    pt, eta, phi = (jet[..., index].astype(float) for index in range(3))
    x, y, z = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    energy = (pt * np.cosh(eta)).sum(1)
    squared = energy**2 - sum(one.sum(1) ** 2 for one in (x, y, z))
    apart_phi = np.abs(np.remainder(phi[:, 0] - phi[:, 1] + np.pi, 2 * np.pi) - np.pi)
    apart_eta = np.abs(eta[:, 0] - eta[:, 1])
    return np.stack(
        (
            np.sqrt(np.maximum(squared, 0)),
            np.hypot(x.sum(1), y.sum(1)),
            apart_phi,
            apart_eta,
            np.hypot(apart_phi, apart_eta),
        ),
        1,
    )


def image_numbers(image: np.ndarray) -> np.ndarray:
    """Of each channel of each jet: sums in growing squares, count, four hardest pixels, widths."""
    flat = image.reshape(*image.shape[:3], -1)
    side = image.shape[-1]
    squares = [
        image[..., cut : side - cut, cut : side - cut].sum((-2, -1))
        for cut in (side // 2 - 1, side // 2 - 2, side // 2 - 4, 0)
    ]
    hardest = np.sort(flat, -1)[..., -4:]
    total = np.maximum(squares[-1], 1e-6)
    place = (np.arange(side) - (side - 1) / 2) ** 2
    widths = [
        (image.sum(axis) * place).sum(-1) / total  # the second moment along the other axis
        for axis in (-1, -2)
    ]
    numbers = [*squares, (flat > 0).sum(-1), *np.moveaxis(hardest, -1, 0), *widths]
    return np.stack(numbers, -1).reshape(len(image), -1)


def shares(jet: np.ndarray, image: np.ndarray) -> np.ndarray:
    """What an image holds in parts of its jet's pT, and the pairs that these parts form."""
    core = image[..., 4:12, 4:12].sum((-2, -1))
    whole, middle = image.sum((-2, -1)), image[..., 6:10, 6:10].sum((-2, -1))
    ratios = [(part / jet[..., :1]).reshape(len(jet), -1) for part in (whole, core, middle)]
    momenta = [
        whole.sum(-1),
        whole[..., 1:].sum(-1),
        whole[..., 0],
        core.sum(-1),
        core[..., :2].sum(-1),
        middle.sum(-1),
    ]
    pairs = [
        pair(np.concatenate((momentum[..., None], jet[..., 1:]), -1))[:, :2] for momentum in momenta
    ]
    return np.concatenate((*ratios, *pairs), 1)


TREES = {
    "jets": lambda raw: raw["jet"].reshape(len(raw["jet"]), -1),
    "jets, di-jet mass and angles": lambda raw: np.concatenate(
        (raw["jet"].reshape(len(raw["jet"]), -1), pair(raw["jet"])), 1
    ),
    "jets, mass, angles, image numbers": lambda raw: np.concatenate(
        (
            raw["jet"].reshape(len(raw["jet"]), -1),
            pair(raw["jet"]),
            image_numbers(raw["image"]),
            shares(raw["jet"], raw["image"]),
        ),
        1,
    ),
}


def used_events(plan: Plan, label: np.ndarray) -> dict[str, np.ndarray]:
    """Indices of the three parts, and as `unused` of the file's other events."""
    data = plan.config["data"]
    fractions = data["fractions"]
    parts = split_indices(
        label,
        events=data["events"],
        generator=np.random.default_rng(data["split_seed"]),
        fractions=[fractions[name] / sum(fractions.values()) for name in fractions],
        where=data["file"],
    )
    taken = np.concatenate(list(parts.values()))
    return {**parts, "unused": np.setdiff1d(np.arange(len(label)), taken)}


def selected_chain(words: list[str], seed: int) -> tuple[Plan, dict[str, Any]]:
    """A run, trained or finished already."""
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        cfg = hydra.compose("config", ["logger=none", f"seed={seed}", *words])
    plan = make_plan(cfg)
    return plan, run(cfg, console=Console(quiet=True))


def tree_scores(features: np.ndarray, label: np.ndarray, parts: Arrays, seed: int) -> np.ndarray:
    """Probabilities of all events from a tree of the training part."""
    tree = HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=1000, early_stopping=True, random_state=seed
    )
    train, valid = parts["train"], parts["valid"]
    tree.fit(features[train], label[train], X_val=features[valid], y_val=label[valid])
    scores: np.ndarray = tree.predict_proba(features)[:, 1]
    return scores


def compared(
    scores: Mapping[str, Sequence[np.ndarray]], label: np.ndarray, judged: Arrays
) -> Iterator[dict[str, Any]]:
    """A row for every model and set of events: AUC of the mean over seeds, and how far apart."""
    seeds = len(scores[CHAIN])
    weights = np.repeat([1.0, -1.0], seeds) / seeds
    for place, chosen in judged.items():
        for name, own in scores.items():
            models = np.stack([one[chosen] for one in (*scores[CHAIN], *own)])
            values, _ = auc_covariance(models, label[chosen])
            row = {"judged": place, "number": len(chosen), "model": name}
            row["auc"] = float(values[seeds:].mean())
            if name != CHAIN:
                row["chain_minus"] = float(values @ weights)
                row["error"] = auc_contrast_error(models, label[chosen], weights)
            yield row


def main() -> None:
    """Print the table; add it to a CSV file if there is an `out`."""
    own = {"seeds": "3", "out": ""}
    own |= dict(word.split("=", 1) for word in sys.argv[1:] if word.split("=")[0] in own)
    words = [word for word in sys.argv[1:] if word.split("=")[0] not in own]
    console = Console()
    scores: dict[str, list[np.ndarray]] = {CHAIN: [], **{name: [] for name in TREES}}
    for seed in range(int(own["seeds"])):
        plan, result = selected_chain(words, seed)
        raw = plan.source.load(["jet", "image", "tau", "label"])
        label = raw["label"].astype(int)
        predicted = load_model(plan.directory).predict(raw, conditions={}, batch=500)
        scores[CHAIN].append(predicted["higgs_id"])
        parts = used_events(plan, label)
        for name, numbers in TREES.items():
            scores[name].append(tree_scores(numbers(raw), label, parts, seed))
        seconds = sum(stage["seconds"] for stage in result["stages"].values())
        chain = " -> ".join(result["selected"].values())
        console.print(f"seed {seed}: {chain} ({seconds:.0f} s in stages)")
    judged = {name: parts[name] for name in ("test", "unused") if len(parts[name])}
    rows = list(compared(scores, label, judged))
    table = Table(title="AUC, means over the seeds; chain minus tree with its event error")
    for column in ("events", "model", "AUC", "chain minus tree"):
        table.add_column(column)
    for row in rows:
        gap = f"{row['chain_minus']:+.4f} +- {row['error']:.4f}" if "error" in row else ""
        table.add_row(f"{row['judged']} ({row['number']})", row["model"], f"{row['auc']:.4f}", gap)
    console.print(table)
    if own["out"]:
        path = Path(own["out"])
        frame = pd.DataFrame(rows)
        frame.insert(0, "events", str(plan.config["data"]["events"]))
        frame.insert(1, "candidates", "-".join(plan.config["tasks"]["higgs_id"]["candidates"]))
        frame.insert(2, "seeds", len(scores[CHAIN]))
        kept = [pd.read_csv(path)] if path.is_file() else []
        pd.concat([*kept, frame.round(5)]).to_csv(path, index=False)


if __name__ == "__main__":
    main()

"""The selected chain beside boosted trees, on the same events.

    python benchmarks/reference.py [seeds=3] [out=table.csv] [overrides of train.py ...]

Of `problem=htautau` the AUC of Higgs against Z is compared, of `problem=htautau_fakes` accuracy
and AUC of Higgs among four classes, and the AUC of taus among jets. The trees (scikit-learn's
histogram booster, learning rate 0.05, stopped early on the validation part) are fitted on the same
split: on the jets' four-vectors; with the di-jet mass and angles beside them; and with about a
hundred numbers of the images as well. Judged are the run's test events, and the events of the file
that took no part in the run, if there are some. Differences are those of the means over the seeds,
their errors those of the events alone. Runs that are finished already are not repeated.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import HistGradientBoostingClassifier

from msnas.auc import auc_contrast_error, auc_covariance
from msnas.data.split import split_indices
from msnas.model import load_model
from msnas.plan import Plan, make_plan
from msnas.run import run

CONF = str(Path(__file__).resolve().parents[1] / "conf")

Arrays = Mapping[str, np.ndarray]
Judged = tuple[np.ndarray, float, float]

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


@dataclass(frozen=True)
class Question:
    """What a task and trees both answer for every event, or every jet; and how it is scored.

    `of` is the class whose AUC against the rest counts; without it the share of right answers does.
    """

    name: str
    task: str
    field: str
    of: int | None = None

    def scored(self, probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """The class's probability, or whether the answer is right; for each event [event, ...]."""
        if self.of is None:
            right: np.ndarray = probabilities.argmax(-1) == truth
            return right.astype(float)
        # of two classes a task puts out the second one's probability
        score: np.ndarray = (
            probabilities if probabilities.ndim == truth.ndim else probabilities[..., self.of]
        )
        return score

    def judged(self, models: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> Judged:
        """Values of models [model, event], and value and error of their weighted sum."""
        if self.of is None:
            values = models.mean(1)
            spread = (weights @ models).std(ddof=1) / np.sqrt(models.shape[1])
            return values, float(values @ weights), float(spread)
        label = (truth == self.of).astype(int)
        values, _ = auc_covariance(models, label)
        error = auc_contrast_error(models, label, weights) if weights.any() else 0.0
        return values, float(values @ weights), error


QUESTIONS = {
    "htautau": [Question("AUC", "higgs_id", "label", of=1)],
    "htautau_fakes": [
        Question("accuracy", "event_class", "label"),
        Question("H AUC", "event_class", "label", of=3),
        Question("tau AUC", "pair_tau_id", "is_tau", of=1),
    ],
}


def event_features(raw: Arrays) -> dict[str, np.ndarray]:
    """What each tree sees of an event."""
    jet, image = raw["jet"], raw["image"]
    jets = jet.reshape(len(jet), -1)
    both = np.concatenate((jets, pair(jet)), 1)
    numbers = (both, image_numbers(image), shares(jet, image))
    return {
        "jets": jets,
        "jets, di-jet mass and angles": both,
        "jets, mass, angles, image numbers": np.concatenate(numbers, 1),
    }


def jet_features(raw: Arrays) -> dict[str, np.ndarray]:
    """What each tree sees of a jet, [event * jet, ...]."""
    jet, image = (raw[name].reshape(-1, *raw[name].shape[2:]) for name in ("jet", "image"))
    numbers = np.concatenate((jet, image_numbers(image[:, None])), 1)
    return {"jets": jet, "jets, image numbers": numbers}


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


def booster(seed: int) -> HistGradientBoostingClassifier:
    """A tree as all comparisons have it, before it is fitted."""
    return HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=1000, early_stopping=True, random_state=seed
    )


def tree_answers(features: np.ndarray, truth: np.ndarray, parts: Arrays, seed: int) -> np.ndarray:
    """Class probabilities [event, ..., class] from a tree of the training part.

    `truth` is [event] or [event, jet], `features` have a row for each of its values.
    """
    tree = booster(seed)
    rows = np.arange(truth.size).reshape(truth.shape)
    train, valid = (rows[parts[name]].ravel() for name in ("train", "valid"))
    label = truth.ravel()
    tree.fit(features[train], label[train], X_val=features[valid], y_val=label[valid])
    answers: np.ndarray = tree.predict_proba(features)
    return answers.reshape(*truth.shape, -1)


def compared(
    question: Question,
    answers: Mapping[str, Sequence[np.ndarray]],
    truth: np.ndarray,
    judged: Arrays,
) -> Iterator[dict[str, Any]]:
    """A row for every model and set of events: the mean over seeds, and how far apart."""
    seeds = len(answers[CHAIN])
    scores = {name: [question.scored(one, truth) for one in own] for name, own in answers.items()}
    weights = np.repeat([1.0, -1.0], seeds) / seeds
    for place, chosen in judged.items():
        there = truth[chosen].ravel()
        for name, own in scores.items():
            models = np.stack([one[chosen].ravel() for one in (*scores[CHAIN], *own)])
            apart = weights if name != CHAIN else np.zeros_like(weights)
            values, gap, error = question.judged(models, there, apart)
            row = {"quantity": question.name, "judged": place, "number": there.size, "model": name}
            row["value"] = float(values[seeds:].mean())
            if name != CHAIN:
                row |= {"chain_minus": gap, "error": error}
            yield row


def main() -> None:
    """Print the table; add it to a CSV file if there is an `out`."""
    own = {"seeds": "3", "out": ""}
    own |= dict(word.split("=", 1) for word in sys.argv[1:] if word.split("=")[0] in own)
    words = [word for word in sys.argv[1:] if word.split("=")[0] not in own]
    console = Console()
    answers: dict[str, dict[str, list[np.ndarray]]] = {}
    for seed in range(int(own["seeds"])):
        plan, result = selected_chain(words, seed)
        questions = QUESTIONS[plan.config["problem"]["name"]]
        raw = plan.source.load(list(plan.config["data"]["fields"]))
        parts = used_events(plan, raw["label"].astype(int))
        predicted = load_model(plan.directory).predict(raw, conditions={}, batch=500)
        for field, task in {one.field: one.task for one in questions}.items():
            kept = answers.setdefault(field, {})
            kept.setdefault(CHAIN, []).append(predicted[task])
            features = jet_features(raw) if raw[field].ndim > 1 else event_features(raw)
            for name, numbers in features.items():
                kept.setdefault(name, []).append(tree_answers(numbers, raw[field], parts, seed))
        seconds = sum(stage["seconds"] for stage in result["stages"].values())
        chain = " -> ".join(result["selected"].values())
        console.print(f"seed {seed}: {chain} ({seconds:.0f} s in stages)")
    judged = {name: parts[name] for name in ("test", "unused") if len(parts[name])}
    rows = [
        row
        for one in questions
        for row in compared(one, answers[one.field], raw[one.field], judged)
    ]
    table = Table(title="Means over the seeds; chain minus tree with its event error")
    for column in ("quantity", "judged on", "model", "value", "chain minus tree"):
        table.add_column(column)
    for row in rows:
        gap = f"{row['chain_minus']:+.4f} +- {row['error']:.4f}" if "error" in row else ""
        where = f"{row['judged']} ({row['number']})"
        table.add_row(row["quantity"], where, row["model"], f"{row['value']:.4f}", gap)
    console.print(table)
    if own["out"]:
        path = Path(own["out"])
        frame = pd.DataFrame(rows)
        last = plan.config["tasks"][plan.tasks[-1]]
        told = {
            "problem": plan.config["problem"]["name"],
            "events": str(plan.config["data"]["events"]),
            "candidates": "-".join(last["candidates"]),
            "seeds": int(own["seeds"]),
        }
        for place, (name, value) in enumerate(told.items()):
            frame.insert(place, name, value)
        kept = [pd.read_csv(path)] if path.is_file() else []
        pd.concat([*kept, frame.round(5)]).to_csv(path, index=False)


if __name__ == "__main__":
    main()

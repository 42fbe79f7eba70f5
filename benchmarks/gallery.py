"""The pictures of docs/gallery.md, drawn from docs/results/*.csv: python benchmarks/gallery.py.

Each picture keeps the checksum of the files that it was drawn from, so that a test can tell one
that is out of date.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from published import DOCS, FILES, FOLDER, Published

from msnas.plots.axes import names_axis, v1_axis
from msnas.plots.grammar import Axis, Chart, Look, Panel, Points, Rule, Words
from msnas.plots.look import COLOURS, METHODS, WITH, WITHOUT, looks
from msnas.plots.paper import save
from msnas.plots.violins import violins

GALLERY = DOCS / "gallery"
ONE, EACH = Look(colour=COLOURS["blue"]), Look(colour=COLOURS["vermilion"], marker="square")


def pairs(numbers: Published) -> Chart:
    """Every pair task after task, and trained end to end."""
    runs = numbers.scan("fig2")
    again = runs["label"].str.contains("reoptimise=true")
    kinds = {True: "trained end to end, $v_1$ = 0", False: "task after task"}
    frame = runs.assign(column=runs["chain"], kind=again.map(kinds), y=runs["test_auc"])
    order = frame[again].groupby("chain")["y"].median().sort_values(ascending=False).index
    colours = {kinds[True]: WITH, kinds[False]: WITHOUT}
    y = Axis(label="test AUC, Higgs or Z")
    return violins(frame, list(order), colours, title="Nine pairs", y=y, notes=[])


def methods(numbers: Published) -> Chart:
    """Every search at v1 = .5."""
    spos, grid = numbers.scan("v1"), numbers.scan("bank")
    runs = pd.concat([grid, spos[spos["v1"] == 0.5], numbers.scan("methods")])
    frame = runs.assign(column=runs["method"], kind=runs["method"], y=runs["test_auc"])
    order = [name for name in METHODS if name in set(frame["column"])]
    y = Axis(label="test AUC, Higgs or Z")
    return violins(frame, order, looks(order), title="Methods, $v_1$ = .5", y=y, notes=[])


def axis(numbers: Published) -> Chart:
    """Error of the taus, AUC and validity against v1."""
    runs = numbers.scan("v1")
    told = {
        "test_mse": "error of the taus [(100 GeV)$^2$]",
        "test_auc": "test AUC, Higgs or Z",
        "joint_validity": "joint validity",
    }
    panels = []
    for column, label in told.items():
        own = runs[runs["v1"] < 1] if column == "test_auc" else runs
        frame = own.assign(x=own["v1"], y=own[column])
        means = frame.groupby("v1", as_index=False)[["x", "y"]].mean()
        single = Points(rows=frame, look=ONE, size=3, opacity=0.4, loose=True)
        mean = Points(rows=means, look=ONE, width=1.5, label="mean of ten seeds")
        panels.append(Panel(x=v1_axis(), y=Axis(label=label), layers=[single, mean]))
    notes = ["Small: single runs. At v1 = 1 the classifier has no loss, so no AUC is shown."]
    return Chart(title="The weight of the first task", panels=panels, columns=3, notes=notes)


def one_training(numbers: Published) -> Chart:
    """Both metrics, of one training for every v1 and of a training for each."""
    fixed, runs = numbers.scan("v1"), numbers.runs
    several = runs[(runs["scan"] == "yoto") & runs["condition"].notna()]
    layers = []
    for name, own, look in (
        ("a training for each $v_1$", fixed.assign(condition=fixed["v1"]), EACH),
        ("one training for all $v_1$", several, ONE),
    ):
        own = own[own["condition"].between(0.01, 0.99)]
        means = own.groupby("condition")[["test_mse", "test_auc"]].mean().reset_index()
        means = means.rename(columns={"test_mse": "x", "test_auc": "y"})
        layers.append(Points(rows=means, look=look, width=1.5, label=name))
        layers.append(
            Words(rows=means.assign(text=means["condition"].map("{:g}".format)), look=look)
        )
    panel = Panel(
        x=Axis(label="error of the taus [(100 GeV)$^2$] (lower is better)"),
        y=Axis(label="test AUC, Higgs or Z (higher is better)"),
        layers=layers,
    )
    notes = ["Means of ten seeds; the numbers are v1."]
    return Chart(title="One training", panels=[panel], columns=1, size=(5.5, 4), notes=notes)


def ranking(numbers: Published) -> Chart:
    """Losses of chains in a super-network, and trained by themselves with the same seed."""
    chains, runs = numbers.chains[numbers.chains["stage"] == "search"], numbers.scan("v1")
    shared = chains[chains["key"].isin(runs[runs["v1"] == 0.5]["key"])]
    alone = chains[chains["scan"] == "bank"]
    both = shared.merge(alone, on=["seed", "chain"], suffixes=("_shared", "_alone"))
    means = both.groupby("chain", as_index=False)[["valid_loss_shared", "valid_loss_alone"]].mean()
    columns = {"valid_loss_alone": "x", "valid_loss_shared": "y", "chain": "text"}
    rows = both.rename(columns=columns)
    panel = Panel(
        x=Axis(label="validation loss, trained by itself (grid search)"),
        y=Axis(label="validation loss in the super-network (SPOS)"),
        layers=[
            Points(rows=rows, look=METHODS["spos"], size=3, opacity=0.4, loose=True),
            Points(rows=means.rename(columns=columns), look=METHODS["spos"], size=7),
            Words(rows=means.rename(columns=columns)),
        ],
    )
    notes = ["Large: means of ten seeds; small: single seeds. $v_1$ = .5."]
    return Chart(title="What SPOS sees", panels=[panel], columns=1, size=(5.5, 4.3), notes=notes)


def trees(numbers: Published) -> Chart:
    """AUC of the selected chain minus that of boosted trees."""
    of_problem = numbers.reference[numbers.reference["problem"] == "htautau"]
    frame = of_problem.dropna(subset=["error"])
    frame = frame[~frame["candidates"].astype(str).str.contains("side")]
    names = ["jets", "jets, di-jet mass and angles", "jets, mass, angles, image numbers"]
    layers = []
    groups = list(frame.groupby(["events", "judged"], sort=False))
    for index, ((events, judged), own) in enumerate(groups):
        y = own["chain_minus"]
        x = own["model"].map(names.index) + 0.15 * (index - (len(groups) - 1) / 2)
        rows = own.assign(x=x, y=y, low=y - own["error"], high=y + own["error"])
        label = f"trained with {events} events, {judged} events (n = {own['number'].iloc[0]:,})"
        look = Look(
            colour=list(COLOURS.values())[index], marker=("circle", "square", "diamond")[index]
        )
        layers.append(Points(rows=rows, look=look, label=label))
    layers.append(Rule(rows=pd.DataFrame({"y": [0.0]})))
    told = ["jets", "+ mass", "+ images"]
    panel = Panel(
        x=names_axis(told, "what the boosted tree sees"),
        y=Axis(label="AUC of the chain minus the tree's"),
        layers=layers,
    )
    notes = [
        "+ mass: the di-jet mass and angles too; + images: and a hundred numbers of the images.",
        "Bars: one standard error from the choice of events (DeLong).",
    ]
    return Chart(title="Beside boosted trees", panels=[panel], columns=1, size=(6, 4), notes=notes)


PICTURES: tuple[Callable[[Published], Chart], ...] = (
    *(pairs, axis, methods, one_training, ranking, trees),
)


def source() -> str:
    """Checksum of the published files, text for a picture."""
    digest = hashlib.sha256()
    for name in FILES:
        digest.update((FOLDER / f"{name}.csv").read_bytes())
    return digest.hexdigest()


def main() -> None:
    """Draw all."""
    GALLERY.mkdir(exist_ok=True)
    numbers = Published()
    for picture in PICTURES:
        with TemporaryDirectory() as folder:
            drawn, _ = save(picture(numbers), Path(folder) / "picture")
            told = PngInfo()
            told.add_text("Source", source())
            Image.open(drawn).save(GALLERY / f"{picture.__name__}.png", pnginfo=told, optimize=True)


if __name__ == "__main__":
    main()

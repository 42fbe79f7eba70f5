"""The grammar of figures and both its renderers, by contract: nothing of physics is needed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from drawn import texts_inside

from msnas.plots import axes, look
from msnas.plots.grammar import (
    Axis,
    Band,
    Bars,
    Chart,
    Image,
    Layer,
    Panel,
    Points,
    Rule,
    Steps,
    Violin,
    Words,
)
from msnas.plots.labels import Box, Wanted, placed_words, places
from msnas.plots.page import interactive, rich
from msnas.plots.paper import draw, save
from msnas.plots.ranges import span
from msnas.results.quantity import Quantity

BLUE = look.Look(colour="#0072b2")
ROWS = pd.DataFrame(
    {
        **{"x": [1.0, 2, 3], "y": [1.0, 4, 2], "low": [0.5, 3, 1], "high": [2.0, 5, 3]},
        **{"left": [0.6, 1.6, 2.6], "right": [1.4, 2.4, 3.4], "error": 0.1, "base": 0.0},
        **{"value": [1.0, 10, 100], "text": ["a", "b", "c"], "key": ["k1", "k2", "k3"]},
    }
)
LAYERS: dict[str, Layer] = {
    "points with bars": Points(rows=ROWS, look=BLUE, label="points"),
    "a line": Points(rows=ROWS[["x", "y"]], look=BLUE, size=0, width=2, label="line"),
    "hollow marks": Points(rows=ROWS[["x", "y"]], look=BLUE, hollow=True, edge="#000000"),
    "band": Band(rows=ROWS, look=BLUE),
    "steps": Steps(rows=ROWS, look=BLUE, label="steps"),
    "filled steps": Steps(rows=ROWS, look=BLUE, filled=True, bars=False, label="filled"),
    "violin": Violin(rows=ROWS.assign(x=2.0), look=BLUE, width=0.8),
    "median": Violin(rows=ROWS.assign(x=2.0), look=BLUE, width=0.8, body=False),
    "bars": Bars(rows=ROWS, look=BLUE, label="bars"),
    "rule across": Rule(rows=pd.DataFrame({"y": [3.0]}), look=BLUE, label="rule"),
    "rule up": Rule(rows=pd.DataFrame({"x": [2.0]}), look=BLUE),
    "image": Image(rows=ROWS, scale=(0.1, 100), unit="GeV"),
    "words": Words(rows=ROWS, look=BLUE),
}


def panel_of(*layers: Layer, **settings: Axis) -> Panel:
    both = {"x": Axis(label="x of $v_1$"), "y": Axis(label=r"y [$10^{-3}$ $\alpha$]"), **settings}
    return Panel(**both, layers=layers, title="panel")


def chart_of(*panels: Panel, columns: int = 2) -> Chart:
    return Chart(title="made, $v_1$ = 0", panels=panels, columns=columns, notes=["n = 3 runs."])


BASE = Points(rows=pd.DataFrame({"x": [0.5, 3.5], "y": [0.0, 6.0]}), size=0, loose=True)


def on_page(chart: Chart) -> tuple[int, int]:
    """How many traces and words the page has."""
    text = go.Figure(interactive(chart)).to_json()
    assert "NaN" not in text
    page = json.loads(text)
    return len(page["data"]), len(page["layout"]["annotations"])


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, tuple[int, int]]:
    """The picture of an empty panel, and what its page has."""
    chart = chart_of(panel_of(BASE))
    return save(chart, tmp_path_factory.mktemp("plots") / "base")[0].read_bytes(), on_page(chart)


@pytest.mark.parametrize("name", LAYERS)
def test_both_renderers_draw_every_layer(
    name: str, without: tuple[bytes, tuple[int, int]], tmp_path: Path
) -> None:
    """Another picture than without it, whole on paper; the page has it too."""
    chart = chart_of(panel_of(BASE, LAYERS[name]))
    texts_inside(draw(chart))
    png, pdf = (path.read_bytes() for path in save(chart, tmp_path / "chart"))
    assert (png[:4], pdf[:4]) == (b"\x89PNG", b"%PDF")
    assert png != without[0]
    assert on_page(chart) > without[1]


def test_the_same_chart_gives_the_same_files(tmp_path: Path) -> None:
    chart = chart_of(panel_of(LAYERS["points with bars"], LAYERS["words"]))
    first, again = save(chart, tmp_path / "a"), save(chart, tmp_path / "b")
    assert [one.read_bytes() for one in first] == [one.read_bytes() for one in again]


def test_the_page_names_runs_and_lists_a_name_once() -> None:
    page = go.Figure(interactive(chart_of(*[panel_of(LAYERS["points with bars"])] * 2)))
    assert [list(one.customdata) for one in page.data] == [["k1", "k2", "k3"]] * 2
    assert [one.showlegend for one in page.data] == [True, False]
    assert page.layout.xaxis.title.text == "x of v<sub>1</sub>"
    assert page.layout.yaxis.title.text == "y [10<sup>-3</sup> \u03b1]"


def test_texts_of_tex_on_the_page() -> None:
    assert rich(r"$\Delta\eta$, $p_T$, $1-\beta$, a_b") == (
        "\u0394\u03b7, p<sub>T</sub>, 1-\u03b2, a_b"
    )


def test_the_frame_is_all_that_is_drawn() -> None:
    frame = chart_of(panel_of(LAYERS["points with bars"], LAYERS["steps"])).frame
    assert frame.groupby("layer")["y"].sum().to_dict() == {"Points": 7, "Steps": 7}
    assert set(frame["label"]) == {"points", "steps"}


NONE = np.array([])


def test_one_number_does_not_squash_the_rest() -> None:
    many = np.array([0.30, 0.31, 0.29, 0.32, 0.30, 0.31, 0.30, 9.7])
    assert span(many, NONE, NONE) == (0.29, 0.32)
    assert span(many[-4:], NONE, NONE) == (0.30, 9.7)  # one of four is no outlier
    assert span(np.array([0.2, *[0.98] * 4, *[1.0] * 3]), NONE, NONE) == (0.98, 1.0)
    two_groups = np.array([0.2] * 4 + [1.0] * 12)
    assert span(two_groups, NONE, NONE) == (0.2, 1.0)
    assert span(np.array([1.0, 2.0]), np.array([0.0, 3.2, 50.0]), NONE) == (0.0, 3.2)
    singles = np.array([0.94, 0.98, 1.02, 1.06])
    assert span(np.array([1.0, 1.001]), singles, NONE) == (0.94, 1.06)  # medians close together
    assert span(many, NONE, np.array([0.0, 20.0])) == (0.0, 20.0)  # what is firm stays
    assert span(NONE, np.array([1.0, 2.0]), NONE) == (1.0, 2.0)
    assert span(NONE, NONE, NONE) == (0.0, 1.0)


def outlier(*values: float) -> Panel:
    rows = pd.DataFrame({"x": np.arange(len(values)), "y": values})
    return panel_of(Points(rows=rows, look=BLUE))


def test_what_lies_beyond_is_told_at_the_edge() -> None:
    panel = outlier(0.30, 0.31, 0.29, 0.32, 0.30, 0.31, 0.30, 9.7)
    low, high = panel.limits("y")
    assert low < 0.29 < 0.32 < high < 1
    (one,) = panel.beyond
    assert (one.x, one.y, one.text, one.look.marker) == (7, high, "9.7", "triangle-up")
    assert [word.text for word in placed_words(panel, (200, 150), size=8)] == ["9.7"]
    page = go.Figure(interactive(chart_of(panel)))
    assert any("9.7" in str(mark.hovertemplate) for mark in page.data)
    assert any(word.text == "9.7" for word in page.layout.annotations)


def test_single_runs_beyond_are_told_together_and_not_beside_their_median() -> None:
    middle = pd.DataFrame({"x": [0.0, 1, 2], "y": [1.0, 2, 3]})
    singles = pd.DataFrame({"x": [0.0, 0, 1], "y": [40.0, 42, 2]})
    panel = panel_of(Points(rows=middle, look=BLUE), Points(rows=singles, look=BLUE, loose=True))
    assert [one.text for one in panel.beyond] == ["40 to 42 (2)"]
    y = Axis(limits=(0.0, 2.5))
    both = panel_of(
        Points(rows=middle.iloc[[2]], look=BLUE),
        Points(rows=middle.iloc[[2]].assign(y=2.9), look=BLUE, size=2, loose=True),
        y=y,
    )
    assert [one.text for one in both.beyond] == ["3"]
    corner = panel_of(
        Points(rows=pd.DataFrame({"x": [9.0], "y": [-1.0]}), look=BLUE), x=Axis(limits=(0, 1)), y=y
    )
    assert [(one.text, one.look.marker) for one in corner.beyond] == [("9, -1", "triangle-down")]


def test_outliers_near_each_other_are_told_together_and_all_can_be_read() -> None:
    """Within a sixteenth of the axis; far ones apart."""
    outliers = pd.DataFrame({"x": [0.10, 0.11, 0.90, 0.97], "y": [9.0, 7.0, 8.0, 6.0]})
    axes = {"x": Axis(limits=(0, 1)), "y": Axis(limits=(0, 1))}
    panel = panel_of(Points(rows=outliers, look=BLUE), **axes)
    places_of = {one.text: one.x for one in panel.beyond}
    assert places_of == pytest.approx({"7 to 9 (2)": 0.105, "8": 0.9, "6": 0.97})
    crowd = [Wanted(50.0, 100.0, f"{one}.123", must=True) for one in range(8)]
    placed = places(crowd, [], np.empty((0, 2)), (200, 100), size=8)
    clear(placed, [], (200, 100))


def clear(boxes: Sequence[Box | None], marks: Sequence[Box], frame: tuple[float, float]) -> None:
    placed = [box for box in boxes if box is not None]
    assert not any(a.meets(np.array([b])) for a, b in combinations(placed, 2))
    assert not any(box.meets(np.reshape(marks, (-1, 4))) for box in placed)
    assert all(box.within(*frame) for box in placed)


@pytest.mark.parametrize("seed", range(5))
def test_words_lie_on_no_mark_and_on_no_other_word(seed: int) -> None:
    generator = np.random.default_rng(seed)
    frame = 300.0, 200.0
    at = generator.uniform(0, 1, (30, 2)) * frame
    marks = [Box(x, y, 6, 6) for x, y in at]
    words = [Wanted(x, y, "0.999") for x, y in at]
    boxes = places(words, marks, np.empty((0, 2)), frame, size=8)
    assert sum(box is not None for box in boxes) > 15
    clear(boxes, marks, frame)


def test_words_keep_off_lines_and_some_are_there_at_any_rate() -> None:
    frame = 100.0, 100.0
    mark = [Box(50, 50, 6, 6)]
    up = np.linspace((50, 50), (100, 100), 50)  # where a word would stand first
    (box,) = places([Wanted(50, 50, "0.5")], mark, up, frame, size=8)
    assert box is not None
    assert not ((box.x > 50) and (box.y > 50))
    full = [Box(x, y, 12, 12) for x in range(0, 101, 10) for y in range(0, 101, 10)]
    nothing = np.empty((0, 2))
    assert places([Wanted(50, 50, "0.5")], full, nothing, frame, size=8) == [None]
    assert places([Wanted(50, 50, "0.5", must=True)], full, nothing, frame, size=8) != [None]
    (above,) = places([Wanted(50, 50, "7", above=True)], full, nothing, frame, size=8)
    assert above is not None
    assert (above.x, above.y > 50) == (50, True)


def test_positions_of_v1_are_symmetric_increasing_and_continuous() -> None:
    axis = axes.v1_axis()
    positions = axis.positions(np.linspace(0, 1, 10001))
    assert np.all(np.diff(positions) > 0)
    np.testing.assert_allclose(positions, -positions[::-1], atol=1e-9)
    assert axis.positions([0.9]) == pytest.approx(np.log10(9))
    assert axis.ticks is not None
    assert np.diff(list(axis.ticks(-5, 5))).min() > 0.75
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        axes.v1_position(1.1)


def test_the_axis_of_one_minus_beta_has_a_place_for_zero_and_names_the_limits() -> None:
    axis = axes.parameter_axis("one_minus_beta", [0.0, 1e-6, 1e-4, 1e-2, 1.0])
    assert axis.positions([1.0, 1e-2, 1e-6, 0.0]) == pytest.approx([0, -2, -6, -7.5])
    assert axis.ticks is not None
    ticks = axis.ticks(-8, 1)
    assert (ticks[0.0], ticks[-7.5], ticks[-4.0]) == ("1\nCE", "0\nICE", "$10^{-4}$")
    assert len(axis.breaks) == 1
    without = axes.parameter_axis("one_minus_beta", [1e-4, 1e-2])
    assert without.ticks is not None
    assert "ICE" not in " ".join(without.ticks(-5, 0).values())


def test_other_axes_are_linear_or_that_of_v1() -> None:
    assert axes.parameter_axis("gamma", [0, 0.5, 1, 2, 5]).positions([2.0]) == [2.0]
    assert axes.parameter_axis("gamma", [0, 1.0]).label == r"focal $\gamma$  (0: CE)"
    assert axes.weight_axis([0, 0.1, 0.5, 1]).positions([0.1]) == [0.1]
    assert axes.weight_axis([0.01, 0.5]).positions([0.01]) == axes.v1_position(0.01)
    log = axes.log_axis("s")
    assert log.ticks is not None
    assert list(log.ticks(0.1, 1.9).values()) == ["2", "5", "10", "20", "50"]
    assert list(log.ticks(-1, 3).values()) == ["0.1", "1", "10", "100", "1000"]
    askew = axes.names_axis(["a rather long name of a method with settings"] * 3)
    assert askew.askew
    assert askew.ticks is not None
    assert max(map(len, askew.ticks(0, 2).values())) == axes.LONGEST


def test_colours_stay_and_settings_of_a_method_look_different() -> None:
    few = look.looks(["spos", "darts"])
    many = look.looks(["asng", "darts", "spos", "spos a=1", "something new"])
    assert few["spos"] == many["spos"]
    assert few["darts"] == look.METHODS["darts"]
    one, two = many["spos"], many["spos a=1"]
    assert one.marker != two.marker
    assert one.colour != two.colour
    labels = ["new", "end_to_end", "spos, YOTO", "darts", "spos a=1", "grid_search"]
    assert look.in_order(labels) == [
        *("grid_search", "darts", "spos a=1", "spos, YOTO", "end_to_end", "new")
    ]
    chains = look.chain_looks([str(one) for one in range(40)])
    assert len({one.colour for one in list(chains.values())[:27]}) == 27
    colours = look.colours_of(["cnn", "mlp", "other", "cnn2"], most=3)
    assert colours["cnn"] == look.CANDIDATES["cnn"]
    assert colours["cnn2"] == look.REST
    assert len(set(colours.values())) == 4


def test_a_metric_is_told_with_unit_and_direction_and_a_share_goes_from_0_to_1() -> None:
    mse = Quantity(name="a/mse", label="tau MSE", higher_is_better=False, unit="(100 GeV)^2")
    label = axes.metric_axis(mse, direction=True).label
    assert label == "test tau MSE [(100 GeV)$^{2}$] (lower is better)"
    assert rich(label).startswith("test tau MSE [(100 GeV)<sup>2</sup>]")
    share = Quantity(name="validity/joint", label="validity", higher_is_better=None)
    assert axes.metric_axis(share).limits == (0.0, 1.0)

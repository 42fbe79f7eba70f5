"""The report's page in a browser: drawn, sorted, filtered, followed, and read on a phone."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import axe_core_python
import numpy as np
import pandas as pd
import pytest
from browser import CHROMIUM, Browser, browser
from made_page import EVIL, made_page, scan_page

from msnas.report.tables import chains_table, differences_table, methods_table
from msnas.results.runs import Runs
from msnas.results.statistics import median_of

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)"
)

DRAWN = "document.querySelectorAll('.js-plotly-plot .main-svg').length >= 3"
ROWS = (
    "[...document.querySelector('#table-summary').tBodies[0].rows].map(r => r.cells[0].innerText)"
)
SORTED = "[...document.querySelectorAll('#table-summary th')].map(h => h.getAttribute('aria-sort'))"
AXE = Path(axe_core_python.__file__).with_name("axe.min.js")
SIZES = [390, 768, 1400]


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With texts that would do harm if they were not escaped."""
    return made_page(tmp_path_factory.mktemp("page"), note=EVIL)


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Runs]:
    return scan_page(tmp_path_factory.mktemp("scan"))


def head(column: int) -> str:
    return f"document.querySelectorAll('#table-summary th button')[{column}]"


def see(tab: Browser, selector: str) -> None:
    tab.value(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center'}})")


def place_of(tab: Browser, selector: str, number: int = 0) -> tuple[float, float]:
    x, y = tab.value(
        f"(() => {{ const r = document.querySelectorAll({json.dumps(selector)})[{number}]"
        ".getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] })()"
    )
    return x, y


def test_every_figure_is_drawn_without_error_or_network(tab: Browser, page: Path) -> None:
    tab.open(page)
    for name in ("fig3", "fig_2", "panels"):
        see(tab, f"#figure-{name}")
        tab.wait_for(f"document.querySelector('#figure-{name} .main-svg')")
    tab.wait_for("document.querySelectorAll('#figure-fig3 .point').length === 3")
    assert tab.value("document.querySelectorAll('#figure-fig_2 .violin').length") == 1
    assert tab.value("document.querySelectorAll('[data-title*=Share], img').length") == 0
    assert tab.value("document.body.innerText").count(EVIL) >= 5
    assert tab.value("document.querySelector('figcaption sub').textContent") == "1"
    assert tab.errors == []
    assert tab.addresses == [page.resolve().as_uri()]


def test_an_error_on_a_page_is_noticed(tab: Browser, page: Path, tmp_path: Path) -> None:
    """What the other tests rely on: a script the policy does not name, and an address."""
    text = page.read_text()
    harmed = tmp_path / "index.html"
    harmed.write_text(
        text.replace(
            "<main>", "<main><script>window.harm = 1</script><img src='http://x.invalid/'>"
        )
    )
    tab.open(harmed)
    assert tab.value("typeof window.harm") == "undefined"
    tab.wait_for("document.readyState === 'complete'")
    assert len([one for one in tab.errors if "Content Security Policy" in one]) == 2


def test_tables_are_sorted_by_mouse_keyboard_and_address(tab: Browser, page: Path) -> None:
    tab.open(page)
    assert tab.value(ROWS) == ["aaaa", "bbbb", "cccc"]
    assert set(tab.value(SORTED)) == {"none"}
    tab.value(f"{head(2)}.click()")  # auc: 0.1, 0.001, nothing
    assert tab.value(ROWS) == ["bbbb", "aaaa", "cccc"]
    assert tab.value(SORTED) == ["none", "none", "ascending", "none"]
    tab.value(f"{head(2)}.focus()")
    tab.press("Enter")
    assert tab.value(ROWS) == ["aaaa", "bbbb", "cccc"]
    assert tab.value(SORTED)[2] == "descending"
    tab.value(f"{head(3)}.click()")  # seeds 9, 10, 8: as numbers, not as words
    assert tab.value(ROWS) == ["cccc", "aaaa", "bbbb"]
    assert tab.value("location.hash") == "#sort=summary.seeds.ascending"
    tab.open(page, "#sort=summary.seeds.descending")
    assert tab.value(ROWS) == ["bbbb", "aaaa", "cccc"]
    tab.open(page, "#sort=nothing.99.ascending&run=nothing&seed=77")
    assert tab.errors == []


def test_tables_are_searched_cut_to_columns_and_saved(
    tab: Browser, page: Path, tmp_path: Path
) -> None:
    tab.open(page)
    tab.value(
        "(() => { const s = document.querySelector('#tables input[type=search]');"
        "s.value = 'bb 0.5'; s.dispatchEvent(new Event('input')) })()"
    )
    assert tab.value(ROWS) == ["bbbb"]
    tab.value(
        "[...document.querySelectorAll('#tables .choices label')]"
        ".find(l => l.innerText.trim() === 'auc' || l.textContent.trim() === 'auc')"
        ".querySelector('input').click()"
    )
    columns = (
        "[...document.querySelectorAll('#table-summary th')].map(h => h.innerText.split(' ')[0])"
    )
    assert tab.value(columns) == ["name", "v1", "seeds"]
    tab.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    tab.value(
        "[...document.querySelectorAll('#tables button')].find(b => b.innerText === 'CSV').click()"
    )
    saved = tmp_path / "summary.csv"
    for _ in range(200):
        if saved.is_file() and saved.stat().st_size:
            break
        tab.value("new Promise(next => setTimeout(next, 50))")
    assert list(csv.reader(saved.read_text().splitlines())) == [
        ["name", "v1", "seeds"],
        ["bbbb", "0.5", "10"],
    ]
    assert tab.value("""csv(["a"], [["x, \\"y\\""], [null], [1e-7]])""") == (
        'a\n"x, ""y"""\n\n1e-7\n'
    )


# ------------------------------------------------------------------ filters


def shown_table(tab: Browser, name: str) -> pd.DataFrame:
    """A table as the page makes it of the shown runs."""
    made = tab.value(f"tableOf(page.tables.find(t => t.name === '{name}'), filtered().active)")
    return pd.DataFrame(made["rows"], columns=made["columns"])


def same(shown: pd.DataFrame, own: pd.DataFrame) -> None:
    own = own.astype(object).where(own.notna(), None)
    shown = shown.astype(object).where(shown.notna(), None)
    assert list(shown) == list(own)
    for one, other in zip(shown.to_dict("records"), own.to_dict("records"), strict=True):
        assert one == pytest.approx(other)


@pytest.mark.parametrize(
    ("fragment", "methods", "seeds"),
    [
        ("", {"spos", "darts", "grid_search", "fixed_chain"}, set(range(6))),
        ("#label=spos", {"spos"}, set(range(6))),
        (
            "#seed=0&seed=2&seed=3&seed=4&seed=5&label=spos&label=darts",
            {"spos", "darts"},
            {0, *range(2, 6)},
        ),
    ],
    ids=["all", "a method", "methods and seeds"],
)
def test_tables_are_those_of_the_shown_runs(
    tab: Browser, scan: tuple[Path, Runs], fragment: str, methods: set[str], seeds: set[int]
) -> None:
    """The page's own statistics give what those of the report give of these runs alone."""
    page, runs = scan
    labels = dict(zip(runs.wide["key"], runs.wide["label"], strict=True))
    own = [run for run in runs.finished if run.method in methods and run.seed in seeds]
    wanted = Runs(own)
    tab.open(page, fragment)
    for make in (methods_table, chains_table):
        expected = make(wanted)
        if fragment and "label" in expected.rows:  # labels tell apart all runs, not these alone
            assert set(expected.rows["label"]) <= set(labels.values())
        shown = shown_table(tab, expected.name)
        if make is chains_table:  # in the order of all runs
            order = [*expected.by]
            shown = shown.sort_values(order, ignore_index=True)
            same(shown, expected.table.sort_values(order, ignore_index=True))
        else:
            same(shown, expected.table)
    count = tab.value("document.querySelector('#filters [role=status]').innerText")
    assert count.startswith(f"{len(own)} of {len(runs.finished)} finished runs")
    assert tab.value("runs.rows.length") == len(runs.finished)
    if not fragment:
        same(shown_table(tab, "differences"), differences_table(runs).table)
    assert tab.errors == []


def test_intervals_of_the_page_are_those_of_the_report(tab: Browser, page: Path) -> None:
    tab.open(page)
    generator = np.random.default_rng(0)
    for count in (1, 4, 5, 6, 9, 10, 33, 200):
        values = generator.normal(size=count).round(6).tolist()
        own = median_of(values)
        shown = tab.value(f"[median({values}), interval({values})]")
        assert shown[0] == pytest.approx(own.median)
        assert shown[1] == (None if own.low is None else [own.low, own.high])
    for value in (0, 1.5, 123456.789, 1e-5, -0.00012344, 99999.5, 0.1, 1e22):
        assert tab.value(f"general({value})") == f"{value:.4g}"


def test_a_filter_is_set_by_the_keyboard_and_kept_in_the_address(
    tab: Browser, scan: tuple[Path, Runs]
) -> None:
    page, _ = scan
    tab.open(page)
    tab.value("document.querySelector('[data-filter=label] summary').focus()")
    tab.press("Enter")
    tab.wait_for("document.querySelector('[data-filter=label]').open")
    tab.value("document.querySelector('[data-filter=label] input[value=darts]').click()")
    assert tab.value("location.hash") == "#label=darts"
    count = "document.querySelector('#filters [role=status]').innerText"
    assert tab.value(count).startswith("6 of 38 finished runs")
    tab.call("Page.reload")
    tab.wait_for("document.readyState === 'complete' && location.hash === '#label=darts'")
    tab.wait_for(f"{count}.startsWith('6 of 38')")
    assert tab.value("document.querySelector('#table-runs').tBodies[0].rows.length") == 6


def test_a_page_that_is_renewed_keeps_what_is_looked_at(tab: Browser, tmp_path: Path) -> None:
    page, _ = scan_page(tmp_path, renew=0.5)
    tab.open(page, "#label=darts&sort=runs.seed.descending")
    tab.value("window.mark = 1")
    tab.wait_for("typeof window.mark === 'undefined' && document.querySelector('#renew')")
    assert tab.value("location.hash") == "#label=darts&sort=runs.seed.descending"
    assert tab.value("document.querySelector('#table-runs').tBodies[0].rows.length") == 6
    tab.value("document.querySelector('#renew').click()")
    assert tab.value("document.querySelector('#renew').checked") is False


def trace(tab: Browser, figure: str, expression: str) -> Any:
    return tab.value(
        f"document.querySelector('#figure-{figure} .js-plotly-plot').data.filter({expression})"
        ".map(t => ({x: t.x, y: t.y, text: t.text, base: t.base, keys: t.customdata,"
        " up: t.error_y?.array, name: t.name}))"
    )


def test_figures_follow(tab: Browser, scan: tuple[Path, Runs]) -> None:
    """Single runs are left out; medians, their intervals and shares are those of the rest."""
    page, runs = scan
    tab.open(page, "#seed=1&seed=2&seed=3&seed=4&seed=5&label=spos")
    see(tab, "#figure-fig6_methods")
    tab.wait_for("document.querySelector('#figure-fig6_methods .main-svg')")
    shown = {
        run.key: run for run in runs.finished if run.method == "spos" and run.seed in range(1, 6)
    }
    small = trace(tab, "fig6_methods", "t => t.xaxis === 'x2' && t.customdata?.length === 15")
    assert {key for one in small for key in one["keys"]} == set(shown)
    (middle,) = trace(tab, "fig6_methods", "t => t.xaxis === 'x2' && t.meta?.of && t.y.length")
    for place, v1 in enumerate((0.0, 0.5, 0.99)):
        own = median_of([run.test["classify/auc"] for run in shown.values() if run.v1 == v1])
        assert middle["y"][place] == pytest.approx(own.median, abs=1e-6)
        assert own.high is not None
        assert middle["up"][place] == pytest.approx(own.high - own.median, abs=1e-6)
        assert "5 shown runs" in middle["text"][place]
    assert middle["name"] == "spos"
    see(tab, "#figure-fig5_selected")
    tab.wait_for("document.querySelector('#figure-fig5_selected .main-svg')")
    bars = trace(tab, "fig5_selected", "t => t.type === 'bar'")
    shares = {
        (one["name"], x): y
        for one in bars
        for x, y, text in zip(one["x"], one["y"], one["text"], strict=True)
        if not text.endswith(" 0 shown runs")
    }
    for place, v1 in enumerate((0.0, 0.5, 0.99)):
        chains = [run.chain for run in shown.values() if run.v1 == v1]
        for name in set(chains):
            assert shares[name, place] == pytest.approx(chains.count(name) / len(chains))
    assert tab.errors == []


def test_a_figure_without_the_shown_runs_says_so(tab: Browser, scan: tuple[Path, Runs]) -> None:
    page, _ = scan
    tab.open(page, "#label=fixed_chain reoptimise=false")
    see(tab, "#figure-fig6_methods")
    tab.wait_for("!document.querySelector('#figure-fig6_methods .box > .note').hidden")


# ------------------------------------------------------------------ runs


def test_a_click_on_a_point_opens_its_run(tab: Browser, page: Path) -> None:
    tab.open(page)
    see(tab, "#figure-fig3")
    tab.wait_for("document.querySelectorAll('#figure-fig3 .point').length === 3")
    assert tab.value("document.querySelector('#run').hidden") is True
    tab.click(*place_of(tab, "#figure-fig3 .point", 1))
    tab.wait_for("document.querySelector('#run h3')?.innerText === 'Run bbbb'")
    assert tab.value("location.hash") == "#run=bbbb"
    top = tab.value("document.querySelector('#run').getBoundingClientRect().top")
    assert -1 < top < 900, "the run is not in the window"
    assert tab.errors == []


def test_the_keyboard_goes_from_point_to_run(tab: Browser, page: Path) -> None:
    tab.open(page)
    see(tab, "#figure-fig3")
    tab.wait_for("document.querySelectorAll('#figure-fig3 .point').length === 3")
    tab.value("document.querySelector('#figure-fig3 .plot').focus()")
    for _ in range(3):
        tab.press("ArrowRight")
    said = "document.querySelector('#figure-fig3 [role=status]').textContent"
    assert "run cccc" in tab.value(said)
    tab.press("ArrowLeft")
    assert "run bbbb" in tab.value(said)
    tab.press("Enter")
    tab.wait_for("document.querySelector('#run h3')?.innerText === 'Run bbbb'")
    assert tab.errors == []


def test_a_run_shows_its_curves_settings_and_log(tab: Browser, page: Path) -> None:
    tab.open(page, "#run=cccc")
    tab.wait_for("document.querySelectorAll('#run .main-svg').length >= 2")
    said = tab.value("document.querySelector('#run').textContent")
    for words in ("toy, spos, v1 = 0.9, seed 10", "selected a-b none", "Belief of the search"):
        assert words in said
    curves = tab.value(
        "document.querySelector('#run .js-plotly-plot').data"
        ".map(t => [t.name, t.line.dash, t.x, t.y])"
    )
    assert ["one/a", "solid", [1, 2, 3], [1.5, 0.75, 0.5]] in curves
    assert ["super-network, training", "dot", [1, 2, 3], [1, 0.5, 0.33333]] in curves
    assert tab.value("document.querySelector('#table-settings-cccc').tBodies[0].innerText") == (
        "seed\t10\nnote\tnone"
    )
    links = tab.value("[...document.querySelectorAll('#run a')].map(a => a.getAttribute('href'))")
    assert "../runs/toy/spos/cccc/history.jsonl" in links
    assert tab.errors == []


def test_two_runs_side_by_side(tab: Browser, page: Path) -> None:
    tab.open(page, "#run=aaaa")
    tab.wait_for("document.querySelector('#with')")
    tab.value(
        "(() => { const s = document.querySelector('#with'); s.value = 'cccc';"
        "s.dispatchEvent(new Event('change')) })()"
    )
    tab.wait_for("document.querySelectorAll('#run .two .run').length === 2")
    assert tab.value("location.hash") == "#run=aaaa&with=cccc"
    table = (
        "[...document.querySelector('#table-difference-{}').tBodies[0].rows].map(r => r.innerText)"
    )
    assert tab.value(table.format("settings")) == ["seed\t0\t10", f"note\t{EVIL}\tnone"]
    numbers = tab.value(table.format("numbers"))
    assert "valid/two/auc\t0.75\t0.8\t0.05" in numbers
    tab.value(
        "[...document.querySelectorAll('#run button')].find(b => b.innerText === 'Close').click()"
    )
    assert tab.value("location.hash") == ""
    assert tab.value("document.querySelector('#run').hidden") is True
    assert tab.errors == []


def test_a_link_opens_its_run(tab: Browser, page: Path) -> None:
    tab.open(page)
    tab.value("document.querySelector('#table-runs a[href=\"#run=aaaa\"]').click()")
    tab.wait_for("document.querySelector('#run h3')?.innerText === 'Run aaaa'")
    links = tab.value(
        "[...document.querySelectorAll('#table-runs a')].map(a => a.getAttribute('href'))"
    )
    assert links == ["#run=aaaa", "#run=bbbb", "#run=cccc", "../runs/toy/spos/dddd/"]


def test_what_the_report_is_made_of_is_copied(tab: Browser, page: Path) -> None:
    tab.open(page)
    tab.value(
        "navigator.clipboard.writeText = async (text) => { window.copied = text; };"
        "[...document.querySelectorAll('#provenance button')][0].click()"
    )
    tab.wait_for("window.copied")
    assert tab.value("window.copied") == f"Command: python -m msnas.report {EVIL}"
    assert "copied" in tab.value("document.querySelector('#provenance').innerText")


# ------------------------------------------------------------------ for everyone


@pytest.mark.parametrize("width", [320, *SIZES])
def test_the_page_is_never_wider_than_the_window(
    tab: Browser, page: Path, tmp_path: Path, width: int
) -> None:
    tab.open(page, "#run=aaaa&with=bbbb", width=width, height=800)
    tab.wait_for("document.querySelectorAll('#run .two .run').length === 2")
    tab.value("document.querySelectorAll('details').forEach(one => one.open = true)")
    for name in ("fig3", "panels"):
        see(tab, f"#figure-{name}")
        tab.wait_for(f"document.querySelector('#figure-{name} .main-svg')")
    assert tab.value("document.documentElement.scrollWidth") == width
    widths = tab.value(
        "['fig3', 'panels'].map(n => document.querySelector(`#figure-${n} .plot`).offsetWidth)"
    )
    assert widths[0] <= width
    assert widths[1] >= 3 * 270, "panels squeezed on a phone"
    tab.screenshot(tmp_path / "seen.png")
    assert (tmp_path / "seen.png").read_bytes()[:4] == b"\x89PNG"
    assert tab.errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", SIZES)
def test_no_rule_of_accessibility_is_broken(
    tab: Browser, page: Path, width: int, scheme: str
) -> None:
    """All rules of axe-core, with two runs open and every figure drawn."""
    tab.colours(scheme)
    try:
        tab.open(page, "#run=aaaa&with=bbbb", width=width)
        tab.wait_for("document.querySelectorAll('#run .two .run').length === 2")
        for name in ("fig3", "fig_2", "panels"):
            see(tab, f"#figure-{name}")
            tab.wait_for(f"document.querySelector('#figure-{name} .main-svg')")
        tab.value("document.querySelectorAll('#run details').forEach(one => one.open = true)")
        tab.call("Runtime.evaluate", expression=AXE.read_text())
        found = tab.value(
            "axe.run(document).then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))"
        )
        assert found == []
        ink, paper = tab.value(
            "(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))"
        )
        light = [sum(map(int, one[4:-1].split(","))) for one in (ink, paper)]
        assert (light[0] < light[1]) == (scheme == "light")
    finally:
        tab.colours("light")

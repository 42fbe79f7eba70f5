"""The report's page in a browser: drawn, sorted, followed, and read on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser, browser
from made_page import EVIL, made_page

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)"
)

DRAWN = "document.querySelectorAll('.js-plotly-plot').length === 3"
ROWS = (
    "[...document.querySelector('#table-summary').tBodies[0].rows].map(r => r.cells[0].innerText)"
)
SORTED = "[...document.querySelectorAll('#table-summary th')].map(h => h.getAttribute('aria-sort'))"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With texts that would do harm if they were not escaped."""
    return made_page(tmp_path_factory.mktemp("page"), note=EVIL)


def head(column: int) -> str:
    return f"document.querySelectorAll('#table-summary th button')[{column}]"


def test_every_figure_is_drawn_without_error_or_network(tab: Browser, page: Path) -> None:
    tab.open(page)
    tab.wait_for(DRAWN)
    for name in ("fig3", "fig_2", "panels"):
        assert tab.value(f"document.querySelectorAll('#figure-{name} .main-svg').length") >= 1
    assert tab.value("document.querySelectorAll('#figure-fig3 .point').length") == 3
    assert tab.value("document.querySelectorAll('#figure-fig_2 .violin').length") == 1
    assert tab.value("document.querySelectorAll('[data-title*=Share], img').length") == 0
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
    tab.press_enter()
    assert tab.value(ROWS) == ["aaaa", "bbbb", "cccc"]
    assert tab.value(SORTED)[2] == "descending"
    tab.value(f"{head(3)}.click()")  # seeds 9, 10, 8: as numbers, not as words
    assert tab.value(ROWS) == ["cccc", "aaaa", "bbbb"]
    assert tab.value("location.hash") == "#sort=table-summary.3.ascending"
    tab.open(page, "#sort=table-summary.3.descending")
    assert tab.value(ROWS) == ["bbbb", "aaaa", "cccc"]
    tab.open(page, "#sort=nothing.99.ascending")
    assert tab.errors == []


def test_a_click_on_a_point_opens_its_run(tab: Browser, page: Path) -> None:
    tab.open(page)
    tab.wait_for(DRAWN)
    tab.value("document.querySelector('#figure-fig3').scrollIntoView({block: 'center'})")
    place = tab.value(
        "(() => { const r = document.querySelectorAll('#figure-fig3 .point')[1]"
        ".getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] })()"
    )
    assert tab.value("document.querySelector('#run-bbbb').open") is False
    tab.click(*place)
    tab.wait_for("document.querySelector('#run-bbbb').open")
    assert tab.value("location.hash") == "#run-bbbb"
    top = tab.value("document.querySelector('#run-bbbb').getBoundingClientRect().top")
    assert 0 <= top < 900, "the run is not in the window"
    assert tab.errors == []


def test_a_link_opens_its_run(tab: Browser, page: Path) -> None:
    tab.open(page, "#run-cccc")
    assert tab.value("document.querySelector('#run-cccc').open") is True
    tab.value("document.querySelector('#table-summary a[href=\"#run-aaaa\"]').click()")
    tab.wait_for("document.querySelector('#run-aaaa').open")


@pytest.mark.parametrize("width", [320, 400, 1280])
def test_the_page_is_never_wider_than_the_window(
    tab: Browser, page: Path, tmp_path: Path, width: int
) -> None:
    tab.open(page, width=width, height=800)
    tab.wait_for(DRAWN)
    tab.value("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert tab.value("document.documentElement.scrollWidth") == width
    widths = tab.value(
        "[...document.querySelectorAll('.js-plotly-plot')].map(one => one.offsetWidth)"
    )
    assert max(widths[:2]) <= width
    assert widths[2] == (widths[0] if width > 600 else 3 * 270), "panels squeezed on a phone"
    tab.screenshot(tmp_path / "seen.png")
    assert (tmp_path / "seen.png").read_bytes()[:4] == b"\x89PNG"
    assert tab.errors == []

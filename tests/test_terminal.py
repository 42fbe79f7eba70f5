"""Tables on a narrow terminal, and where there is none: nothing is cut off."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest

from msnas.terminal import terminal, text_table

METRICS = [f"tau_calibration/metric {number}" for number in range(9)]
ROWS = {
    "one row": [{name: f"{place}.{place}234" for place, name in enumerate(METRICS)}],
    "few rows": [
        {
            "shift": shift,
            "size": "+0.02",
            **{name: f"{row}.{place}5" for place, name in enumerate(METRICS)},
        }
        for row, shift in enumerate(("none", "jet_energy_scale up"))
    ],
    "many rows": [
        {
            "shift": f"scale {row}",
            "size": f"{row}",
            "loss": f"1.{row}7",
            "auc": f"0.{row}8",
            "a long name of a metric": f"2.{row}9",
            "another of those": f"3.{row}1",
        }
        for row in range(30)
    ],
    "long texts": [{"chain": "residual_cnn -> deep_sets -> mlp *", "folder": "runs/" + "x" * 90}],
}


def shown(rows: list[dict[str, Any]], width: int, **settings: Any) -> str:
    out = io.StringIO()
    table = text_table("Numbers of the test events, under all of the shifts", rows, labels=2)
    table.caption = "at task_weight=0.5"
    terminal(file=out, width=width, **settings).print(table)
    return out.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 300])
@pytest.mark.parametrize("name", ROWS)
def test_every_number_is_there(name: str, width: int) -> None:
    rows, text = ROWS[name], shown(ROWS[name], width)
    assert max(map(len, text.splitlines())) <= width
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    letters = "".join(text.split())
    for row in rows:
        for value in row.values():
            if re.match(r"[\d.+]", value):
                assert re.search(rf"(?<!\S){re.escape(value)}(?!\S)", text), value
            elif width >= 80:
                assert all(word in letters for word in value.split())
    assert "Numbersofthetestevents,underalloftheshifts" in letters
    assert text.count("at task_weight=0.5") == 1


def test_a_table_of_few_rows_is_turned_and_one_of_many_is_cut_into_blocks() -> None:
    turned = shown(ROWS["few rows"], 80)
    for place, name in enumerate(METRICS):
        assert re.search(rf"{name} +0\.{place}5 +1\.{place}5\s", turned)
    assert "\N{BOX DRAWINGS LIGHT HORIZONTAL}" in turned
    assert "\N{BOX DRAWINGS LIGHT HORIZONTAL}" not in shown(ROWS["one row"], 80)  # has no heads
    blocks = shown(ROWS["many rows"], 40)
    assert len(re.findall(r"scale 7 ", blocks)) == 2
    assert len(re.findall(r"scale 7 ", shown(ROWS["many rows"], 100))) == 1


def test_no_control_characters_but_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b" not in shown(ROWS["one row"], 80)
    assert "\x1b[" in shown(ROWS["one row"], 80, force_terminal=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[3[0-9]", shown(ROWS["one row"], 80, force_terminal=True))

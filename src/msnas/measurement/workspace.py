"""A measurement as a workspace of pyhf, HistFactory's JSON. Imports neither PyTorch nor pyhf."""

from __future__ import annotations

from typing import Any

from msnas.measurement.likelihood import MU
from msnas.measurement.templates import Templates

CHANNEL = "events"

INTERPOLATION = {
    "normsys": {"interpcode": "code1"},
    "histosys": {"interpcode": "code4p"},
}
"""`modifier_settings` with which pyhf computes the same likelihood as `likelihood`."""


def workspace(templates: Templates) -> dict[str, Any]:
    """A workspace of one channel; its observed counts are those expected at a strength of 1."""
    samples = []
    for place, process in enumerate(templates.processes):
        modifiers: list[dict[str, Any]] = []
        if process in templates.signal:
            modifiers.append({"name": MU, "type": "normfactor", "data": None})
        for name, rates in templates.rates.items():
            if process in rates:
                up = 1 + rates[process]
                data: dict[str, Any] = {"hi": up, "lo": 1 / up}
                modifiers.append({"name": name, "type": "normsys", "data": data})
        for name, shape in templates.shapes.items():
            up, down = (one[place].tolist() for one in shape)
            data = {"hi_data": up, "lo_data": down}
            modifiers.append({"name": name, "type": "histosys", "data": data})
        errors = templates.errors[place].tolist()
        modifiers.append({"name": f"staterror_{CHANNEL}", "type": "staterror", "data": errors})
        data = templates.nominal[place].tolist()
        samples.append({"name": process, "data": data, "modifiers": modifiers})
    strength = {"name": MU, "inits": [1.0], "bounds": [[-100.0, 100.0]]}
    return {
        "version": "1.0.0",
        "channels": [{"name": CHANNEL, "samples": samples}],
        "observations": [{"name": CHANNEL, "data": templates.nominal.sum(0).tolist()}],
        "measurements": [
            {"name": "signal strength", "config": {"poi": MU, "parameters": [strength]}}
        ],
    }

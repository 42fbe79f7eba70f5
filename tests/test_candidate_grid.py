"""Hyper-parameters as candidates."""

from pathlib import Path

import pytest
from conftest import QUIET, Compose, epochs

from msnas.chain.candidate_grid import expand_grids
from msnas.errors import ConfigError
from msnas.plan import make_plan
from msnas.run import run


def test_every_point_becomes_a_candidate_with_its_own_values() -> None:
    grid = {
        "_target_": "x",
        "depth": 1,
        "grid": {"kernels": [[3, 3], [2, 2]], "activation": ["relu", "mish"], "rate": [0.5]},
    }
    expanded = expand_grids({"a": {"_target_": "y"}, "cnn": grid}, key="candidates")
    assert list(expanded) == [
        "a",
        "cnn_3-3_relu_0p5",
        "cnn_3-3_mish_0p5",
        "cnn_2-2_relu_0p5",
        "cnn_2-2_mish_0p5",
    ]
    assert expanded["cnn_2-2_mish_0p5"] == {
        "_target_": "x",
        "depth": 1,
        "kernels": [2, 2],
        "activation": "mish",
        "rate": 0.5,
    }


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        ({"a": {"grid": {"k": []}}}, "lists of values"),
        ({"a": {"grid": {"k": 3}}}, "lists of values"),
        ({"a": {"grid": [1]}}, "lists of values"),
        ({"a": {"k": 1, "grid": {"k": [1, 2]}}}, "beside and inside"),
        ({"a_1": {}, "a": {"grid": {"k": [1, 2]}}}, "would be called 'a_1'"),
        ({"a": {"grid": {"k": [1, 1]}}}, "would be called 'a_1'"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(candidates: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        expand_grids(candidates, key="candidates")


def test_the_cnn_grid_makes_six_candidates_and_spos_chooses_among_them(
    compose: Compose, tmp_path: Path
) -> None:
    overrides = [
        "candidate/tau_calibration=[cnn_grid]",
        "candidate/higgs_id=[mass]",
        "data.events=100",
        f"output={tmp_path}",
        *epochs(1),
    ]
    plan = make_plan(compose(*overrides))
    names = list(plan.config["tasks"]["tau_calibration"]["candidates"])
    assert len(names) == 6
    result = run(compose(*overrides), console=QUIET)
    assert result["selected"]["tau_calibration"] in names
    assert len([one for one in result["chains"] if one["stage"] == "search"]) == 6
    losses = {one["valid"]["loss"] for one in result["chains"]}
    assert len(losses) > 5, "different hyper-parameters give different networks"

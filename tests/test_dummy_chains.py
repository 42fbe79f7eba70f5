"""Chains in which a dummy takes part."""

import pytest
from conftest import QUIET, Compose

from msnas.methods.darts import DARTS
from msnas.pipeline import ready_parts
from msnas.plan import make_plan
from msnas.run import run
from msnas.training.progress import Display

DUMMIES = [
    "method=grid_search",
    "candidate/tau_calibration=[sf,zeros,noise]",
    "candidate/higgs_id=[mass,zeros,noise]",
    "recipe.pretrain.epochs=5",
]


@pytest.mark.parametrize("task_weight", [0.0, 0.5, 1.0])
def test_grid_search_trains_chains_with_dummies_and_they_lose(
    compose: Compose, task_weight: float
) -> None:
    cfg = compose(*DUMMIES, f"task_weight={task_weight}")
    result = run(cfg, console=QUIET)
    chains = {
        tuple(one["selected"].values()): one["valid"]
        for one in result["chains"]
        if one["stage"] == "search"
    }
    assert len(chains) == 9
    epochs = result["stages"]["search"]["epochs"]
    for path in [("zeros", "zeros"), ("noise", "zeros"), ("zeros", "noise"), ("noise", "noise")]:
        assert epochs[" -> ".join(path)] == 0, "there is nothing to train"
    assert chains["zeros", "zeros"]["higgs_id/loss"] == pytest.approx(0.693147, abs=1e-5)
    if task_weight > 0:
        assert result["selected"]["tau_calibration"] == "sf"
    if task_weight < 1:
        assert chains["sf", "mass"]["higgs_id/auc"] > 0.6


@pytest.mark.parametrize(
    ("overrides", "rate"),
    [
        ([], 1e-3),
        (["method.alpha_rate=0.2"], 0.2),
        (["candidate/higgs_id=[mass,zeros]"], 0.03),
        (["candidate/higgs_id=[mass,zeros]", "method.dummy_alpha_rate=null"], 1e-3),
        (["candidate/higgs_id=[mass,noise]", "method.alpha_rate=0.2"], 0.2),
    ],
)
def test_alpha_learns_faster_when_a_dummy_takes_part(
    compose: Compose, overrides: list[str], rate: float
) -> None:
    plan = make_plan(compose("method=darts", "method.relaxation=softmax", *overrides))
    display = Display(QUIET)
    parts = ready_parts(plan, display)
    assert isinstance(parts.method, DARTS)
    search = parts.method.search(
        chain=parts.chain, weighting=parts.fit.weighting, optimizer=parts.fit.optimizer, seed=0
    )
    weights, alpha = search.make_optimizers()
    assert alpha.param_groups[0]["lr"] == rate
    assert weights.param_groups[0]["lr"] == 1e-3

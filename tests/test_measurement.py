"""A signal strength's uncertainty: closed forms, pyhf as a second implementation, toys, runs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import yaml
from conftest import CONF, QUIET, Compose, compose_config, epochs
from documented import blocks, commands

from msnas.errors import ConfigError, DataError
from msnas.evaluation.calibration import best_temperature, told
from msnas.measure import Settings, main, measure_run, measured
from msnas.measurement.expected import impacts, pulls, scan, sigma, uncertainty
from msnas.measurement.likelihood import MU, Likelihood
from msnas.measurement.resampled import resampled
from msnas.measurement.templates import FEWEST, Templates, chosen_edges, filled
from msnas.measurement.workspace import CHANNEL, INTERPOLATION, workspace
from msnas.parts import make_parts, read_events
from msnas.plan import make_plan
from msnas.results.result import Result
from msnas.run import run
from msnas.training.progress import Display
from msnas.training.store import Store


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is refused leaves its record below the folder it was begun in."""
    monkeypatch.chdir(tmp_path)


def templates(nominal: Sequence[Sequence[float]], **changes: Any) -> Templates:
    """Background, and signal last."""
    yields = np.array(nominal, float)
    names = ["z", "w", "h"][-len(yields) :]
    settings: dict[str, Any] = {
        "processes": names,
        "signal": ["h"],
        "edges": list(range(yields.shape[1] + 1)),
        "nominal": yields,
        "errors": np.zeros_like(yields),
        "rates": {},
        "shapes": {},
    }
    return Templates(**{**settings, **changes})


def full(scale: float = 1.0) -> Templates:
    """Three processes in four bins, with everything that can be uncertain."""
    generator = np.random.default_rng(0)
    yields = scale * np.array([[500, 300, 120, 30], [60, 30, 20, 10], [5, 12, 18, 25]])
    moved = 1 + 0.04 * generator.standard_normal((4, *yields.shape))
    return templates(
        yields.tolist(),
        errors=yields * np.array([[0.03], [0.08], [0.02]]) / np.sqrt(scale),
        rates={"lumi": {"z": 0.01, "w": 0.01, "h": 0.01}, "z_rate": {"z": 0.05}},
        shapes={
            "jets": (yields * moved[0], yields * moved[1]),
            "noise": (yields * moved[2], yields * moved[3]),
        },
    )


def test_one_bin_by_the_closed_form() -> None:
    s, b, r = 17.0, 211.0, 0.13
    alone = Likelihood(templates([[b], [s]]))
    assert sigma(alone) == pytest.approx(np.sqrt(s + b) / s, rel=1e-6)
    rate = Likelihood(templates([[b], [s]], rates={"z": {"w": r}}))
    expected = np.sqrt(s + b + (b * np.log(1 + r)) ** 2) / s
    assert sigma(rate) == pytest.approx(expected, rel=1e-6)
    error = Likelihood(templates([[b], [s]], errors=np.array([[6.0], [2.0]])))
    assert sigma(error) == pytest.approx(np.sqrt(s + b + 40) / s, rel=1e-6)
    assert sigma(error, []) == pytest.approx(sigma(alone), rel=1e-12)
    # several bins, nothing else uncertain: the information adds
    several = Likelihood(templates([[100, 30, 5], [4, 6, 8]]))
    information = sum(s * s / (s + b) for s, b in ((4, 100), (6, 30), (8, 5)))
    assert sigma(several) == pytest.approx(information**-0.5, rel=1e-6)
    counts, _ = several.expected(np.array([1.7, 0, 0, 0]))
    assert several.fit(counts).values[0] == pytest.approx(1.7, rel=1e-6)


def test_derivatives() -> None:
    likelihood = Likelihood(full())
    generator = np.random.default_rng(1)
    for _ in range(5):
        values = likelihood.start + generator.standard_normal(len(likelihood.names))
        _, slopes = likelihood.expected(values)
        for place in range(len(values)):
            step = 1e-6 * (np.arange(len(values)) == place)
            up, down = (likelihood.expected(values + way * step)[0] for way in (1, -1))
            np.testing.assert_allclose(slopes[:, place], (up - down) / 2e-6, rtol=1e-5, atol=1e-4)


@pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")
def test_pyhf_computes_the_same() -> None:
    pyhf = pytest.importorskip("pyhf", reason="requirements-measure.txt is not installed")
    likelihood = Likelihood(full())
    whole = pyhf.Workspace(json.loads(json.dumps(workspace(full()))))  # checked by its schema
    model = whole.model(modifier_settings=INTERPOLATION)
    data = whole.data(model)
    counts, _ = likelihood.expected(likelihood.start)
    np.testing.assert_allclose(data[:4], counts)

    def theirs(values: np.ndarray) -> list[float]:
        own = dict(zip(likelihood.names, values, strict=True))
        for place, error in enumerate(likelihood.error):
            own[f"staterror_{CHANNEL}[{place}]"] = 1 + error * own[f"simulation, bin {place}"]
        return [own[name] for name in model.config.par_names]

    generator = np.random.default_rng(2)
    nothing = np.zeros(len(likelihood.names))
    at_start = float(model.logpdf(theirs(likelihood.start), data)[0])
    for _ in range(10):
        values = likelihood.start + generator.standard_normal(len(likelihood.names))
        ours = likelihood.twice(values, counts, nothing)
        other = -2 * (float(model.logpdf(theirs(values), data)[0]) - at_start)
        assert ours == pytest.approx(other, rel=1e-9)
        np.testing.assert_allclose(
            likelihood.expected(values)[0], model.expected_actualdata(theirs(values)), rtol=1e-12
        )
    # the profile, one standard error away
    for mu in (0.7, 1 + sigma(likelihood)):
        _, best = pyhf.infer.mle.fixed_poi_fit(mu, data, model, return_fitted_val=True)
        ours = likelihood.fit(counts, fixed={MU: mu}).twice
        assert ours == pytest.approx(float(best) + 2 * at_start, abs=1e-4)
        assert ours == pytest.approx(((mu - 1) / sigma(likelihood)) ** 2, rel=0.3)


def test_uncertainties_impacts_and_the_scan_fit_together() -> None:
    likelihood = Likelihood(full(scale=100))  # many events: the likelihood is a parabola
    told = uncertainty(likelihood)
    assert list(told["with"]) == ["lumi", "z_rate", "jets", "noise", "statistics of the simulation"]
    assert told["statistical"] < min(told["with"].values())
    assert max(told["with"].values()) < told["all"]
    moved = impacts(likelihood)
    assert [one["name"] for one in moved] != likelihood.names[1:]
    covariance = likelihood.covariance(likelihood.start)
    for one in moved:
        place = likelihood.names.index(one["name"])
        expected = covariance[0, place] / np.sqrt(covariance[place, place])
        assert one["width"] == pytest.approx(np.sqrt(covariance[place, place]), rel=1e-9)
        mean = (one["up"] - one["down"]) / 2  # shapes are not alike up and down
        assert mean == pytest.approx(expected, abs=0.1 * told["all"])
    curve = scan(likelihood)
    for name in ("statistical", "all"):
        mu, height = (np.array([one[key] for one in curve]) for key in ("mu", name))
        right = mu >= 1
        assert np.interp(1.0, height[right], mu[right]) - 1 == pytest.approx(told[name], rel=0.08)


@pytest.mark.parametrize(
    ("error", "signal"),
    [
        pytest.param(0.02, [80, 200, 300], id="many simulated"),
        pytest.param(0.2, [20, 50, 75], id="few simulated", marks=pytest.mark.slow),
    ],
)
def test_pulls_of_toys(error: float, signal: list[float]) -> None:
    """Also where the statistics of the simulation leave the strength open by more than itself."""
    yields = np.array([[4000.0, 1500, 400], signal])
    likelihood = Likelihood(
        templates(
            yields.tolist(),
            errors=error * yields,
            rates={"w_rate": {"w": 0.1}},
            shapes={"jets": (yields * [1.0, 1.02, 1.04], yields * [1.01, 0.98, 0.97])},
        )
    )
    found = pulls(likelihood, toys=500, generator=np.random.default_rng(3))
    assert abs(found.mean()) < 0.1
    assert abs(found.std() - 1) < 0.1
    assert (sigma(likelihood) > 1) == (error > 0.1)
    again = pulls(likelihood, toys=5, generator=np.random.default_rng(3))
    np.testing.assert_array_equal(again, found[:5])


def test_bins_hold_the_same_signal_and_enough_events() -> None:
    generator = np.random.default_rng(4)
    process = np.repeat([0, 1], [4000, 1000])
    values = np.concatenate([generator.beta(1, 1, 4000), generator.beta(2, 1, 1000)])
    weights = np.ones(5000)
    choose = {"signal": [1], "limits": (0.0, 1.0)}
    edges = chosen_edges(values, weights, process, bins=5, **choose)  # type: ignore[arg-type]
    counts = [np.histogram(values[process == one], edges)[0] for one in (0, 1)]
    assert (edges[0], edges[-1], len(edges)) == (0, 1, 6)
    np.testing.assert_allclose(counts[1], 200, atol=2)
    many = chosen_edges(values, weights, process, bins=200, **choose)  # type: ignore[arg-type]
    counts = [np.histogram(values[process == one], many)[0] for one in (0, 1)]
    assert min(one.min() for one in counts) >= FEWEST
    assert 6 < len(many) < 150
    assert chosen_edges(values, weights, process, bins=1, **choose) == [0, 1]  # type: ignore[arg-type]
    few = np.r_[:5, 4000:4005]
    chosen = chosen_edges(values[few], weights[few], process[few], bins=3, **choose)  # type: ignore[arg-type]
    assert chosen == [0, 1]


def test_yields_by_hand() -> None:
    values = np.array([0.1, 0.2, 0.6, 0.9, 0.7, 5.0])
    weights = np.array([1.0, 3.0, -1.0, 2.0, 1.0, 1.0])
    process = np.array([0, 0, 0, 1, 1, 1])
    edges = [0.0, 0.5, 0.8, 1.0]
    nominal, errors = filled(values, weights, process, edges=edges, yields=[30.0, 8.0])
    np.testing.assert_allclose(nominal, [[40, -10, 0], [0, 2, 6]])
    np.testing.assert_allclose(errors, [[10 * np.sqrt(10), 10, 0], [0, 2, 2 * np.sqrt(5)]])
    with pytest.raises(DataError, match=r"z has a yield of -10 in bin 1 \(0\.5 to 0\.8\)"):
        Templates(
            processes=["z", "h"],
            signal=["h"],
            edges=edges,
            nominal=nominal,
            errors=errors,
            rates={},
            shapes={},
        )
    with pytest.raises(DataError, match="its 3 events weigh -3, expected > 0"):
        filled(values, -weights, process, edges=edges, yields=[1.0, 1.0])


def test_what_is_no_expectation() -> None:
    with pytest.raises(DataError, match=r"measurement\.bins: bin 1 \(1 to 2\) is empty"):
        templates([[3, 0], [1, 0]])
    up, down = np.array([[3.0, 2], [1, -1]]), np.ones((2, 2))
    with pytest.raises(DataError, match=r"h has a yield of -1 in bin 1 .* under jets up"):
        templates([[3, 2], [1, 1]], shapes={"jets": (up, down)})
    up = np.array([[3.0, 0], [1, 0]])
    with pytest.raises(DataError, match=r"bin 1 .* is empty under jets down"):
        templates([[3, 2], [1, 1]], shapes={"jets": (down, up)})


def test_calibration_by_hand() -> None:
    generator = torch.Generator().manual_seed(0)
    honest = torch.randn(20000, 3, generator=generator, dtype=torch.float64) * 2
    classes = torch.multinomial(honest.softmax(1), 1, generator=generator)[:, 0]
    assert best_temperature(honest, classes) == pytest.approx(1, abs=0.05)
    assert best_temperature(honest * 3, classes) == pytest.approx(3, abs=0.15)
    assert told(honest, classes)["error"] < 0.015
    assert told(honest * 3, classes)["error"] > 0.1
    logits = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 0.2], [0.0, 0.2]], dtype=torch.float64)
    found = told(logits, torch.tensor([0, 1, 1, 1]))
    sure, unsure = 1 / (1 + np.exp(-2)), 1 / (1 + np.exp(-0.2))
    assert [row["events"] for row in found["reliability"]] == [2, 2]
    assert [row["right"] for row in found["reliability"]] == [1, 0.5]
    assert found["error"] == pytest.approx((2 * abs(unsure - 1) + 2 * abs(sure - 0.5)) / 4)


# real runs


TOY = ["problem=toy", "data.events=1500", "trainer=cpu", "logger=none", *epochs(2)]
X = ["shift@shifts.x=jet_energy_scale", "shifts.x.field=x", "shifts.x.entries=[0]"]
YIELDS: dict[str, Any] = {
    "luminosity": 10,
    "luminosity_uncertainty": 0.02,
    "variable": "score",
    "bins": 4,
    "processes": {
        "b": {"class": 0, "cross_section": 400, "efficiency": 0.5, "rates": {"b_rate": 0.1}},
        "s": {"class": 1, "cross_section": 50, "efficiency": 0.5, "signal": True},
    },
}


@pytest.fixture(scope="module")
def measured_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("measured") / "runs"
    (output.parent / "yields.yaml").write_text(yaml.safe_dump(YIELDS))
    run(compose_config([*TOY, *X, "shifts.x.size=0.1", f"output={output}"]), console=QUIET)
    return next(output.glob("toy/spos/*/result.json")).parent


def yields_of(measured_run: Path) -> str:
    return str(measured_run.parents[3] / "yields.yaml")


def test_the_command(
    measured_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in measured_run.rglob("*") if path.is_file()}
    words = [f"run={measured_run}", f"yields={yields_of(measured_run)}", "toys=20"]
    main([*words, f"out={tmp_path / 'm'}"])
    said = " ".join(capsys.readouterr().out.split())
    assert "Expected uncertainty of the signal strength" in said
    assert "Pulls of 20 made experiments" in said
    assert "Calibration of the score" in said
    found = json.loads((tmp_path / "m" / "measurement.json").read_text())
    assert (tmp_path / "m" / "measurement.png").stat().st_size > 10000
    assert {name: sum(row) for name, row in found["nominal"].items()} == pytest.approx(
        {"b": 2000, "s": 250}
    )
    assert list(found["sigma"]["with"]) == [
        *("luminosity", "b_rate", "x", "statistics of the simulation")
    ]
    assert 0 < found["sigma_errors"]["statistical"] < 0.1 * found["sigma"]["statistical"]
    up, down = found["shapes"]["x"]
    np.testing.assert_allclose(np.add(up, down) / 2, np.sum(list(found["nominal"].values()), 0))
    assert not np.allclose(up, down)
    # a hand-made Fisher information, of the templates as they were written
    told = json.loads((tmp_path / "m" / "workspace.json").read_text())
    b, s = (np.array(one["data"]) for one in told["channels"][0]["samples"])
    assert found["sigma"]["statistical"] == pytest.approx(((s**2 / (s + b)).sum()) ** -0.5)
    # nothing is changed, and nothing is overwritten unasked
    after = {path: path.read_bytes() for path in measured_run.rglob("*") if path.is_file()}
    assert after == before
    with pytest.raises(SystemExit, match="holds a measurement; choose another folder"):
        main([*words, f"out={tmp_path / 'm'}"])


def test_another_luminosity_and_no_shift(measured_run: Path) -> None:
    settings: dict[str, Any] = {"run": str(measured_run), "yields": yields_of(measured_run)}
    once, _ = measured(Settings(**settings), {})
    changes = {"shifts.x.size": "0"}
    more, _ = measured(Settings(**settings, lumi=40, bins=2, shifts=["x"]), changes)
    assert len(more["edges"]) == 3
    assert more["shapes"]["x"] == [np.sum(list(more["nominal"].values()), 0).tolist()] * 2
    assert more["sigma"]["with"]["x"] == pytest.approx(more["sigma"]["statistical"], rel=1e-12)
    none, _ = measured(Settings(**settings, lumi=40, shifts=[]), {})
    assert none["sigma"]["statistical"] == pytest.approx(once["sigma"]["statistical"] / 2)
    assert "x" not in none["sigma"]["with"]


def test_a_cross_fitted_run_uses_every_event_once(tmp_path: Path) -> None:
    words = ["problem=toy", "data.source.events=900", "trainer=cpu", "logger=none", *epochs(1)]
    words += ["data.folds=3", "method=fixed_chain", *X, f"output={tmp_path / 'runs'}"]
    run(compose_config(words), console=QUIET)
    (directory,) = (path.parent for path in tmp_path.glob("runs/toy/*/*/result.json"))
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(YIELDS))
    found, _ = measured(Settings(run=str(directory), yields=str(tmp_path / "own.yaml")), {})
    assert found["events"] == 900
    assert sum(row["events"] for row in found["calibration"]["as it is"]["reliability"]) == 900
    with h5py.File(directory / "outputs.h5") as file:
        score, label = (file[f"toy_classification/{one}"][()] for one in ("output", "target"))
    edges = [-np.inf, *found["edges"][1:-1], np.inf]
    for name, one in (("b", 0), ("s", 1)):
        counts, _ = np.histogram(score[label == one].astype(float), edges)
        expected = np.array(found["nominal"][name]) / sum(found["nominal"][name]) * counts.sum()
        np.testing.assert_allclose(counts, expected, atol=1e-6)


def test_selecting_by_measurement(tmp_path: Path) -> None:
    words = [*TOY, f"output={tmp_path}", "measurement=htautau", "method.select_by=measurement"]
    result = run(compose_config([*words, "data.events=600"]), console=QUIET)
    ranked = [one for one in result["chains"] if one["stage"] == "search"]
    sigmas = [one["sigma"] for one in ranked]
    assert len(set(sigmas)) > 3
    assert ranked[int(np.argmin(sigmas))]["selected"] == result["selected"]
    (directory,) = (path.parent for path in tmp_path.rglob("result.json"))
    assert Result.read(directory).chains == result["chains"]
    found, _ = measured(Settings(run=str(directory)), {})
    assert found["settings"]["processes"].keys() == {"z", "h"}  # the run's own
    # the number of the table is that of validation events, from the network as it was ranked
    plain = make_plan(compose_config(TOY))
    assert "measurement" not in plain.config
    assert plain.key != result["key"]


def test_the_mass_of_two_taus(compose: Compose, tmp_path: Path) -> None:
    cfg = compose("measurement=htautau", "measurement.variable=mass")
    plan = make_plan(cfg)
    parts = make_parts(plan, read_events(plan), store=Store(tmp_path), display=Display(QUIET))
    measurement = parts.scoring.measurement
    assert measurement is not None
    (sample,) = parts.scoring.samples(parts.chain, [("sf", "mass")], "test")
    jet = parts.events.fields["jet"].decode(parts.events.test["jet"]).double().numpy()
    pt, eta, phi = np.moveaxis(jet[..., :3], -1, 0)
    momenta = np.stack((pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)), -1)
    energy = np.sqrt((momenta**2).sum(-1) + 1.777**2).sum(1)
    mass = np.sqrt(energy**2 - (momenta.sum(1) ** 2).sum(-1))
    np.testing.assert_allclose(sample.values[""], mass, rtol=1e-4)  # scale factors begin as 1
    assert measurement.limits == (0, 1000)
    assert 0 < measurement.sigma(sample) < np.inf


def test_the_commands_of_the_page(compose: Compose, tmp_path: Path) -> None:
    run(compose("method=fixed_chain", "method.chain=[sf,mass]"), console=QUIET)
    (directory,) = (path.parent for path in tmp_path.rglob("result.json"))
    (own,) = blocks("docs/measurement.md", "yaml")
    (tmp_path / "my.yaml").write_text(own)
    assert yaml.safe_load(own) == yaml.safe_load(
        (CONF / "measurement" / "htautau.yaml").read_text()
    )
    for command in commands("docs/measurement.md"):
        name, *words = shlex.split(command)[1:]
        if name == "train.py":
            run(compose(*words), console=QUIET)
        else:
            told = " ".join(words[1:]).replace("runs/htautau/spos/<key>", str(directory))
            main([*told.replace("toys=500", "toys=5").split(), "overwrite=true"])
    assert (tmp_path / "mass" / "workspace.json").is_file()


def changed(**changes: Any) -> dict[str, Any]:
    processes = {name: dict(one) for name, one in YIELDS["processes"].items()}
    for name, value in changes.items():
        process, _, key = name.partition("__")
        if value is None:
            processes.pop(process)
        else:
            processes.setdefault(process, dict(processes["b"]))[key] = value
    return {**YIELDS, "processes": processes}


@pytest.mark.parametrize(
    ("yields", "said"),
    [
        (changed(b__luck=1), r"measurement\.processes\.b\.luck: unknown"),
        (
            changed(b__cross_section=-3),
            r"processes\.b\.cross_section: expected a number > 0",
        ),
        (
            changed(b__rates={"r": -0.1}),
            r"processes\.b\.rates\.r: expected a number >= 0",
        ),
        (changed(b__class=7), r"processes\.b\.class: found 7, expected one of \[0, 1\]"),
        (changed(c__class=1), r"processes: \['c', 's'\] are all of class 1, expected one process"),
        (changed(b=None), r"measurement\.processes: class 0 has no process"),
        (changed(s__signal=False), r"processes: found signals \[\], expected one"),
        ({**YIELDS, "variable": "mass"}, r"variable: mass, but no task tells momenta of two taus"),
        (
            {**YIELDS, "variable": "size"},
            r"measurement\.variable: expected one of \['score",
        ),
        ({**YIELDS, "bins": 0}, r"measurement\.bins: expected a whole number >= 1, found 0"),
        ("some text", r"measurement: expected a mapping, found 'some text'"),
        (changed(b__rates={"x": 0.1}), r"shifts\.x: a rate has this name too"),
    ],
    ids=[
        *("unknown key", "negative", "negative rate", "no class", "class twice", "class without"),
        *("no signal", "no taus", "variable", "bins", "text", "name twice"),
    ],
)
def test_what_cannot_be_measured(
    yields: Any, said: str, measured_run: Path, tmp_path: Path
) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump(yields))
    with pytest.raises(ConfigError, match=said):
        measure_run(Settings(run=str(measured_run), yields=str(file), out=str(tmp_path)), {})
    assert list(tmp_path.iterdir()) == [file]


def test_yields_that_are_not_there(measured_run: Path, tmp_path: Path) -> None:
    settings = {"run": str(measured_run), "out": str(tmp_path)}
    with pytest.raises(ConfigError, match=r"yields: 'toy' is no option and no file; options: ht"):
        measure_run(Settings(**settings), {})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"toys: expected a whole number >= 0, found -1"):
        measure_run(Settings(**settings, toys=-1), {})  # type: ignore[arg-type]
    (tmp_path / "bad.yaml").write_text("{")
    with pytest.raises(ConfigError, match=r"bad\.yaml cannot be read as YAML"):
        measure_run(Settings(**settings, yields=str(tmp_path / "bad.yaml")), {})  # type: ignore[arg-type]


def test_selecting_by_a_measurement_needs_one() -> None:
    with pytest.raises(
        ConfigError, match=r"select_by: measurement needs a measurement, found none"
    ):
        run(compose_config([*TOY, "method.select_by=measurement"]), console=QUIET)


def test_resampling_is_repeatable() -> None:
    values = np.linspace(0, 1, 400)
    process = (np.arange(400) % 3 == 0).astype(int)

    def fill(weights: np.ndarray) -> Templates:
        nominal, errors = filled(
            values**0.5, weights, process, edges=[0, 0.5, 0.7, 1], yields=[300.0, 60.0]
        )
        return templates(nominal.tolist(), errors=errors)

    some, others = (resampled(fill, 400, seed=seed) for seed in (0, 0))
    np.testing.assert_array_equal(some, others)
    assert some.shape == (200, 2)
    assert (some[:, 1] > some[:, 0]).all()
    assert some[:, 0].std() > 0

"""The expected measurement of a signal strength with a finished run's chain.

`python -m msnas.measure run=<dir> [yields= lumi= bins= shifts=]` writes a workspace of pyhf, the
numbers and a figure into the folder `out`, and shows them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from omegaconf import MISSING
from rich.console import Console

from msnas.command_line import parse_with_conditions
from msnas.conf_folders import CONF
from msnas.errors import ConfigError, DataError, MsnasError
from msnas.packages import allowing
from msnas.run_directory import RunDirectory
from msnas.storage import whole
from msnas.terminal import terminal, text_table

if TYPE_CHECKING:
    from msnas.measurement.templates import Templates

WORKSPACE, NUMBERS, FIGURE = "workspace.json", "measurement.json", "measurement"

MOST_IMPACTS = 12
"""Most nuisances that the terminal and the figure show."""


@dataclass
class Settings:
    """Keys of the command."""

    run: str = field(default=MISSING, metadata={"help": "directory of a finished run"})
    out: str = field(default="measurement", metadata={"help": "folder to write into"})
    yields: str | None = field(
        default=None,
        metadata={
            "help": "cross sections, efficiencies, luminosity: an option of conf/measurement or a "
            "YAML file like one; by default the run's own, or the option called as its problem"
        },
    )
    lumi: float | None = field(default=None, metadata={"help": "another luminosity [1/fb]"})
    bins: int | None = field(default=None, metadata={"help": "another number of bins, at most"})
    variable: str | None = field(default=None, metadata={"help": "score, or mass of the two taus"})
    shifts: list[str] | None = field(
        default=None,
        metadata={
            "help": "shifts of the inputs that are uncertainties: the run's own (by default) or "
            "options of conf/shift; a value of one as shifts.<name>.<key>="
        },
    )
    toys: int = field(default=0, metadata={"help": "made experiments to test the fit with"})
    overwrite: bool = field(default=False, metadata={"help": "replace what is in `out`"})
    allow: list[str] = field(
        default_factory=list,
        metadata={"help": "packages beside msnas that you trust, whose classes the run may name"},
    )


def measure_run(settings: Settings, changes: Mapping[str, str]) -> dict[str, Any]:
    """The numbers of the expected measurement; also written to `settings.out`.

    `changes` are values of shifts, see `msnas.shifts.chosen`. Raises DataError for a run that is
    not finished, a bin without events, or an earlier measurement in `out`; ConfigError, naming the
    key, for settings that describe no measurement.
    """
    if settings.toys < 0:
        raise ConfigError(f"toys: expected a whole number >= 0, found {settings.toys}")
    out = Path(settings.out)
    if (out / NUMBERS).exists() and not settings.overwrite:
        raise DataError(f"out: {out} holds a measurement; choose another folder or overwrite=true")
    with allowing(settings.allow):
        found, templates = measured(settings, changes)
    from msnas.measurement.workspace import workspace
    from msnas.plots.measurement import chart
    from msnas.plots.paper import save

    out.mkdir(parents=True, exist_ok=True)
    for name, content in ((WORKSPACE, workspace(templates)), (NUMBERS, found)):
        with whole(out / name) as new:
            new.write_text(json.dumps(content, indent=1) + "\n")
    save(chart(found), out / FIGURE)
    return found


def measured(settings: Settings, changes: Mapping[str, str]) -> tuple[dict[str, Any], Templates]:
    """The numbers of `measure_run`, and the templates; nothing is written."""
    import numpy as np

    from msnas.evaluation.calibration import calibration, logits_of
    from msnas.identity import derived_seed
    from msnas.measurement import expected
    from msnas.measurement.likelihood import Likelihood
    from msnas.measurement.measurement import joined
    from msnas.measurement.resampled import resampled
    from msnas.opened import open_run
    from msnas.plan import FOLDS

    directory = RunDirectory(Path(settings.run))
    config, result = directory.read()
    own = config.get("shifts") or {}
    folds = [directory.path / FOLDS / str(fold) for fold in range(len(result.get("folds") or ()))]
    valid, test, logits = [], [], []
    for path in folds or [directory.path]:
        run = open_run(
            path,
            shifts=list(own) if settings.shifts is None else settings.shifts,
            changes=changes,
            measurement=chosen_yields(settings, config),
        )
        scoring = run.parts.scoring
        valid += scoring.samples(run.chain, [run.path], "valid", shifted=False)
        test += scoring.samples(run.chain, [run.path], "test")
        logits.append([logits_of(one) for one in scoring.applied(run.chain, run.path)])
    measurement = run.parts.scoring.measurement
    assert measurement is not None
    edges, sample = measurement.edges(joined(valid)), joined(test)
    templates = measurement.templates(sample, edges)
    likelihood = Likelihood(templates)
    seed = derived_seed(run.parts.seed, "measurement")
    drawn = resampled(
        lambda weights: measurement.templates(sample, edges, more=weights),
        len(sample.process),
        seed=seed,
    )
    found: dict[str, Any] = {
        "run": directory.path.name,
        "selected": result["selected"],
        "settings": measurement.settings,
        "events": len(sample.process),
        "edges": edges,
        "nominal": dict(zip(templates.processes, templates.nominal.tolist(), strict=True)),
        "errors": dict(zip(templates.processes, templates.errors.tolist(), strict=True)),
        "shapes": {
            name: [one.sum(0).tolist() for one in shape] for name, shape in templates.shapes.items()
        },
        "sigma": expected.uncertainty(likelihood),
        "sigma_errors": dict(zip(("statistical", "all"), drawn.std(0).tolist(), strict=True)),
        "impacts": expected.impacts(likelihood),
        "scan": expected.scan(likelihood),
        "calibration": calibration(*zip(*logits, strict=True)),
    }
    if settings.toys:
        pulls = expected.pulls(
            likelihood, toys=settings.toys, generator=np.random.default_rng(seed)
        )
        found["toys"] = {
            "number": settings.toys,
            "mean": float(pulls.mean()),
            "width": float(pulls.std()),
        }
    return found, templates


def chosen_yields(settings: Settings, config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the measurement, checked: of a file, of an option, or the run's own."""
    from msnas.measurement.settings import check_measurement

    options = {path.stem: path for path in sorted((CONF / "measurement").glob("*.yaml"))}
    problem, name = config["problem"]["name"], settings.yields
    if name is None and config.get("measurement"):
        chosen = dict(config["measurement"])
    else:
        path = options.get(name or problem) or Path(name or "")
        if not path.is_file():
            raise ConfigError(
                f"yields: {name or problem!r} is no option and no file; "
                f"options: {', '.join(options)}"
            )
        try:
            chosen = yaml.safe_load(path.read_text())
        except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
            raise ConfigError(f"yields: {path} cannot be read as YAML ({error})") from error
    if isinstance(chosen, dict):
        given = {"luminosity": settings.lumi, "bins": settings.bins, "variable": settings.variable}
        chosen |= {key: value for key, value in given.items() if value is not None}
    check_measurement(chosen)
    return chosen


def show(found: Mapping[str, Any], console: Console) -> None:
    """Print the yields, the uncertainties, the impacts and the calibration."""
    told = found["sigma"]
    rows = [
        {"process": name, "events": f"{sum(row):.1f}"} for name, row in found["nominal"].items()
    ]
    bins = len(found["edges"]) - 1
    console.print(text_table(f"Expected, in {bins} bins of {found['settings']['variable']}", rows))
    rows = [{"with": "statistical alone", "sigma": f"{told['statistical']:.4f}", "added": ""}]
    for name, value in told["with"].items():
        added = max(0.0, value**2 - told["statistical"] ** 2) ** 0.5
        rows.append({"with": name, "sigma": f"{value:.4f}", "added": f"{added:.4f}"})
    rows.append({"with": "all", "sigma": f"{told['all']:.4f}", "added": ""})
    error = found["sigma_errors"]["all"]
    console.print(
        text_table(
            "Expected uncertainty of the signal strength (in all "
            f"{told['all']:.3f} +- {error:.3f} from the choice of {found['events']} test events)",
            rows,
        )
    )
    impacts = [
        {"nuisance": one["name"], **{way: f"{one[way]:+.4f}" for way in ("up", "down")}}
        | {"fitted to": f"{one['width']:.3f}"}
        for one in found["impacts"][:MOST_IMPACTS]
    ]
    console.print(text_table("Largest impacts on the signal strength", impacts))
    calibrated = found["calibration"]
    rows = [
        {
            "probabilities": words,
            "cross entropy": f"{calibrated[words]['cross_entropy']:.4f}",
            "calibration error": f"{calibrated[words]['error']:.4f}",
        }
        for words in ("as it is", "at the temperature")
    ]
    temperature = f"{calibrated['temperature']:.3f}"
    title = f"Calibration of the score, test events (temperature {temperature}, of validation)"
    console.print(text_table(title, rows))
    if toys := found.get("toys"):
        console.print(
            f"Pulls of {toys['number']} made experiments: mean {toys['mean']:+.3f}, width "
            f"{toys['width']:.3f}"
        )


def main(arguments: list[str]) -> None:
    """Run the command."""
    settings, changes = parse_with_conditions(
        arguments,
        Settings,
        program="python -m msnas.measure",
        description="What a finished run's chain is expected to tell of a signal strength.",
    )
    try:
        found = measure_run(settings, changes)
    except (MsnasError, OSError) as error:
        sys.exit(f"error: {error}")
    console = terminal()
    show(found, console)
    console.print(f"{WORKSPACE}, {NUMBERS} and the figure written to {settings.out}")


if __name__ == "__main__":
    main(sys.argv[1:])

"""The functions for notebooks: the same run, directory and key as by the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from omegaconf import DictConfig, OmegaConf, open_dict

from msnas.conf_folders import folders_of, parsed
from msnas.config import is_name
from msnas.errors import ConfigError
from msnas.packages import allowing
from msnas.part import Part
from msnas.problem import AnyProblem, load_problem
from msnas.results.result import Result
from msnas.terminal import CHAIN, terminal

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from msnas.methods.method import Method
    from msnas.weighting.weighting import Weighting


@final
class Selected:
    """The best chain of a run, trained; all its files lie in `directory`."""

    def __init__(self, directory: Path, *, allow: Sequence[str] = ()) -> None:
        self.directory = directory
        self.allow = allow
        self.result = Result.read(directory)

    @property
    def chain(self) -> dict[str, str]:
        """The selected candidate of every task."""
        return dict(self.result.selected)

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """Numbers of the chain on `valid` and `test`: `metrics["test"]["higgs_id/auc"]`."""
        return {"valid": dict(self.result.valid), "test": dict(self.result.test)}

    def predict(
        self, arrays: Mapping[str, np.ndarray], *, batch: int = 500, **conditions: float
    ) -> dict[str, np.ndarray]:
        """The output of every task for events [event, ...], in physical units.

        `conditions` are values of the parameters that the run is conditioned on, such as
        `task_weight=0.3`. Raises DataError for arrays that do not fit the run's fields.
        """
        from msnas.model import load_model

        given = {name: str(value) for name, value in conditions.items()}
        with allowing(self.allow):
            return load_model(self.directory, for_use=True).predict(
                arrays, conditions=given, batch=batch
            )

    def export(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the chain as one ONNX file; see docs/export.md."""
        from msnas.export.__main__ import Settings, export

        export(
            Settings(
                run=str(self.directory),
                out=str(path),
                overwrite=overwrite,
                allow=list(self.allow),
            )
        )

    def table(self) -> pd.DataFrame:
        """The chains the choice was among, the lowest loss first, with their validation numbers.

        The last row is the selected chain after its post-training.
        """
        import pandas as pd

        rows = [
            {**one["selected"], "stage": one["stage"], **one["valid"]} for one in self.result.ranked
        ]
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        """The chain and its losses."""
        valid, test = (self.metrics[part]["loss"] for part in ("valid", "test"))
        chain = CHAIN.join(self.chain.values())
        return f"<{chain}: loss {valid:.4f} (valid), {test:.4f} (test); {self.directory}>"


def select(
    problem: AnyProblem | str,
    method: Method | str = "spos",
    *,
    task_weight: float | None = None,
    task_weights: Mapping[str, float] | None = None,
    weighting: Weighting | str = "fixed",
    conditioning: str | Sequence[str] | None = None,
    recipe: str | None = None,
    folds: int | None = None,
    seed: int = 0,
    output: str | Path = "runs",
    logger: str = "none",
    force: bool | str = False,
    settings: Mapping[str, Any] | None = None,
    show: bool = True,
) -> Selected:
    """Select and train a chain of candidates, or take it from `output` if that was done before.

    `method` and `weighting` are options of conf/ or parts with their own settings,
    `SPOS(sampling="fair")`. `conditioning` lists parameters to condition on, `["task_weight"]`.
    With `folds` as many chains are selected, each judged by events that it has not seen. All other
    settings of the command line go into `settings`, by their keys:
    `{"recipe.search.epochs": 20, "candidate/higgs_id": ["mlp", "lstm"]}`. Raises ConfigError,
    DataError or TrainingError for a run that is not possible.
    """
    from msnas.run import run

    config = configuration(
        problem,
        method,
        weighting=weighting,
        conditioning=conditioning,
        choices={"recipe": recipe, "logger": logger},
        values={
            "task_weight": task_weight,
            **{f"task_weights.{task}": weight for task, weight in (task_weights or {}).items()},
            **({} if folds is None else {"data.folds": folds}),
            "seed": seed,
            "output": str(output),
            "force": force,
        },
        settings=settings or {},
    )
    result = run(config, console=terminal(quiet=not show))
    directory = Path(output) / result["problem"] / result["method"] / result["key"]
    return Selected(directory, allow=list(config.allow))


def load(run: str | Path, *, allow: Sequence[str] = ()) -> Selected:
    """A finished run. If it has parts handed over in Python, make its problem in Python before.

    `allow` names the packages, beside msnas, whose classes the run may use.
    """
    return Selected(Path(run), allow=allow)


def runs(*folders: str | Path) -> pd.DataFrame:
    """One row for every finished run below the folders: settings, chain, numbers, seconds."""
    from msnas.results.runs import collect

    return collect([Path(folder) for folder in folders]).wide


def configuration(
    problem: AnyProblem | str,
    method: Method | str,
    *,
    weighting: Weighting | str,
    conditioning: str | Sequence[str] | None,
    choices: Mapping[str, str | None],
    values: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> DictConfig:
    """The configuration that the command line would compose."""
    if isinstance(problem, str):
        problem = load_problem(problem)
    if not isinstance(problem, AnyProblem):
        raise ConfigError(f"problem: found a {type(problem).__name__}, expected a name or Problem")
    parts = {"method": method, "weighting": weighting}
    words = [*problem.words]
    for key, part in parts.items():
        if isinstance(part, str):
            words.append(f"{key}={_option(key, part)}")
    words += [f"{key}={_option(key, one)}" for key, one in choices.items() if one is not None]
    changes = {**problem.values, **values}
    if isinstance(conditioning, str):
        words.append(f"conditioning={_option('conditioning', conditioning)}")
    elif conditioning is not None:
        words.append("conditioning=yoto")
        changes["conditioning.parameters"] = list(conditioning)
    for key, value in settings.items():
        if "/" in key or "@" in key or key in GROUPS:
            words.append(f"{key}={_options(key, value)}")
        else:
            changes[key] = value
    config = _composed(words, changes, problem)
    for key, part in parts.items():
        if not isinstance(part, str):
            _put(config, key, part)
    return config


GROUPS = (
    *("recipe", "scale", "trainer", "logger", "debug", "experiment"),
    *("conditioning", "measurement"),
)
"""Groups that `settings` may choose from by name alone."""


def _composed(words: Sequence[str], changes: Mapping[str, Any], problem: AnyProblem) -> DictConfig:
    from msnas.scan.compose import Composer

    added = [f"--config-dir={problem.folder}"] if problem.folder is not None else []
    config = Composer(folders_of(parsed(added)), "config").compose(words)
    problem.put_into(config)
    for key, value in changes.items():
        OmegaConf.update(config, key, value, force_add=True)
    return config


def _put(config: DictConfig, key: str, part: Any) -> None:
    """Put a part made in Python in the place of an option."""
    from msnas.problem import node_of

    if not isinstance(part, Part):
        raise ConfigError(f"{key}: found a {type(part).__name__}, expected a name or a part")
    node = node_of(part, key=key)
    if key == "method":
        node = {"name": type(part).option(), **node}  # type: ignore[attr-defined]
        if node.get("chain", "") is None:
            node["chain"] = OmegaConf.select(config, "problem.reference_chain")
    with open_dict(config):
        config[key] = OmegaConf.create(node)


def _option(key: str, name: Any) -> str:
    if not is_name(name):
        raise ConfigError(f"{key}: {name!r} is no name of an option")
    return str(name)


def _options(key: str, value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{','.join(_option(key, one) for one in value)}]"
    return _option(key, value)

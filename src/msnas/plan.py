"""A run's configuration, checked, and the hash that names its directory. Imports no PyTorch."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from msnas.arguments import check_arguments
from msnas.build import build
from msnas.chain.candidate_grid import copy_candidates, expand_grids
from msnas.chain.check import check_tasks
from msnas.code import code_of
from msnas.config import check_name, check_plain, copied, plain
from msnas.data.source import Source
from msnas.errors import ConfigError
from msnas.identity import canonical, digest, digest_of_canonical
from msnas.measurement.settings import check_measurement
from msnas.packages import allowing
from msnas.settings import OF_A_SCAN, check_seed, check_settings
from msnas.training.lightning import check_trainer
from msnas.weighting.task_weights import task_weights

NOT_NUMBERS = ("output", "logger", "force", "task_weight", "task_weights")
"""Settings that change no number by themselves; the weights count after normalisation."""

WORDS = "words"
"""A task's words for figures and tables, which change no number either."""

RESOLVED = ("scale",)
"""Settings that are there only for other settings to refer to."""

RESOLVED_OF_DATA = ("momenta", "images")
"""Settings of the data that are there only for frame and augment to refer to."""

FOLDS = "folds"
"""The folder, in the directory of a cross-fitted run, of the runs of its folds."""

DEVICES = ("/dev/nvidiactl", "/dev/nvhost-ctrl", "/dev/nvmap", "/dev/kfd", "/dev/dxg")
"""If Linux has a graphics card that PyTorch can use, at least one of these files exists."""

HANDED_ON = ("target", "output")
"""The settings of a task that decide what later tasks read in pre-training."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything a run does, decided before it starts."""

    config: dict[str, Any]
    source: Source
    weights: dict[str, float]
    machine: dict[str, Any]
    data_identity: dict[str, Any]
    allow: Sequence[str] = ()
    workers: int | str = 1
    """Number of processes of a run, or auto; it changes no number."""

    @property
    def chain(self) -> list[str]:
        """Names of the tasks in order."""
        return list(self.config["problem"]["chain"])

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks that have a loss, in order."""
        return list(self.weights)

    @property
    def weights_given(self) -> bool:
        """Whether the user chose task weights."""
        given = [self.config["task_weight"], *self.config["task_weights"].values()]
        return any(value is not None for value in given)

    @property
    def output(self) -> Path:
        """The folder of all runs."""
        return Path(self.config["output"])

    @property
    def folds(self) -> list[Plan]:
        """The runs of the folds that this run is put together from; empty if it trains itself."""
        data = self.config["data"]
        if "folds" not in data or "fold" in data:
            return []
        return [self._with_data(**data, fold=fold) for fold in range(data["folds"])]

    @property
    def directory(self) -> Path:
        """This run's directory: <output>/<problem>/<method>/<hash>; a fold's lies inside it."""
        data = dict(self.config["data"])
        if (fold := data.pop("fold", None)) is not None:
            return self._with_data(**data).directory / FOLDS / str(fold)
        problem: str = self.config["problem"]["name"]
        method: str = self.config["method"]["name"]
        return self.output / problem / method / self.key

    @cached_property
    def key(self) -> str:
        """The hash of everything that can change the run's numbers."""
        return digest_of_canonical({**self._but_for_seed, "seed": canonical(self.config["seed"])})

    @cached_property
    def _but_for_seed(self) -> dict[str, Any]:
        config = {name: value for name, value in self.config.items() if name not in NOT_NUMBERS}
        if (conditioning := config.pop("conditioning")) is not None:
            names = {name.rsplit(".", 1)[-1] for name in conditioning["parameters"]}
            laws = {name: law for name, law in conditioning["laws"].items() if name in names}
            config["conditioning"] = {**conditioning, "laws": laws}
        config["tasks"] = {
            name: {key: value for key, value in task.items() if key != WORDS}
            for name, task in config["tasks"].items()
        }
        config["pretrain"] = {
            name: value for name, value in config["pretrain"].items() if name != "only"
        }
        whole: dict[str, Any] = canonical(
            {
                **config,
                "code": code_of(config),
                "data": self.data_identity,
                "task_weights": self.weights,
                "trainer": self.machine,
            }
        )
        return whole

    def with_seed(self, seed: Any) -> Plan:
        """The same run with another seed; raise ConfigError for an impossible seed."""
        check_seed(seed)
        made = replace(self, config={**self.config, "seed": seed})
        vars(made)["_but_for_seed"] = self._but_for_seed
        return made

    def _with_data(self, **data: Any) -> Plan:
        identity = {
            **{name: value for name, value in self.data_identity.items() if name != "fold"},
            **{name: value for name, value in data.items() if name == "fold"},
        }
        return replace(self, config={**self.config, "data": data}, data_identity=identity)

    def task_identity(self, task: str, names: Sequence[str] | None = None) -> dict[str, Any]:
        """All that decides the training of a task, with all its candidates or those of `names`."""
        settings = self.config["tasks"][task]
        candidates = settings["candidates"]
        counts = {"counts": settings["counts"]} if settings.get("counts") else {}
        return {
            "name": task,
            **counts,
            **{key: settings[key] for key in ("inputs", "loss", *HANDED_ON)},
            "candidates": {name: candidates[name] for name in names or candidates},
        }

    def pretraining_identity(self, level: int, name: str) -> dict[str, Any]:
        """All that decides the pre-training of a candidate of the task at `level` of the chain."""
        return {
            "upstream": [
                {key: self.config["tasks"][earlier][key] for key in HANDED_ON}
                for earlier in self.chain[:level]
            ],
            "task": self.task_identity(self.chain[level], [name]),
        }


def make_plan(
    cfg: DictConfig | Mapping[str, Any],
    *,
    sources: dict[str, Source] | None = None,
    elsewhere: bool = False,
    written: bool = False,
) -> Plan:
    """Check the configuration of a run; raise ConfigError or DataError if it is not possible.

    Sources of events are looked for and kept in `sources`: many plans read a file once. A run
    that another machine does (`elsewhere`) may ask for a graphics card that this machine lacks. A
    configuration `written` by a run may hold keys unknown to this version; it allows no package.
    """
    config = copied(plain(cfg))
    check_plain(config)
    check_settings(config, written=written)
    allow = config.pop("allow", [])
    with allowing([] if written else allow):
        return _plan(config, sources=sources, elsewhere=elsewhere, written=written, allow=allow)


def _plan(
    config: dict[str, Any],
    *,
    sources: dict[str, Source] | None,
    elsewhere: bool,
    written: bool,
    allow: Sequence[str],
) -> Plan:
    for name in (*OF_A_SCAN, *RESOLVED):
        config.pop(name, None)
    for name in RESOLVED_OF_DATA:
        config["data"].pop(name, None)
    workers = config["trainer"].pop("workers", "auto")
    # the copies stand among the candidates, so that a run's own config.yaml makes no more of them
    copies = config.pop("candidate_copies", 1)
    # defaults are removed: a run from before these settings existed keeps its key
    if config.get("selection") == "best":
        config.pop("selection")
    for name in ("shifts", "measurement"):
        if not config.get(name):
            config.pop(name, None)
    if "measurement" in config:
        check_measurement(config["measurement"])
    if config["method"].get("select_by") == "loss" and config["method"]["name"] == "spos":
        config["method"].pop("select_by")
    if (config.get("conditioning") or {}).get("draws") == "independent":
        config["conditioning"].pop("draws")
    config["pretrain"].setdefault("only", None)
    if config["data"].get("memory") == "auto":
        config["data"].pop("memory")
    for name in ("frame", "augment", "folds", "fold"):
        if config["data"].get(name) is None:
            config["data"].pop(name, None)
    if config.get("refit") is None:
        config.pop("refit", None)
    elif "folds" in config["data"]:
        raise ConfigError("refit: not together with data.folds: each of its chains is for one fold")
    _check_fold(config["data"])
    for name, task in config["tasks"].items():
        key = f"tasks.{name}.candidates"
        expanded = expand_grids(task["candidates"], key=key)
        task["candidates"] = copy_candidates(expanded, copies=copies, key=key)
        for candidate in task["candidates"]:
            check_name(candidate, key=key)
    _check_stratify(config["data"])
    if not written:
        _check_idle(config["data"])
        check_trainer(config["trainer"], config["recipe"])
        check_arguments(config)
    chain = config["problem"]["chain"]
    check_tasks(config["tasks"], chain, config["data"]["fields"])
    supervised = [name for name in chain if config["tasks"][name]["loss"] is not None]
    weights = task_weights(
        supervised, task_weight=config["task_weight"], given=config["task_weights"]
    )
    _check_pretrain_only(config)
    source = _source(config["data"]["source"], sources if sources is not None else {})
    data = {name: value for name, value in config["data"].items() if name not in ("file", "source")}
    if data.get("memory") != "float16":  # all other values give the same numbers
        data.pop("memory", None)
    return Plan(
        config=config,
        source=source,
        weights=weights,
        machine=_machine(config["trainer"], elsewhere=elsewhere or written),
        allow=() if written else allow,
        workers=workers,
        data_identity={
            **data,
            "_target_": config["data"]["source"]["_target_"],
            "source": {"class": config["data"]["source"]["_target_"], **source.identity()},
        },
    )


def _source(config: Mapping[str, Any], known: dict[str, Source]) -> Source:
    name = digest(config)
    if name not in known:
        known[name] = build(config, key="data.source", of=Source)
    return known[name]


def _check_pretrain_only(config: Mapping[str, Any]) -> None:
    only = config["pretrain"]["only"]
    allowed = [
        f"{task}/{name}"
        for task in config["problem"]["chain"]
        for name in config["tasks"][task]["candidates"]
    ]
    if only is not None and only not in allowed:
        raise ConfigError(f"pretrain.only: {only!r} is not a candidate; allowed are {allowed}")
    if only is not None and not config["pretrain"]["enabled"]:
        raise ConfigError(f"pretrain.only={only}: not together with pretrain.enabled=false")


def _check_stratify(data: Mapping[str, Any]) -> None:
    if data["stratify"] is not None and data["stratify"] not in data["fields"]:
        raise ConfigError(
            f"data.stratify: {data['stratify']!r} is not a field; fields are "
            f"{sorted(data['fields'])}, or null: events are split as they are"
        )


def _check_fold(data: Mapping[str, Any]) -> None:
    folds = data.get("folds")
    if "fold" in data and (folds is None or data["fold"] >= folds):
        allowed = "data.folds=<number> beside it" if folds is None else f"0 to {folds - 1}"
        raise ConfigError(f"data.fold: found {data['fold']}, expected {allowed}")


def _check_idle(data: Mapping[str, Any]) -> None:
    """Raise ConfigError for a setting of the data that would do nothing."""
    if "file" in data and "file" not in data["source"]:
        raise ConfigError(f"data.file: {data['source']['_target_']} reads no file; leave it out")
    if data.get("tau_fraction") is not None and data.get("thin") is None:
        raise ConfigError("data.tau_fraction: does nothing without data.thin; leave it out")


def _machine(trainer: Mapping[str, Any], *, elsewhere: bool) -> dict[str, Any]:
    """Accelerator (auto resolved), precision and threads: each can change the last digits.

    A run that another machine does or has done (`elsewhere`) needs no graphics card on this one.
    """
    accelerator = trainer["accelerator"]
    if accelerator == "auto" or (accelerator == "gpu" and not elsewhere):
        there = _has_card()
        if accelerator == "gpu" and not there:
            raise ConfigError("trainer.accelerator: gpu, but PyTorch sees none; use trainer=cpu")
        accelerator = "gpu" if there else "cpu"
    if accelerator == "cpu" and trainer["precision"] == "16-mixed" and not elsewhere:
        raise ConfigError("trainer.precision: 16-mixed needs a graphics card; use bf16-mixed")
    return {**trainer, "accelerator": accelerator}


@cache
def _has_card() -> bool:
    """Whether PyTorch sees a graphics card; not imported (2 s) where there can be no card."""
    if metadata.version("torch").endswith("+cpu"):
        return False
    if sys.platform == "linux" and not any(Path(one).exists() for one in DEVICES):
        return False
    import torch

    return torch.cuda.is_available()

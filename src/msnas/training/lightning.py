"""Which settings of `trainer` are passed on to Lightning's Trainer. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msnas.arguments import arguments_of
from msnas.config import unknown
from msnas.errors import ConfigError

TRAINER = "pytorch_lightning.trainer.trainer.Trainer"

OWN = ("accelerator", "precision", "threads", "workers")

CLIPPING = ("gradient_clip_val", "gradient_clip_algorithm")
"""Lightning does not clip gradients under manual optimisation: the stages clip them themselves."""

CLIPPED = ("pretrain", "search", "posttrain")
"""Stages whose gradients a recipe can clip."""

EPOCHS = "recipe.<stage>.epochs and recipe.<stage>.patience say how long to train"
WHOLE = "every epoch is validated on all validation events, and the best one is kept"
ONE_DEVICE = "a run trains on one device"
FEWER = "data.events=, recipe.<stage>.epochs= or debug=smoke make a run short"
OUR_OWN = "the run has its own"
UNUSED = "nothing here would read it"

REFUSED: Mapping[str, str] = {
    "accumulate_grad_batches": "recipe.<stage>.batch= is the size of a step",
    "barebones": FEWER,
    "callbacks": OUR_OWN,
    "check_val_every_n_epoch": WHOLE,
    "default_root_dir": OUR_OWN,
    "devices": ONE_DEVICE,
    "enable_autolog_hparams": UNUSED,
    "enable_checkpointing": OUR_OWN,
    "enable_model_summary": OUR_OWN,
    "enable_progress_bar": OUR_OWN,
    "fast_dev_run": FEWER,
    "limit_predict_batches": UNUSED,
    "limit_test_batches": UNUSED,
    "limit_train_batches": FEWER,
    "limit_val_batches": WHOLE,
    "log_every_n_steps": UNUSED,
    "logger": "logger= chooses a tracker",
    "max_epochs": EPOCHS,
    "max_steps": EPOCHS,
    "max_time": EPOCHS,
    "min_epochs": EPOCHS,
    "min_steps": EPOCHS,
    "model_registry": UNUSED,
    "num_nodes": ONE_DEVICE,
    "num_sanity_val_steps": OUR_OWN,
    "overfit_batches": FEWER,
    "reload_dataloaders_every_n_epochs": OUR_OWN,
    "strategy": ONE_DEVICE,
    "sync_batchnorm": ONE_DEVICE,
    "use_distributed_sampler": ONE_DEVICE,
    "val_check_interval": WHOLE,
}
"""Settings of Lightning that a user may not set, and why, or which setting to use instead."""


def taken() -> list[str]:
    """All settings that `trainer` may have."""
    passed = [name for name in arguments_of(TRAINER) or () if name not in REFUSED]
    return [*OWN, *(name for name in passed if name not in OWN)]


def passed_on(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """Settings passed on to Lightning beside accelerator and precision."""
    return {name: value for name, value in trainer.items() if name not in (*OWN, *CLIPPING)}


def check_trainer(trainer: Mapping[str, Any], recipe: Mapping[str, Any]) -> None:
    """Raise ConfigError for a key that Lightning does not take or that would do nothing.

    Also for clipped gradients together with `16-mixed`, which scales them.
    """
    for name in trainer:
        if name in REFUSED:
            raise ConfigError(f"trainer.{name}: not to be set; {REFUSED[name]}")
        if name not in taken():
            raise unknown(name, taken(), node="trainer")
    clip, how = (trainer.get(name) for name in CLIPPING)
    clips = {f"recipe.{name}.clip": recipe[name].get("clip") for name in CLIPPED}
    clips["trainer.gradient_clip_val"] = clip
    clipped = [name for name, value in clips.items() if value is not None]
    if clipped and trainer["precision"] == "16-mixed":
        raise ConfigError(
            f"{clipped[0]}: 16-mixed scales gradients; use 32-true or bf16-mixed, or do not clip"
        )
    if how is not None and clip is None:
        raise ConfigError("trainer.gradient_clip_algorithm: only with trainer.gradient_clip_val")

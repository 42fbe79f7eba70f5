"""A model as a finished run leaves it, with random weights; made in no time."""

from __future__ import annotations

import h5py
import numpy as np
import torch
from conftest import ROOT, compose_config

from msnas.build import build
from msnas.chain.from_config import build_chain
from msnas.chain.output import TauMomentum
from msnas.conditioning.film import Conditioned
from msnas.conditioning.from_config import build_conditioning, condition_chain, own_point
from msnas.data.fields import Field
from msnas.model import Model
from msnas.parts import make_frame
from msnas.plan import make_plan

Arrays = dict[str, np.ndarray]


def made_model(problem: str, chain: list[str], words: list[str]) -> Model:
    """The chain of a problem's candidates; FiLM layers are given weights that have an effect."""
    tasks = list(compose_config([f"problem={problem}"]).problem.chain)
    choice = [f"candidate/{task}=[{name}]" for task, name in zip(tasks, chain, strict=True)]
    plan = make_plan(compose_config([f"problem={problem}", "trainer=cpu", *choice, *words]))
    config = plan.config
    made = build_chain(config["tasks"], plan.chain, seed=1)
    fields = {
        name: build(one, key=name, of=Field) for name, one in config["data"]["fields"].items()
    }
    generator = np.random.default_rng(0)
    for field in fields.values():
        field.fit(generator.gamma(1.0, size=(50, *field.shape)))
    conditioning = build_conditioning(config["conditioning"], made)
    point = None
    if conditioning is not None:
        few = {name: one.encode(np.zeros((2, *one.shape))) for name, one in fields.items()}
        condition_chain(made, conditioning, few, layers=config["conditioning"]["layers"], seed=0)
        first, *others = conditioning.tasks
        weights = {first: 0.3, **{task: 0.7 / len(others) for task in others}}
        point = own_point(conditioning, weights=weights, tasks=config["tasks"])
    torch.manual_seed(0)
    for module in made.modules():
        if isinstance(module, Conditioned):
            torch.nn.init.normal_(module.film[-1].weight, std=0.05)  # type: ignore[arg-type]
    return Model(
        chain=made,
        path=made.paths()[0],
        fields=fields,
        frame=make_frame(config["data"]),
        conditioning=conditioning,
        point=point,
        provenance={"run": "made", "problem": problem, "key": "0123456789abcdef"},
    )


def made_arrays(model: Model, events: int) -> Arrays:
    """Raw events: embedded ones where the problem has a file, else normal numbers."""
    generator = np.random.default_rng(3)
    if "image" not in model.fields:
        return {
            name: np.abs(generator.normal(size=(events, *model.fields[name].shape))).astype(
                np.float32
            )
            for name in model.inputs
        }
    two = "htautau_fakes.h5" if "is_tau" in model.fields else "htautau.h5"
    name = two if len(model.fields["image"].shape) == 4 else "tau_jet.h5"
    with h5py.File(ROOT / "data" / name) as file:
        return {name: file[name][100 : 100 + events] for name in model.inputs}


def differences(model: Model, found: Arrays, expected: Arrays) -> dict[str, float]:
    """Largest difference of every task, in units of the largest output; angles on the circle."""
    told = {}
    for task in model.chain.tasks:
        one, other = found[task.name], expected[task.name]
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        difference = np.abs(one - other)
        if isinstance(task.output, TauMomentum):
            angle = difference[..., 2]
            difference[..., 2] = np.abs(np.remainder(angle + np.pi, 2 * np.pi) - np.pi)
        told[task.name] = float(difference.max() / max(np.abs(other).max(), 1e-30))
    return told

"""A model converted to ONNX, checked and written."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from inspect import getdoc
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from msnas.chain.chain import Chain
from msnas.errors import ConfigError, DataError, StorageError, one_line
from msnas.export.graph import Graph
from msnas.model import Model
from msnas.storage import whole

OPSET = 18
"""Version of ONNX' operators: ONNX Runtime from 1.14 on knows them."""

EVENTS = 3
"""Events of the example that is traced; the written file takes any number of events."""


def write_onnx(model: Model, out: Path) -> str:
    """Write the file `out`; return a text that lists its inputs and outputs.

    Raises ConfigError for a candidate that ONNX cannot express, naming its key, DataError if `out`
    cannot be written.
    """
    import_onnx("onnxscript")
    graph = Graph(model)
    raw = {name: torch.ones(EVENTS, *model.fields[name].shape) for name in model.inputs}
    point = model.point or {}
    conditions = {key: torch.tensor(value) for key, value in point.items()}
    told: dict[str, dict[str, Any]] = {
        "inputs": {
            name: {"shape": list(field.shape), "is": _said(field.decode), "field": field.settings()}
            for name, field in ((name, model.fields[name]) for name in model.inputs)
        },
        "conditions": {
            one.key: {"default": point[one.key], "range": list(one.law.limits())}
            for one in (model.conditioning.parameters if model.conditioning else ())
        },
        "outputs": {name: {"is": said} for name, said in _outputs(graph).items()},
    }
    inputs, outputs = [*raw, *conditions], list(told["outputs"])
    if twice := sorted({name for name in inputs if (inputs + outputs).count(name) > 1}):
        raise ConfigError(f"{twice[0]}: a field and a task or parameter have the same name")
    try:
        found = _converted(graph, raw, conditions, inputs=inputs, outputs=outputs)
    except Exception as error:  # PyTorch may raise any error for an unknown operator
        key, reason = _culprit(graph, raw, conditions) or ("the chain", error)
        raise ConfigError(f"{key}: cannot be expressed in ONNX ({_short(reason)})") from error
    _finish(found, model.provenance, told)
    try:
        with whole(out) as new:
            new.write_bytes(found.SerializeToString())
    except (OSError, StorageError) as error:
        raise DataError(f"out: cannot write {out} ({error.__cause__ or error})") from error
    return "\n".join(f"{kind}: {', '.join(map(_listed, of.items()))}" for kind, of in told.items())


def _listed(item: tuple[str, Mapping[str, Any]]) -> str:
    name, one = item
    return f"{name} ({one['is'] if 'is' in one else one['default']})"


def import_onnx(*others: str) -> Any:
    """The package `onnx`; raise ConfigError if it or one of `others` is not installed."""
    for name in ("onnx", *others):
        if find_spec(name) is None:
            raise ConfigError(
                f"{name} is not installed; install it with: pip install -r requirements-export.txt "
                "(or msnas[export])"
            )
    import onnx

    return onnx


def _draws(node: torch.fx.Node) -> bool:
    """Whether an operator draws random numbers; dropout in evaluation mode does not."""
    if torch.Tag.nondeterministic_seeded not in getattr(node.target, "tags", ()):
        return False
    names = [one.name for one in node.target._schema.arguments]  # type: ignore[union-attr]
    return not ("train" in names and node.args[names.index("train")] is False)


def _converted(
    module: nn.Module,
    *tensors: Mapping[str, Tensor],
    inputs: list[str] | None = None,
    outputs: list[str] | None = None,
) -> Any:
    """A module of named tensors as an ONNX model; a tensor's first axis, if any, is the event."""
    event = torch.export.Dim("event")
    axes = tuple(
        {name: {0: event} if value.dim() else None for name, value in named.items()}
        for named in tensors
    )
    with _quiet(), torch.no_grad():
        program = torch.export.export(
            module, tuple(map(dict, tensors)), dynamic_shapes=axes, strict=True
        )
        for node in program.graph.nodes:
            if _draws(node):
                raise ValueError(f"it draws random numbers, {node.target}")
        converted = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            verbose=False,
        )
    assert converted is not None
    return converted.model_proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings of libraries that a user can do nothing about."""
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


@final
class _Alone(nn.Module):
    """One candidate of a chain as a module by itself."""

    def __init__(self, chain: Chain, level: int, name: str) -> None:
        super().__init__()
        self.chain, self.level, self.name = chain, level, name

    def forward(self, values: Mapping[str, Tensor]) -> Tensor:
        return self.chain.apply_candidate(self.level, self.name, values)


@torch.no_grad()
def _culprit(graph: Graph, *tensors: Mapping[str, Tensor]) -> tuple[str, Exception] | None:
    """The first candidate that cannot be converted by itself, and why."""
    chain = graph.chain
    batch, _ = graph.batch(*tensors)
    values = chain.start(batch)
    for level, name in enumerate(graph.model.path):
        alone = _Alone(chain, level, name)
        try:
            _converted(alone, {key: values[key] for key in values})
        except Exception as error:
            return f"tasks.{chain.tasks[level].name}.candidates.{name}", error
        finished = chain.tasks[level].output.finish(alone(values))
        values = chain.hand_on(level, finished, values)
    return None


def _finish(found: Any, provenance: Mapping[str, str], told: Mapping[str, Any]) -> None:
    """Name the axis of events, give conditions their defaults, write the file's metadata."""
    onnx = import_onnx()
    (axis,) = {
        size.dim_param
        for value in found.graph.input
        for size in value.type.tensor_type.shape.dim
        if size.dim_param
    }
    for value in (*found.graph.input, *found.graph.output, *found.graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param == axis:
                size.dim_param = "event"
    for key, one in told["conditions"].items():
        # an input that also has a value need not be given
        found.graph.initializer.append(
            onnx.helper.make_tensor(key, onnx.TensorProto.FLOAT, [], [one["default"]])
        )
    onnx.helper.set_model_props(
        found, {**provenance, **{name: json.dumps(value) for name, value in told.items()}}
    )
    onnx.checker.check_model(found)


def _outputs(graph: Graph) -> dict[str, str]:
    """A description of every output by name, in the order of the graph's outputs."""
    found = {}
    for task in graph.chain.tasks:
        found[task.name] = _said(task.output.prediction)
    for name in graph.bands:
        found[f"{name}_band"] = f"lower and upper edge of the 2-sigma band, {found[name]}"
        found[f"{name}_inside"] = "whether all variables lie in the band"
    return found


def _said(method: Any) -> str:
    """The first line of a method's docstring, the one place where units are given."""
    return (getdoc(method) or "").split("\n")[0].rstrip(".")


def _short(error: BaseException) -> str:
    """The message of the original error in one line, at most 300 characters."""
    while error.__cause__ is not None:
        error = error.__cause__
    return one_line(error)[:300]

"""Reads an untrusted ONNX file of `msnas.export` and applies it with ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from msnas.build import build
from msnas.conditioning.chosen import chosen_point
from msnas.conditioning.conditioning import Conditioning, Parameter, Point
from msnas.conditioning.laws import Constant, Law, Uniform
from msnas.data.checks import check_batch
from msnas.data.events import check_events
from msnas.data.fields import Field
from msnas.errors import DataError
from msnas.export.write import import_onnx
from msnas.storage import somebodys

LARGEST = 1 << 28
"""Bytes of the largest file that is read."""

STANDARD = ("", "ai.onnx")
"""Names of the domain of ONNX' own operators; other domains may bring foreign code."""

PROVENANCE = ("run", "problem", "method", "selected", "key", "trained_on", "versions")


@final
@dataclass(frozen=True, kw_only=True)
class OnnxModel:
    """An ONNX file ready to use, as `Model` is a run's chain: session, fields, provenance."""

    path: Path
    session: Any
    fields: Mapping[str, Field]
    provenance: Mapping[str, str]
    conditioning: Conditioning | None
    point: Point | None

    @property
    def inputs(self) -> list[str]:
        """Names of the fields that the chain reads."""
        return list(self.fields)

    def predict(
        self,
        arrays: Mapping[str, np.ndarray],
        *,
        conditions: Mapping[str, str],
        batch: int,
        where: str = "arrays",
    ) -> dict[str, np.ndarray]:
        """As `Model.predict`."""
        check_batch(batch)
        check_events(arrays, self.fields, where=where)
        point = chosen_point(conditions, self.conditioning, self.point) or {}
        at = {key: np.asarray(value, np.float32) for key, value in point.items()}
        raw = {name: np.asarray(arrays[name], np.float32) for name in self.fields}
        names = [one.name for one in self.session.get_outputs()]
        with somebodys(self.path):
            pieces = [
                self.session.run(
                    names,
                    {**at, **{name: value[start : start + batch] for name, value in raw.items()}},
                )
                for start in range(0, len(next(iter(raw.values()))), batch)
            ]
        return dict(zip(names, map(np.concatenate, zip(*pieces, strict=True)), strict=True))


def load_onnx(path: Path) -> OnnxModel:
    """Read an ONNX file; nothing in it can name code, or other files.

    Raises DataError for a file not of `msnas.export`, ConfigError where a package is missing.
    """
    onnx = import_onnx("onnxruntime")
    import onnxruntime

    if (size := path.stat().st_size) > LARGEST:
        raise DataError(f"{path}: {size} bytes, more than the {LARGEST} that are read")
    with somebodys(path):
        content = path.read_bytes()
        found = onnx.load_model_from_string(content)
        _check_graph(found, onnx.TensorProto.EXTERNAL, where=str(path))
        said = {one.key: one.value for one in found.metadata_props}
        inputs, conditions, outputs = (
            json.loads(said.get(name, "{}")) for name in ("inputs", "conditions", "outputs")
        )
        fields = {
            name: build(one["field"], key=f"inputs.{name}", of=Field)
            for name, one in inputs.items()
        }
        for kind, declared, there in (
            ("inputs", [*inputs, *conditions], found.graph.input),
            ("outputs", [*outputs], found.graph.output),
        ):
            if declared != (names := [one.name for one in there]) or not declared:
                raise DataError(f"{path}: {kind}: found {names}, its metadata declare {declared}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        parameters = [
            Parameter(key=key, task="", scalar=key, law=_law(one))
            for key, one in conditions.items()
        ]
        return OnnxModel(
            path=path,
            session=session,
            fields=fields,
            provenance={name: said[name] for name in PROVENANCE if name in said},
            conditioning=Conditioning(parameters, tasks=[]) if parameters else None,
            point={key: float(one["default"]) for key, one in conditions.items()} or None,
        )


def _law(condition: Mapping[str, Any]) -> Law:
    """A law with the range of a condition; the file itself computes coordinates."""
    low, high = condition["range"]
    if low == high:
        return Constant(value=low)
    return Uniform(low=low, high=high, points=[condition["default"]])


def _check_graph(found: Any, external: int, *, where: str) -> None:
    """Raise DataError for operators that are not ONNX' own, loops, and values in other files."""
    domains = {one.domain for one in found.opset_import}
    if odd := sorted(domains.difference(STANDARD)) or [one.name for one in found.functions]:
        raise DataError(f"{where}: uses {odd[0]!r}, expected operators of ONNX alone")
    for node in _nodes(found.graph):
        if node.domain not in STANDARD or node.op_type in ("Loop", "Scan"):
            raise DataError(
                f"{where}: operator {node.domain}.{node.op_type}: expected those of ONNX, no loops"
            )
    for value in _tensors(found.graph):
        if value.data_location == external:
            raise DataError(f"{where}: the values of {value.name!r} are in another file")


def _graphs(graph: Any) -> Iterator[Any]:
    yield graph
    for node in graph.node:
        for one in node.attribute:
            for inner in (one.g, *one.graphs):
                if inner.node or inner.initializer:
                    yield from _graphs(inner)


def _nodes(graph: Any) -> Iterator[Any]:
    for one in _graphs(graph):
        yield from one.node


def _tensors(graph: Any) -> Iterator[Any]:
    """Every stored tensor: of the graphs, and of the attributes of their nodes."""
    for one in _graphs(graph):
        yield from one.initializer
        told = [attribute for node in one.node for attribute in node.attribute]
        sparse = [*one.sparse_initializer]
        for attribute in told:
            yield from (attribute.t, *attribute.tensors)
            sparse += [attribute.sparse_tensor, *attribute.sparse_tensors]
        for value in sparse:
            yield from (value.values, value.indices)

"""Tensors of all events in compact storage; rows taken from them are ordinary tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from msnas.data.compact import Compact, Sparse


@final
class KeptTensor(Tensor):
    """Behaves like the full tensor, of type float32 if it is stored as float16.

    Rows, taken by a slice or by indices, are expanded when they are taken; any other operation
    expands the full tensor.
    """

    kept: Compact

    @staticmethod
    def __new__(cls, kept: Compact) -> KeptTensor:
        """A tensor of the shape of `kept` and the type of its expanded rows."""
        made: KeptTensor = torch.Tensor._make_wrapper_subclass(
            cls, kept.shape, dtype=_rows(kept, slice(0, 0)).dtype
        )
        made.kept = kept
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls,
        function: Callable[..., Any],
        types: Sequence[type],
        arguments: Sequence[Any] = (),
        named: Mapping[str, Any] | None = None,
    ) -> Any:
        """Take rows or join compact tensors; run any other operation on the full tensors."""
        operations = torch.ops.aten
        if function is operations.slice.Tensor and not any(arguments[1:2]):
            return _rows(arguments[0].kept, slice(*arguments[2:]))
        if function is operations.index.Tensor:
            kept, (rows, *others) = arguments[0], arguments[1]
            if not others and rows is not None and rows.ndim == 1 and rows.dtype == torch.int64:
                return _rows(kept.kept, rows.numpy())
        if function is operations.cat.default and not any(arguments[1:]):
            pieces = [getattr(one, "kept", None) for one in arguments[0]]
            sparse = [one for one in pieces if isinstance(one, Sparse)]
            if len(sparse) == len(pieces):
                return KeptTensor(Sparse.joined(sparse))
        whole = tree_map_only(KeptTensor, lambda one: _rows(one.kept, slice(None)), arguments)
        return function(*whole, **(named or {}))


def tensor_of(kept: Compact) -> Tensor:
    """The tensor of a compact array: an ordinary tensor, or a `KeptTensor`."""
    if isinstance(kept, np.ndarray) and kept.dtype != np.float16:
        return torch.from_numpy(kept)
    return KeptTensor(kept)


def _rows(kept: Compact, rows: slice | np.ndarray) -> Tensor:
    found = torch.from_numpy(kept[rows])
    return found.float() if found.dtype == torch.float16 else found

"""Lightning and torchmetrics without what they import and nobody here uses: half of their time.

Everybody imports them from here, so that the first does so like this. Lightning asks PyTorch's
compiler for the class of compiled modules, and that it leaves a function alone; an optimiser
imports the compiler as well, but not everybody makes one. torchmetrics looks into scipy.signal to
mend it for another library.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType

COMPILER = "torch._dynamo"


class _Compiled(type):
    """The class of a class whose instances are compiled modules: none without a compiler."""

    def __instancecheck__(cls, instance: object) -> bool:
        compiler = sys.modules.get(COMPILER)
        return compiler is not None and isinstance(instance, compiler.OptimizedModule)


class OptimizedModule(metaclass=_Compiled):
    """Stands for PyTorch's own where Lightning asks what a module is."""


@contextmanager
def _instead(stands: Mapping[str, Mapping[str, object]]) -> Iterator[None]:
    """Modules with these names alone, in the place of those that are not imported yet."""
    missing = [name for name in stands if name not in sys.modules]
    for name in missing:
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(stands[name])
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]


STANDS: Mapping[str, Mapping[str, object]] = {
    COMPILER: {
        "OptimizedModule": OptimizedModule,
        "disable": lambda function, *_, **__: function,
    },
    "scipy.signal": {"hamming": None},
}

with _instead(STANDS):
    import pytorch_lightning
    from torchmetrics import Metric

__all__ = ["Metric", "pytorch_lightning"]

"""Lightning and torchmetrics without their unused imports: this halves the time of the import.

All of msnas imports them from here, so that the first import goes this way. Lightning needs the
class of compiled modules and the decorator `disable` of PyTorch's compiler; an optimiser imports
the compiler as well, but not every process makes an optimiser. torchmetrics imports scipy.signal
only to mend it for another library.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType

COMPILER = "torch._dynamo"


class _Compiled(type):
    """Metaclass: compiled modules are instances of its class; without a compiler there are none."""

    def __instancecheck__(cls, instance: object) -> bool:
        compiler = sys.modules.get(COMPILER)
        return compiler is not None and isinstance(instance, compiler.OptimizedModule)


class OptimizedModule(metaclass=_Compiled):
    """Stands for PyTorch's class of this name where Lightning checks the class of a module."""


@contextmanager
def _instead(stands: Mapping[str, Mapping[str, object]]) -> Iterator[None]:
    """Put modules with only these names in the place of modules that are not imported yet."""
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

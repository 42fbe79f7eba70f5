"""Model selection by neural architecture search for multi-step machine learning.

>>> import msnas
>>> best = msnas.select("toy", msnas.SPOS(sampling="fair"), task_weight=0.5)  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "select": "msnas.api",
    "load": "msnas.api",
    "runs": "msnas.api",
    "choose": "msnas.choose",
    "Selected": "msnas.api",
    "load_problem": "msnas.problem",
    "Problem": "msnas.problem",
    "Task": "msnas.chain.task",
    "Standardised": "msnas.data.standardised",
    "Regression": "msnas.chain.output",
    "Binary": "msnas.chain.output",
    "Classes": "msnas.chain.output",
    "SquaredError": "msnas.losses.squared_error",
    "BinaryCrossEntropy": "msnas.losses.cross_entropy",
    "CrossEntropy": "msnas.losses.cross_entropy",
    "MeanLoss": "msnas.evaluation.mean_loss",
    "MLP": "msnas.candidates.mlp",
    "LSTM": "msnas.candidates.lstm",
    "SPOS": "msnas.methods.spos",
    "DARTS": "msnas.methods.darts",
    "ASNG": "msnas.methods.asng",
    "GridSearch": "msnas.methods.grid_search",
    "Race": "msnas.methods.race",
    "FixedChain": "msnas.methods.given_chains",
    "EndToEnd": "msnas.methods.given_chains",
    "RandomChoice": "msnas.methods.given_chains",
    "Fixed": "msnas.weighting.fixed",
    "GradNorm": "msnas.weighting.gradnorm",
    "JacobianDescent": "msnas.weighting.jacobian_descent",
    "Scalarized": "msnas.weighting.scalarized",
}
"""Public names; each is imported when it is first asked for (PyTorch takes seconds)."""

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    """A public name, or AttributeError."""
    if name not in _WHERE:
        raise AttributeError(f"module 'msnas' has no attribute {name!r}; there are {__all__}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    """Public names."""
    return [*globals(), *_WHERE]

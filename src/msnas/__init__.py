"""Model selection by neural architecture search for multi-step machine learning."""

__version__ = "0.1.0"

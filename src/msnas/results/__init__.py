"""Reads the results that runs have written. Imports no PyTorch."""

"""Scans of many runs: finding, launching and watching the runs. Imports no PyTorch."""

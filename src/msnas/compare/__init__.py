"""Compares the runs of methods with those of a reference method, by default grid search."""

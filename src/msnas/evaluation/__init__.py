"""Metrics and the evaluation of chains."""

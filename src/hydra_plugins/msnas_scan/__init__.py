"""Hydra finds its plugins in packages of this name."""

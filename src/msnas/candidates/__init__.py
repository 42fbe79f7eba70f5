"""Candidates: the models from which each task chooses; one file per architecture."""

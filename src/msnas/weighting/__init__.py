"""Weightings: how training combines the losses of the tasks; one file each."""

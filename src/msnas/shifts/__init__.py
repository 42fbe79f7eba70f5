"""Shifts: how the inputs may differ in real data; one file per kind of shift."""

"""Data: events from files or generators are checked, split, scaled and stored as tensors."""

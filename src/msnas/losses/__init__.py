"""Losses, one value per event; one file each."""

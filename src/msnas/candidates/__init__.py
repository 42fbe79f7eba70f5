"""Models that can do a task; one file per architecture."""

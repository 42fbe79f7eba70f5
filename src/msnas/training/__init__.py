"""How a stage is trained: loop, stopping, checkpoints, cache."""

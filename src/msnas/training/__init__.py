"""How a stage is trained: training loop, early stopping, checkpoints, store of trained weights."""

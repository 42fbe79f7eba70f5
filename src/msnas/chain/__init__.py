"""Chains: tasks whose outputs are the inputs of later tasks, passed on as named tensors."""

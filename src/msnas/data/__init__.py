"""From files or generators to split, scaled tensors."""

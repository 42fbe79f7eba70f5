"""Tasks joined by named tensors."""

"""What runs left, read back. Imports no PyTorch."""

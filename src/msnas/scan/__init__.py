"""Many runs: which ones, what is done already, launching the rest, watching them. No PyTorch."""

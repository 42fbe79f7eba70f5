"""A finished run's chain as one ONNX file, for where PyTorch is not."""

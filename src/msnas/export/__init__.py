"""A finished run's chain as one ONNX file, for use without PyTorch."""

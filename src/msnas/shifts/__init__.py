"""What may be different in data: one file per kind of shift of the inputs."""

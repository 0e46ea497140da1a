"""What the verbs of `kx` do."""

"""Implementations of the `kx` commands."""

"""Checks of a config: all mistakes are reported at once, without a heavy import."""

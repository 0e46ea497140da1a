"""Checks of a config: every mistake at once, as text, without a heavy import."""

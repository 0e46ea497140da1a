"""Builders for texts."""

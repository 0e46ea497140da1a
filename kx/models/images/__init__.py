"""Builders for images."""

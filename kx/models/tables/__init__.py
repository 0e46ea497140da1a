"""Builders for rows of numbers."""

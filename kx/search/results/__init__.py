"""Figures, tables and best trial of a search."""

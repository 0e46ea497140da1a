"""Figures, tables and the best trial of a search."""

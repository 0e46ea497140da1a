"""Texts as sources of examples."""

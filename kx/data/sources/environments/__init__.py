"""Environments, in which an agent acts."""

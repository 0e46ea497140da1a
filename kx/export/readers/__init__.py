"""Readers of a user's raw examples for a finished run's model, one for each kind."""

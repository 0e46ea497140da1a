"""Readers of raw examples, as a user gives them to a finished run's model, by kind."""

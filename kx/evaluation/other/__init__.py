"""Evaluation on other data than that of the training."""

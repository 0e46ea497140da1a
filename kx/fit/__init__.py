"""Trains a model on batches."""

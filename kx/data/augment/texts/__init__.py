"""Augmentations of texts."""

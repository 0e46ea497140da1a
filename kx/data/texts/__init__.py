"""Texts of data: the tokenizers of a config, their host steps, and texts from token ids."""

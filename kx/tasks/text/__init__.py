"""Tasks of texts that are written: translation, and language models."""

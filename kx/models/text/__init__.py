"""Model builders for texts."""

"""Model builders for images."""

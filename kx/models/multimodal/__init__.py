"""Models of examples with several fields."""

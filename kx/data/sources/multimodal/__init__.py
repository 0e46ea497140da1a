"""Sources of examples with several fields."""

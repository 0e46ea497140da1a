"""Reports on texts that a model wrote."""

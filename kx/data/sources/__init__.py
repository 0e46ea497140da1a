"""Sources of raw examples, by domain."""

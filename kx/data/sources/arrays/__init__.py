"""Arrays, from files or from a user's own code."""

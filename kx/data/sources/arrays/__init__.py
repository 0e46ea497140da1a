"""Arrays as sources of examples, from files or from a user's own code."""

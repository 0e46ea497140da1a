"""Tables as sources of examples."""

"""What rooms hand each other. Imports no room."""

"""`kx doctor`: whether this machine and this config can train."""

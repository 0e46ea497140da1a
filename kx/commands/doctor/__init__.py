"""`kx doctor`: checks of this machine and of a config."""

"""The model of a run: built, checked and compiled."""

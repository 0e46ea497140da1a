"""`kx reproduce`: trains a run again, and compares the metrics."""

"""Tasks with one answer for each example."""

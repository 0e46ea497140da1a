"""Tasks with one prediction for each example."""

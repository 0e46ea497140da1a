"""What is done with finished runs: evaluate, compare, ensembles, folds."""

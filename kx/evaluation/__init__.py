"""Evaluation of finished runs: reports, comparisons, ensembles, folds."""

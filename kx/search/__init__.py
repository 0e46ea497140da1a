"""Hyperparameter search by KerasTuner's oracles over config keys; each trial is a run."""

"""Searches: KerasTuner's oracles over the keys of the config; a trial is an ordinary run."""

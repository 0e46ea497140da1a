"""Execution of the jobs of sweeps and searches: in fresh processes, local or on a cluster."""

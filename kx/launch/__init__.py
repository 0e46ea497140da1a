"""Where the jobs of sweeps and searches execute: fresh processes, here or on a cluster."""

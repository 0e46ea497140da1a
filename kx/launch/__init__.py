"""Where runs execute: this process for one, fresh processes for the jobs of a sweep."""

from __future__ import annotations

from collections.abc import Sequence

from kx.config import Composed
from kx.errors import ConfigError


def run_jobs(jobs: Sequence[Composed], *, sweep: bool) -> int:
    """Runs composed configs, and returns the exit code.

    Args:
        jobs: the configs, checked.
        sweep: whether they are jobs of a sweep, of which each has a process of its own.
    """
    if not jobs:
        raise ConfigError("This sweep has no job: one of its keys has no value.")
    from kx.launch.multi_process import is_team, run_team

    if any("_target_" in job.config.tuner for job in jobs):
        from kx.search.run import run_searches

        return run_searches(jobs)
    if sweep:
        from kx.launch.sweep import run_sweep

        return run_sweep(jobs)
    if is_team(jobs[0]):
        return run_team(jobs[0])
    from kx.launch.local_run import run_here

    return run_here(jobs[0])

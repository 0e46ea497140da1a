"""Tasks: what is being learnt.

A task option names a function `(targets, *, …) -> Task`: from the spec of the
targets to loss, metrics, what a model must give, what its scores mean, and what
a good report shows.
"""

from kx.contracts.task import Task

__all__ = ["Task"]

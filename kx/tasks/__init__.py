"""Tasks: the kinds of prediction.

A task option names a function `(targets, *, …) -> Task`. From the spec of the
targets it defines loss, metrics, the outputs of the model, the meaning of its
scores, and the contents of the report.
"""

from kx.contracts.task import Task

__all__ = ["Task"]

"""What callbacks are told of the run in which they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

    from kx.contracts.specs import Data
    from kx.contracts.task import Task


@dataclass(frozen=True)
class RunContext:
    """Holds what a callback may need of its run. Each callback has it as `self.kx`.

    Args:
        data: Data of the run.
        task: Task of the run.
        model: Model that is kept. `self.model` of a callback is what `fit` trains, which may be a
            learner around it.
        folder: Folder of the run.
        log_figure: Function `(figure, path)` that logs a Matplotlib figure as an artifact of the
            run.
    """

    data: Data
    task: Task
    model: keras.Model
    folder: Path
    log_figure: Callable[[Any, str], None]


def give_context(callbacks: Iterable[Any], context: RunContext) -> None:
    """Sets `kx` of each callback, before the training.

    Args:
        callbacks: Keras callbacks.
        context: Context of the run.
    """
    for callback in callbacks:
        callback.kx = context

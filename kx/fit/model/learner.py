"""The model that `fit` trains around the one that is kept."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from kx.contracts.task import Task
from kx.errors import ConfigError
from kx.fit.model.checks import own_methods


@dataclass(frozen=True)
class Built:
    """Holds a built model, and what `fit` trains.

    Args:
        model: Model that is kept: evaluated, saved and exported.
        learner: Model that is compiled and trained: `model` itself, or one around it.
        feed: Function from a batch `(inputs, targets[, weights])` to one that the learner takes.
            Defaults to None: the batch itself.
    """

    model: keras.Model
    learner: keras.Model
    feed: Callable[..., tuple[Any, ...]] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the model that is kept is trained itself."""
        return self.learner is self.model


def make_learner(task: Task, model: keras.Model) -> keras.Model:
    """Returns the learner of a task around a built model, or the model itself.

    Args:
        task: Task of the run.
        model: Built model.

    Raises:
        ConfigError: If it is no Keras model, does not hold the model, or cannot train here.
    """
    if task.learner is None:
        return model
    learner = task.learner(model)
    if not isinstance(learner, keras.Model):
        raise ConfigError(f"Task.learner: expected a keras.Model. Received: {learner!r}.")
    held = {id(variable) for variable in learner.variables}
    if any(id(variable) not in held for variable in model.variables):
        raise ConfigError(
            f"Task.learner: {type(learner).__name__} does not hold the model that it gets: its"
            " variables would neither be trained nor saved. In its __init__: self.model = model."
        )
    refuse_other_backend(learner)
    return learner


def refuse_other_backend(learner: keras.Model) -> None:
    """Raises an error for a learner whose training step is TensorFlow's, on JAX.

    Args:
        learner: Model that `fit` would train.

    Raises:
        ConfigError: If its `train_step` takes a batch, and not JAX's state and batch.
    """
    if keras.backend.backend() != "jax":
        return
    for name in own_methods(learner, ("train_step", "test_step")):
        if len(inspect.signature(getattr(learner, name)).parameters) < 2:
            raise ConfigError(
                f"{type(learner).__name__}.{name} is written for TensorFlow: on JAX it takes the"
                " state, too. backend=tensorflow; or let the learner override compute_loss alone,"
                " which trains on both."
            )


def refuse_own_step(learner: keras.Model, num_devices: int) -> None:
    """Raises an error for a learner with its own training step on several devices.

    Args:
        learner: Model that `fit` would train.
        num_devices: Number of devices that share each batch.

    Raises:
        ConfigError: If the devices would each take the gradient of the whole loss.
    """
    if num_devices > 1 and own_methods(learner, ("train_step",)):
        raise ConfigError(
            f"strategy: {num_devices} devices share each batch, and the train_step of"
            f" {type(learner).__name__} would have to divide its losses among them, and draw other"
            " numbers on each. strategy=default; or let the learner override compute_loss alone,"
            " whose losses Keras divides."
        )


def optimizers_of(learner: keras.Model) -> list[keras.optimizers.Optimizer]:
    """Returns the optimizers of a compiled learner, the one of the config first.

    Args:
        learner: Compiled model.

    Raises:
        ConfigError: If its property `optimizers` does not begin with `optimizer`.
    """
    found = list(getattr(learner, "optimizers", None) or [learner.optimizer])
    if found[0] is not learner.optimizer:
        raise ConfigError(
            f"{type(learner).__name__}.optimizers: expected a list that begins with"
            f" self.optimizer, which schedules and callbacks change. Received: {found!r}."
        )
    return found


def stepped_by(optimizer: keras.optimizers.Optimizer, learner: keras.Model) -> Sequence[Any]:
    """Returns the variables that an optimizer updates.

    Args:
        optimizer: Optimizer of a learner; one that is not built will update what is trainable.
        learner: Compiled model.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)  # of mixed_float16's loss scale
    known = getattr(inner, "_trainable_variables", None) if optimizer.built else None
    return learner.trainable_variables if known is None else known


def refuse_partial_average(learner: keras.Model) -> None:
    """Raises an error for averaged weights of an optimizer that updates a part of a learner.

    Args:
        learner: Compiled model.

    Raises:
        ConfigError: If there are such weights.
    """
    for optimizer in optimizers_of(learner):
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        stepped = {id(variable) for variable in stepped_by(optimizer, learner)}
        every = {id(variable) for variable in learner.trainable_variables}
        if inner.use_ema and stepped != every:
            raise ConfigError(
                f"optimizer.use_ema: {type(learner).__name__} has an optimizer that updates a part"
                " of its variables, and Keras writes averages of all of them at the end of fit."
                " optimizer.use_ema=false."
            )


def keep_weights_of(model: keras.Model, callback: keras.callbacks.Callback) -> None:
    """Makes a callback that saves or restores weights use those of the model that is kept.

    Otherwise a checkpoint would hold the learner: a critic, a replay buffer. All else that it
    reads or sets, such as `stop_training`, stays the learner's.

    Args:
        model: Model that is kept.
        callback: Callback of the training.
    """
    saves = isinstance(callback, keras.callbacks.ModelCheckpoint)
    if not saves and not getattr(callback, "restore_best_weights", False):
        return

    def set_model(learner: Any) -> None:
        type(callback).set_model(callback, _KeptWeights(model, learner))

    callback.set_model = set_model


class _KeptWeights:
    """A learner, but with the weights of the model that is kept."""

    _OF_MODEL = ("get_weights", "set_weights", "save", "save_weights", "load_weights", "weights")

    def __init__(self, model: keras.Model, learner: keras.Model) -> None:
        vars(self).update(_kept=model, _trained=learner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kept if name in self._OF_MODEL else self._trained, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._trained, name, value)

"""Data and model parallelism on several devices: keras.distribution on JAX."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
from keras.distribution import DeviceMesh, LayoutMap, ModelParallel, TensorLayout

from kx.errors import ConfigError, did_you_mean
from kx.strategy import Strategy
from kx.types import Count

_BATCH, _MODEL = "batch", "model"


def model_parallel(
    *,
    model_devices: Count = 2,
    layout: Mapping[str, Sequence[str | None]] | None = None,
    logical_devices: Count | None = None,
) -> Parallel:
    """Returns a strategy that shards the batch, and each large weight, over the devices.

    The devices form a grid: `model_devices` of them hold the shards of one copy
    of the model, and as many copies as fit divide each batch.

    Args:
        model_devices: Number of devices that hold one copy together; 1 is data parallelism
            alone. Defaults to 2.
        layout: Mapping from a regular expression of a weight's whole path (`.*dense/kernel`)
            to one entry for each of its axes: `"model"` or `"batch"` to shard it, or None.
            Defaults to None, which, as if it were empty, shards the last axis of each weight
            of two axes or more.
        logical_devices: Number of CPU devices to create and use, for tests. Defaults to None.

    Raises:
        ConfigError: If the backend is not JAX, or if the devices do not fit.

    Source: Xu et al. 2021, "GSPMD: General and Scalable Parallelization for ML
    Computation Graphs".
    """
    if keras.backend.backend() != "jax":
        raise ConfigError(
            "strategy=model_parallel: on TensorFlow, keras.distribution is accepted and does"
            " nothing. Add backend=jax; or take strategy=mirrored, for copies of the whole model."
        )
    if logical_devices:
        _make_logical_devices(logical_devices)
    devices = keras.distribution.list_devices()
    if model_devices < 1 or len(devices) % model_devices:
        raise ConfigError(
            f"strategy.model_devices={model_devices}: expected a divisor of the number of devices."
            f" Received: {len(devices)} devices ({', '.join(devices)})."
        )
    shape = (len(devices) // model_devices, model_devices)
    return Parallel(_ModelParallel(DeviceMesh(shape, (_BATCH, _MODEL), devices), layout or {}))


def _make_logical_devices(count: int) -> None:
    import jax

    # JAX's thread pool has one thread for each device, or core: steps that wait for each other
    # may use all of them, and none is left for the device for which they wait (a deadlock).
    os.environ.setdefault("NPROC", str(4 * count))
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError:
        pass  # JAX has started, perhaps with as many devices
    if len(jax.devices()) != count:
        raise ConfigError(
            f"strategy.logical_devices={count} comes too late: JAX has started in this process."
            " Set it for the first training, or use a fresh process."
        )


class Parallel(Strategy):
    """Holds a Keras distribution as a strategy: all that is built after `scope` is sharded.

    Args:
        distribution: Keras distribution.
    """

    def __init__(self, distribution: _ModelParallel) -> None:
        self.distribution = distribution
        self.num_replicas_in_sync = distribution.num_model_replicas

    def scope(self) -> AbstractContextManager[None]:
        """Sets the distribution for all that is built from now on, and for the training."""
        from keras.src.backend.jax import trainer

        # Keras 3.15 uses the layout of the first batch for all, and the last may be smaller.
        trainer.JAXEpochIterator._get_distributed_iterator = _each_by_its_own_layout
        keras.distribution.set_distribution(self.distribution)
        return nullcontext()

    def check(self, model: keras.Model) -> None:
        """Raises an error if a key of the layout matches no weight of the model.

        Args:
            model: Built model.

        Raises:
            ConfigError: If no weight's path matches a key.
        """
        self.distribution.check(model)


def _each_by_its_own_layout(iterator: Any, distribution: Any) -> Iterator[Any]:
    from keras.src.backend.jax import trainer

    for batch in iterator.data_adapter.get_jax_iterator():
        layouts = keras.tree.map_structure(
            lambda part: distribution.get_data_layout(part.shape).backend_layout, batch
        )
        yield trainer._distribute_data(batch, layouts)


class _ModelParallel(ModelParallel):
    def __init__(self, mesh: DeviceMesh, layout: Mapping[str, Sequence[str | None]]) -> None:
        layouts = LayoutMap(mesh)
        for pattern, axes in layout.items():
            wrong = [axis for axis in axes if axis not in (None, _BATCH, _MODEL)]
            if wrong:
                raise ConfigError(
                    f"strategy.layout.{pattern}: expected model, batch or null for each axis."
                    f" Received: {wrong[0]!r}."
                )
            layouts[pattern] = TensorLayout(tuple(axes), mesh)
        super().__init__(layout_map=layouts, batch_dim_name=_BATCH)
        self._given = dict(layout)
        self._parts = mesh.shape[1]

    def get_data_layout(self, data_shape: Sequence[int]) -> TensorLayout:
        """Returns the layout of a batch; one that cannot be divided is copied to all devices.

        That is the last batch of an evaluation, so that each example counts once.
        """
        if data_shape[0] is not None and data_shape[0] % self.num_model_replicas:
            return TensorLayout([None] * len(data_shape), self.device_mesh)
        return super().get_data_layout(data_shape)

    def get_variable_layout(self, variable: Any) -> TensorLayout:
        """Returns the layout of a weight."""
        fitting = [pattern for pattern in self._given if re.fullmatch(pattern, variable.path)]
        if len(fitting) > 1:
            raise ConfigError(
                f"strategy.layout: {variable.path} is matched by {' and '.join(fitting)}. Only one"
                " key may say how a weight is parted."
            )
        for pattern in fitting:
            self._check_axes(pattern, self._given[pattern], variable)
        if self._given or getattr(variable, "_layout", None) is not None:
            return super().get_variable_layout(variable)
        axes: list[str | None] = [None] * len(variable.shape)
        if len(axes) > 1 and not variable.shape[-1] % self._parts:
            axes[-1] = _MODEL
        return TensorLayout(axes, self.device_mesh)

    def check(self, model: keras.Model) -> None:
        """Raises an error if a key of the layout matches no weight of the model."""
        paths = [weight.path for weight in model.weights]
        for pattern in self._given:
            if not any(re.fullmatch(pattern, path) for path in paths):
                raise ConfigError(
                    f"strategy.layout: no weight's whole path matches {pattern!r} (dense/kernel"
                    " does not match sequential/dense/kernel; .*dense/kernel does)."
                    f" {did_you_mean(pattern, paths, 'Weights')}"
                )

    def _check_axes(self, pattern: str, axes: Sequence[str | None], weight: Any) -> None:
        sizes = dict(zip(self.device_mesh.axis_names, self.device_mesh.shape, strict=True))
        odd = [a for a, size in zip(axes, weight.shape, strict=False) if a and size % sizes[a]]
        if len(axes) != len(weight.shape) or odd:
            raise ConfigError(
                f"strategy.layout.{pattern}: {list(axes)} does not fit {weight.path} of shape"
                f" {tuple(weight.shape)}: one word an axis, whose size the devices"
                f" ({sizes}) must divide."
            )

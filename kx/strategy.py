"""Devices, threads, precision, seeds and determinism: the state of the whole process."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import keras
import tensorflow as tf
from omegaconf import DictConfig
from tensorflow.python.framework.config import disable_op_determinism

from kx.cluster import cluster_of_environment
from kx.config import build
from kx.errors import ConfigError
from kx.types import Count

ONE_DEVICE = ("tensorflow.distribute.get_strategy", "tensorflow.distribute.OneDeviceStrategy")
_MULTI_WORKER = "kx.multi_worker.multi_worker"


def prepare_process(config: DictConfig, threads: Mapping[str, int] | None = None) -> None:
    """Sets the threads, precision, determinism and seeds of the whole process.

    Args:
        config: Config of the run. Its `threads` take effect only before TensorFlow's first
            operation.
        threads: Number of threads by kind that a resumed run had, used where the config
            does not set it. Defaults to None.
    """
    wanted = {
        kind: number or (threads or {}).get(kind, 0) for kind, number in config.threads.items()
    }
    if keras.backend.backend() == "jax":
        keras.distribution.set_distribution(None)  # reset that of an earlier run
        if config.deterministic:
            _make_jax_deterministic()
    elif config.strategy.get("logical_devices"):
        make_logical_devices(config.strategy.logical_devices)
    _set_threads(wanted)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    else:  # an earlier run may have enabled it, and no public function disables it
        disable_op_determinism()
    seed_everything(config.seed)
    # After the seeds, since clearing Keras's session also resets the policy.
    keras.config.set_floatx("float64" if config.precision == "float64" else "float32")
    keras.config.set_dtype_policy(config.precision)


def _make_jax_deterministic() -> None:
    """Makes XLA use deterministic kernels, which takes effect only before JAX's first operation.

    Without them, two runs on one GPU differ from their first epoch: convolutions add their
    gradients in any order. Measured on an H100: a ResNet trained 6 % slower with them.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_gpu_deterministic_ops" not in flags:  # otherwise keep the user's setting
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and TensorFlow, and Keras's layer names and seed generators."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    # TensorFlow takes its global seed modulo 2^31 - 1, and tf.data's shuffle then
    # compares its seeds with (0, 0), which fails if the second one is a tensor,
    # as the pipeline's is. So the seed must not be 0.
    tf.random.set_seed(seed % (2**31 - 1) or 1)


def _set_threads(wanted: Mapping[str, int]) -> None:
    for kind, number in wanted.items():
        if not number or thread_counts()[kind] == number:
            continue
        try:
            getattr(tf.config.threading, f"set_{kind}_parallelism_threads")(number)
        except RuntimeError:
            import warnings

            warnings.warn(
                f"threads.{kind}={number} comes too late: TensorFlow has started in this"
                " process. Set it for the first training, or use a fresh process.",
                stacklevel=2,
            )


def thread_counts() -> dict[str, int]:
    """Returns the number of threads of TensorFlow by kind: the results depend on it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "intra_op": tf.config.threading.get_intra_op_parallelism_threads() or cores or 1,
        "inter_op": tf.config.threading.get_inter_op_parallelism_threads() or cores or 1,
    }


def devices() -> Any:
    """Returns the names of the devices that are visible to TensorFlow."""
    return [
        device.name.removeprefix("/physical_device:")
        for device in tf.config.list_physical_devices()
    ]


class Strategy:
    """Holds the devices of a training, and adapts the training to them.

    Strategies for several machines, or for models that are split among devices, override
    its methods.

    Args:
        inner: TensorFlow's strategy.
    """

    def __init__(self, inner: tf.distribute.Strategy) -> None:
        self._inner = inner
        self.num_replicas_in_sync: int = inner.num_replicas_in_sync

    def scope(self) -> AbstractContextManager[Any]:
        """Returns the context in which models are built and compiled."""
        return self._inner.scope()

    def check_same_epoch(self, epoch: int) -> None:
        """Raises an error if other processes are at another epoch."""

    def check(self, model: keras.Model) -> None:
        """Raises an error if a built model does not fit the devices."""

    def prepare(self, model: keras.Model, batches: tf.data.Dataset) -> None:
        """Prepares a compiled model for `fit`."""

    def to_single_process(
        self, model: keras.Model, compiled: Callable[[Strategy], keras.Model]
    ) -> keras.Model:
        """Returns the trained model for use in a single process, after the training.

        Args:
            model: Trained model.
            compiled: Function that builds and compiles the model again for a strategy.
        """
        return model


def strategy(config: DictConfig) -> Strategy:
    """Returns the strategy in whose scope models are built and compiled.

    Args:
        config: Config of the run.

    Raises:
        ConfigError: If the batches cannot be divided evenly among its devices, or if it does
            not support the backend.
    """
    found = build(config.strategy, place="strategy")
    of_tensorflow = isinstance(found, tf.distribute.Strategy)
    chosen = of_tensorflow and found is not tf.distribute.get_strategy()
    if not isinstance(found, Strategy):
        found = Strategy(found)
    if chosen and keras.backend.backend() == "jax":
        raise ConfigError(
            f"strategy ({config.strategy['_target_']}) is TensorFlow's. On JAX:"
            " strategy=model_parallel strategy.model_devices=1, which shares each batch out among"
            " all devices, or strategy=default for one of them (JAX_PLATFORMS=cpu for the CPU)."
        )
    replicas = found.num_replicas_in_sync
    if replicas > 1 and config.batch_size % replicas:
        raise ConfigError(
            f"strategy: {replicas} devices share each batch evenly. Received:"
            f" batch_size={config.batch_size}. Choose a multiple of {replicas}."
        )
    if replicas > 1 and config.data.drop_remainder is False:
        raise ConfigError(
            "data.drop_remainder=false: the last, smaller batch of an epoch would be shared out"
            f" unevenly among {replicas} devices, whose gradients then count differently, and the"
            " weights would differ from those of one device. Leave it true."
        )
    return found


def is_follower(config: DictConfig) -> bool:
    """Returns whether another process keeps the results of this process's training.

    Args:
        config: Config of the run.
    """
    if str(config.strategy.get("_target_")) != _MULTI_WORKER:
        return False
    cluster = cluster_of_environment()
    return cluster is not None and cluster["task"]["index"] > 0


def mirrored(logical_devices: Count | None = None) -> tf.distribute.Strategy:
    """Returns a strategy that trains on all GPUs of this machine at once.

    Each GPU has a copy of the model and processes its share of every batch; `batch_size`
    is the size of the whole batch.

    Args:
        logical_devices: Number of CPU devices to create and use instead, for tests.
            Defaults to None: all GPUs, or the CPU if there is none.

    Raises:
        ConfigError: If TensorFlow has started with another number of devices.
    """
    if not logical_devices:
        return tf.distribute.MirroredStrategy()
    make_logical_devices(logical_devices)
    return tf.distribute.MirroredStrategy([f"/CPU:{i}" for i in range(logical_devices)])


def make_logical_devices(count: int) -> None:
    """Splits the CPU into logical devices, which must happen before TensorFlow starts.

    Args:
        count: Number of devices.

    Raises:
        ConfigError: If TensorFlow has started with another number of devices.
    """
    [cpu] = tf.config.list_physical_devices("CPU")
    there = tf.config.get_logical_device_configuration(cpu)
    if there is not None and len(there) == count:
        return
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    except RuntimeError as error:
        raise ConfigError(
            f"strategy.logical_devices={count} comes too late: TensorFlow has started in this"
            " process. Set it for the first training, or use a fresh process."
        ) from error

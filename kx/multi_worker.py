"""Training on several machines with tf.distribute: each processes its share of every batch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kx.cluster import cluster_of_environment
from kx.errors import ConfigError, KxError
from kx.strategy import Strategy
from kx.types import Count


def multi_worker(*, port: int | None = None, processes: Count | None = None) -> MultiWorker:
    """Returns a strategy that trains one model on several machines, or processes.

    Each process runs the same command. The list of processes is read from
    `TF_CONFIG` (Kubeflow, KubeRay, or by hand) or from Slurm's environment
    (`srun`). `batch_size` is the size of the whole batch, which they divide. The
    first process tracks the run; all need access to the project's folder to resume.

    Args:
        port: Port on which the workers listen, if Slurm starts them. Defaults to None: 28800.
        processes: Number of processes for kx to start, on this machine or on a Ray cluster,
            if no cluster starts them. Defaults to None.

    Raises:
        ConfigError: If there is no cluster, or TensorFlow has started already.

    Source: Abadi et al. 2016, "TensorFlow", section 4.4 (synchronous replicas).
    """
    if keras.backend.backend() != "tensorflow":
        raise ConfigError("strategy=multi_worker is TensorFlow's: backend=tensorflow.")
    cluster = cluster_of_environment(port)
    if cluster is None:
        raise ConfigError(
            "strategy=multi_worker: no cluster is described. Expected TF_CONFIG, or a step of Slurm"
            " with several tasks (srun -n 2 python -m kx.run …); or let kx start them:"
            " strategy.processes=2. See docs/guides/scale.md."
        )
    os.environ["TF_CONFIG"] = json.dumps(cluster)
    try:
        return MultiWorker()
    except RuntimeError as error:
        raise ConfigError(f"strategy=multi_worker comes too late: {error}") from error


class MultiWorker(Strategy):
    """Holds TensorFlow's strategy, with the work-arounds that Keras 3 needs to train under it."""

    def __init__(self) -> None:
        super().__init__(tf.distribute.MultiWorkerMirroredStrategy())

    def check_same_epoch(self, epoch: int) -> None:
        """Raises an error if the processes are not at the same epoch.

        Args:
            epoch: Number of epochs that are done, as read from this process's folder.

        Raises:
            KxError: If the epochs differ. Each process raises it.
        """
        seen = self._inner.run(lambda: tf.constant([epoch, epoch**2], tf.int64))
        total, squares = self._inner.reduce("SUM", seen, axis=None).numpy().tolist()
        # n * (sum of squares) equals (sum)^2 only if all n values are equal.
        if squares * self.num_replicas_in_sync != total**2:
            raise KxError(
                f"The processes that train together are not at the same epoch; this one is at"
                f" {epoch}. All of them need the same project folder, to continue from."
            )

    def prepare(self, model: keras.Model, batches: tf.data.Dataset) -> None:
        """Makes Keras's `fit` and `evaluate` work under this strategy.

        Keras 3.15 handles a batch of all workers as if it were one tensor, and
        computes the mean of scalars along an axis that they do not have (keras
        issue 20585).

        Args:
            model: Model that was compiled in the strategy's scope.
            batches: Batches of the training, before they are divided among the workers.
        """
        with self.scope():
            model._symbolic_build(data_batch=next(iter(batches.take(1))))
        model._maybe_symbolic_build = lambda **_: None
        for name in ("train_step", "test_step"):
            setattr(model, name, _with_axis(getattr(model, name)))

    def to_single_process(
        self, model: keras.Model, compiled: Callable[[Strategy], keras.Model]
    ) -> keras.Model:
        """Returns a copy of the trained model for use in a single process, after the training."""
        weights = model.get_weights()  # in all processes, since some weights are means over them
        plain = compiled(Strategy(tf.distribute.get_strategy()))
        plain.set_weights(weights)
        return plain


def _with_axis(step: Any) -> Any:
    def wrapped(data: Any) -> Any:
        return {name: tf.reshape(value, (1,)) for name, value in step(data).items()}

    return wrapped

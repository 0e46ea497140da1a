"""Builds the model of a run, and compiles it for each phase of the training."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf
from omegaconf import DictConfig

from kx.contracts.specs import Data
from kx.contracts.task import Task
from kx.data.store import NUM_PARALLEL_CALLS
from kx.fit.batches import Batches
from kx.fit.model.assemble import assemble, make_optimizer
from kx.fit.model.learner import Built, refuse_own_step, refuse_partial_average
from kx.fit.model.phases import Plan
from kx.fit.model.rates import scale_rates
from kx.strategy import Strategy
from kx.transfer import Phase


def compile_options(config: DictConfig) -> dict[str, Any]:
    """Returns what `keras.Model.compile` takes besides optimizer, loss and metrics."""
    # Without jit, Keras runs JAX one operation at a time, which is slow.
    compiled = config.backend == "jax" and not config.run_eagerly
    return {
        "jit_compile": compiled or config.jit_compile,
        "run_eagerly": config.run_eagerly,
        "steps_per_execution": config.steps_per_execution,
    }


@dataclass
class Builder:
    """Builds the model of a run, and compiles it for each phase of the training.

    Args:
        config: Config of the run.
        data: Data, for the specs and the normalization.
        task: Task of the run.
        batches: Batches of the run.
        plan: Phases of the training, with the data that is theirs alone.
        strategy: Devices of the training.
        core: Model that gives scores, in place of the config's. Defaults to None.
        named: Finished runs by argument of the model's builder. Defaults to none.
        make_batches: Function from the data of a phase, and its name, to batches. Defaults to
            None, for phases that all train on the data of the run.
    """

    config: DictConfig
    data: Data
    task: Task
    batches: Batches
    plan: Plan
    strategy: Strategy
    core: keras.Model | None = None
    named: Mapping[str, Any] = field(default_factory=dict)
    make_batches: Callable[[Data, str], Batches] | None = None
    _of_phase: tuple[str, Batches] | None = None
    _validations: dict[str, tf.data.Dataset | None] = field(default_factory=dict)

    @property
    def phases(self) -> Sequence[Phase]:
        """Phases of the training, in order."""
        return self.plan.phases

    def batches_of(self, phase: Phase) -> Batches:
        """Returns the batches of a phase: those of the run, or of data of its own.

        Args:
            phase: Phase of the training.
        """
        if phase.data is None:
            return self.batches
        if self._of_phase is None or self._of_phase[0] != phase.name:
            assert self.make_batches is not None
            self._of_phase = None  # frees those of the phase before
            batches = self.make_batches(self.plan.own_data[phase.name], phase.name)
            self._of_phase = (phase.name, batches)
            self._validations[phase.name] = batches.validation  # which later phases need, too
        return self._of_phase[1]

    def build(self, strategy: Strategy | None = None) -> Built:
        """Builds the model, and its learner.

        Args:
            strategy: Devices. Defaults to None: those of the training.

        Returns:
            The model and its learner, not compiled.

        Raises:
            ConfigError: If the model does not fit the task, the devices or the phases.
        """
        chosen = strategy or self.strategy
        with chosen.scope():
            built = assemble(self.config, self.data, self.task, self.core, self.named)
            chosen.check(built.model)
        if not built.is_plain:
            refuse_own_step(built.learner, chosen.num_replicas_in_sync)
        for phase in reversed(self.phases):  # ends as the first phase needs it
            # So that mistakes raise now, and not in the middle of the run.
            optimizer = make_optimizer(self.config, 1, learning_rate=phase.learning_rate)
            if not built.is_plain:
                with chosen.scope():
                    self.task.compile(built.learner, optimizer, **compile_options(self.config))
                    refuse_partial_average(built.learner)
            if phase.prepare is not None:
                phase.prepare(built.model)
        return built

    def begin_phase(
        self,
        built: Built,
        phase: Phase,
        first_epoch: int,
        strategy: Strategy | None = None,
    ) -> None:
        """Compiles a learner for a phase, with a new optimizer.

        Args:
            built: Built model and its learner.
            phase: Phase that begins.
            first_epoch: Number of epochs that are done.
            strategy: Devices. Defaults to None: those of the training.
        """
        chosen = strategy or self.strategy
        with chosen.scope():
            if phase.prepare is not None:
                phase.prepare(built.model)
            last_epoch = min(phase.last_epoch, self.config.epochs)
            optimizer = make_optimizer(
                self.config, self.batches_of(phase).steps_per_epoch,
                epochs=max(1, last_epoch - first_epoch), learning_rate=phase.learning_rate,
            )  # fmt: skip
            self.task.compile(built.learner, optimizer, **compile_options(self.config))
            refuse_partial_average(built.learner)
            if phase.rates is not None:
                scale_rates(built.learner.optimizer, phase.rates(built.model))
            if built.is_plain and not built.learner.optimizer.built:
                # Variables that a first step makes have TensorFlow trace that step twice.
                built.learner.optimizer.build(built.learner.trainable_variables)
        chosen.prepare(built.learner, self.train_from(built, phase, first_epoch))

    def train_from(self, built: Built, phase: Phase, first_epoch: int) -> tf.data.Dataset:
        """Returns the training batches of the remaining epochs, as the learner takes them.

        Args:
            built: Built model and its learner.
            phase: Phase of the training.
            first_epoch: Number of epochs that are done.
        """
        return _fed(self.batches_of(phase).train_from(first_epoch), built)

    def validation(self, built: Built, phase: Phase) -> tf.data.Dataset | None:
        """Returns the validation batches as the learner takes them, or None if there are none.

        Args:
            built: Built model and its learner.
            phase: Phase of the training.
        """
        if phase.data is None:
            found = self.batches.validation
        else:
            if phase.name not in self._validations:
                self.batches_of(phase)
            found = self._validations[phase.name]
        return None if found is None else _fed(found, built)

    def to_single_process(self, built: Built) -> keras.Model:
        """Returns the trained model for use in a single process, compiled for its evaluation.

        Args:
            built: Trained model and its learner.
        """

        def compiled(strategy: Strategy) -> keras.Model:
            rebuilt = self.build(strategy)
            self.begin_phase(rebuilt, self.phases[-1], 0, strategy)
            return rebuilt.model

        model = self.strategy.to_single_process(built.model, compiled)
        if not built.is_plain and self.task.loss is not None:
            is_same = model is built.model
            with self.strategy.scope() if is_same else contextlib.nullcontext():
                optimizer = keras.optimizers.SGD()  # not used
                self.task.compile(model, optimizer, **compile_options(self.config))
        return model


def _fed(batches: tf.data.Dataset, built: Built) -> tf.data.Dataset:
    if built.feed is None:
        return batches
    return batches.map(built.feed, num_parallel_calls=NUM_PARALLEL_CALLS)

"""Builds the model of a run, and compiles it for each phase of the training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from omegaconf import DictConfig

from kx.contracts.specs import Data
from kx.contracts.task import Task
from kx.fit.batches import Batches
from kx.fit.model.assemble import assemble, make_optimizer
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
        phases: Phases of the training, in order.
        strategy: Devices of the training.
        core: Model that gives scores, in place of the config's. Defaults to None.
    """

    config: DictConfig
    data: Data
    task: Task
    batches: Batches
    phases: Sequence[Phase]
    strategy: Strategy
    core: keras.Model | None = None

    def build(self, strategy: Strategy | None = None) -> keras.Model:
        """Builds the model.

        Args:
            strategy: Devices. Defaults to None: those of the training.

        Returns:
            The model, not compiled.

        Raises:
            ConfigError: If the model does not fit the task, the devices or the phases.
        """
        chosen = strategy or self.strategy
        with chosen.scope():
            model = assemble(self.config, self.data, self.task, self.core)
            chosen.check(model)
        for phase in reversed(self.phases):  # ends as the first phase needs it
            # So that mistakes raise now, and not in the middle of the run.
            make_optimizer(self.config, 1, learning_rate=phase.learning_rate)
            if phase.prepare is not None:
                phase.prepare(model)
        return model

    def begin_phase(
        self,
        model: keras.Model,
        phase: Phase,
        first_epoch: int,
        strategy: Strategy | None = None,
    ) -> None:
        """Compiles a model for a phase, with a new optimizer.

        Args:
            model: Built model.
            phase: Phase that begins.
            first_epoch: Number of epochs that are done.
            strategy: Devices. Defaults to None: those of the training.
        """
        chosen = strategy or self.strategy
        with chosen.scope():
            if phase.prepare is not None:
                phase.prepare(model)
            last_epoch = min(phase.last_epoch, self.config.epochs)
            optimizer = make_optimizer(
                self.config, self.batches.steps_per_epoch,
                epochs=max(1, last_epoch - first_epoch), learning_rate=phase.learning_rate,
            )  # fmt: skip
            self.task.compile(model, optimizer, **compile_options(self.config))
        chosen.prepare(model, self.batches.train_from(first_epoch))

    def to_single_process(self, model: keras.Model) -> keras.Model:
        """Returns the trained model for use in a single process, after the training.

        Args:
            model: Trained model.
        """

        def compiled(strategy: Strategy) -> keras.Model:
            rebuilt = self.build(strategy)
            self.begin_phase(rebuilt, self.phases[-1], 0, strategy)
            return rebuilt

        return self.strategy.to_single_process(model, compiled)

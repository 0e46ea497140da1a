"""The contract of a task, and what most tasks share."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import keras

from kx.contracts.answers import Answers, Baseline
from kx.contracts.fields import map_fields, values_of
from kx.contracts.specs import Outputs, Specs
from kx.errors import ConfigError

if TYPE_CHECKING:
    from kx.contracts.findings import Findings, ReportOptions
    from kx.contracts.specs import Data


@dataclass
class Task:
    """Describes what is learned: outputs, loss, metrics and reports.

    Args:
        outputs: Output of the model, or outputs by name.
        encode: Function `(inputs, targets) -> (inputs, targets)`, in TensorFlow's graph, from a
            batch to the inputs that the model takes and the targets that the loss and the metrics
            take. It may return weights too. See `encode_targets`. None where the model that is
            kept takes no examples of the data, but `inputs`: the learner gets the examples.
        loss: Keras loss of encoded targets and scores, or losses of outputs by name. None where
            the learner has losses of its own; then `report` alone evaluates.
        metrics: Function that returns new Keras metrics, since metrics belong to one model, or
            metrics of outputs by name.
        decode: Function, in TensorFlow's graph, from a batch of scores to predictions by name:
            `{"label": …, "confidence": …, "probabilities": …}`.
        report: Function `(answers, options) -> Findings`; `answers.targets` and `answers.scores`
            are NumPy arrays (`kx.contracts.answers.Answers`).
        monitor: Metric by which runs and epochs are compared, as Keras names it:
            `"val_accuracy"`. None where no metric tells which epoch is better.
        monitor_mode: `"max"` or `"min"`.
        class_weights: Weight of the examples of each class in the training loss: `"balanced"`,
            or one number for each class. Encoded targets then have a number for each class, and
            sum to 1. Defaults to None: 1 for each class.
        average: Function from the scores of several models, or of several views of an example,
            of shape `(num, batch, units)`, to their average of shape `(batch, units)`. Defaults
            to their mean.
        answer: Function `(model, inputs) -> predictions by name`, in TensorFlow's graph, of a batch
            of prepared inputs. Defaults to None: `decode` of the model's scores.
        learner: Function from the built model that is kept to the model that `fit` trains around
            it: a `keras.Model` that holds it as an attribute, with a `compute_loss` or a
            `train_step` of its own. It is compiled with `loss` and `metrics`. One with several
            optimizers has a property `optimizers`, a list of which the first is `optimizer`.
            Defaults to None: the kept model itself.
        learner_metrics: Names of further metrics that the learner logs, as callbacks monitor them:
            `"return"`, `"val_return"`. Defaults to none.
        inputs: Spec of what the kept model takes, or specs of fields by name, where it is not what
            the data has: noise; or what `encode` makes of inputs and targets, such as the tokens
            before each token. Defaults to None: the inputs of the data.
        generates: Whether `answer` asks the model several times, so that the scores of an example
            alone do not give its answer. Reports get no scores then (`answers.scores` is None), and
            ask `answers.model`. Defaults to False.
        assets: Trackable objects that `answer` needs, such as lookup tables. Defaults to none.
        views: Number of times that each example is augmented for the learner, in training and
            validation: `encode` and the learner get inputs of shape `(batch, views, …)`. Reports,
            predictions and the export see each example once, as it is, without this axis, and so
            does `encode` there. Defaults to 1: no such axis.
        baselines: Simple models by name, with which reports compare the trained one: functions
            `(train, test) -> scores` (`kx.contracts.answers.Seen`), whose scores are those that
            the model would give. Defaults to none.
        check: Function that raises if it cannot use a builder's model. Defaults to None: the model
            must have the inputs and outputs of the task, as raw scores.

    Raises:
        ConfigError: If `encode` or `report` takes other arguments, or if several views have no
            learner.
    """

    outputs: Outputs | Mapping[str, Outputs]
    encode: Callable[[Any, Any], tuple[Any, ...]] | None
    loss: keras.losses.Loss | Mapping[str, keras.losses.Loss] | None
    metrics: Callable[[], Any]
    decode: Callable[[Any], dict[str, Any]]
    report: Callable[[Answers, ReportOptions], Findings]
    monitor: str | None
    monitor_mode: str
    class_weights: str | tuple[float, ...] | None = None
    average: Callable[[Any], Any] = partial(keras.ops.mean, axis=0)
    answer: Callable[[Any, Any], dict[str, Any]] = None  # type: ignore[assignment]
    learner: Callable[[keras.Model], keras.Model] | None = None
    learner_metrics: Sequence[str] = ()
    inputs: Specs | None = None
    generates: bool = False
    assets: Sequence[Any] = ()
    views: int = 1
    check: Callable[[keras.Model], None] | None = None
    baselines: Mapping[str, Baseline] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.views < 1 or (self.views > 1 and (self.learner is None or self.encode is None)):
            raise ConfigError(
                f"Task.views={self.views}: expected 1, or more with a learner and an encode, which"
                " get inputs of shape (batch, views, …)."
            )
        if self.encode is not None:
            _require_arguments("encode", self.encode, "(inputs, targets) -> (inputs, targets)")
        _require_arguments("report", self.report, "(answers, options) -> Findings")
        if self.answer is None:
            self.answer = self._decoded

    def _decoded(self, model: Any, inputs: Any) -> dict[str, Any]:
        return self.decode(model(inputs, training=False))

    @property
    def own_inputs(self) -> Specs | None:
        """Specs of what the model takes where no example of the data gives it, or None."""
        return self.inputs if self.encode is None else None

    def model_inputs(self, inputs: Any, targets: Specs) -> Any:
        """Returns what the model takes for prepared inputs whose targets are not known.

        Args:
            inputs: Batch of prepared inputs.
            targets: Spec of one target, or of each of its fields.
        """
        if self.inputs is None or self.encode is None:
            return inputs
        count = keras.ops.shape(values_of(inputs)[0])[0]
        unknown = map_fields(
            lambda spec: keras.ops.zeros((count, *spec.shape), spec.dtype), targets
        )
        return self.encode(inputs, unknown)[0]

    def compile(
        self, model: keras.Model, optimizer: keras.optimizers.Optimizer, **options: Any
    ) -> None:
        """Compiles a model for this task.

        Args:
            model: Model with `outputs.units` scores.
            optimizer: Keras optimizer.
            **options: Arguments of `keras.Model.compile`: `jit_compile`, `run_eagerly` …
        """
        metrics = self.metrics() or None  # of no metrics, Keras would ask for a result
        model.compile(optimizer=optimizer, loss=self.loss, metrics=metrics, **options)

    def monitors(self, *, with_validation: bool) -> list[str]:
        """Returns the names of the metrics that callbacks can monitor.

        Args:
            with_validation: Whether to include the validation metrics.
        """
        metrics = self.metrics()
        if isinstance(metrics, Mapping):  # Keras puts the name of the output before the metric's
            several = isinstance(self.outputs, Mapping) and len(self.outputs) > 1
            found = [
                f"{output}_{one.name}" if several else one.name
                for output, of_output in metrics.items()
                for one in (of_output if isinstance(of_output, list | tuple) else [of_output])
            ]
            found += [f"{output}_loss" for output in self.outputs if several]  # type: ignore[union-attr]
        else:
            found = [metric.name for metric in metrics]
        names = found if self.loss is None else ["loss", *found]
        names += [f"val_{name}" for name in names]
        names += self.learner_metrics
        return [name for name in names if with_validation or not name.startswith("val_")]


def encode_targets(function: Callable[[Any], Any]) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Returns an `encode` that changes the targets, and leaves the inputs as they are.

    Args:
        function: Function, in TensorFlow's graph, from a batch of targets to encoded ones.

    Example:
    >>> encode_targets(lambda targets: targets + 1)("inputs", 1)
    ('inputs', 2)
    """

    def encode(inputs: Any, targets: Any) -> tuple[Any, Any]:
        return inputs, function(targets)

    encode.targets_alone = True  # type: ignore[attr-defined]
    return encode


def encode_examples(task: Task) -> Callable[[Any, Any], tuple[Any, ...]]:
    """Returns a task's `encode`; where there is none, a function that changes nothing.

    Args:
        task: Task.
    """
    return task.encode or (lambda inputs, targets: (inputs, targets))


def takes_examples(task: Task, data: Data) -> bool:
    """Returns whether a task's model takes the examples of data.

    A generator takes noise, and an agent acts.

    Args:
        task: Task.
        data: Data.
    """
    return task.encode is not None and data.environment is None


def scores_examples(task: Task, data: Data) -> bool:
    """Returns whether the scores of a task's model are its answers to the examples of data.

    Those of a model that writes texts are not: an answer takes the scores of several calls.

    Args:
        task: Task.
        data: Data.
    """
    return takes_examples(task, data) and not task.generates


def changes_targets_alone(task: Task) -> bool:
    """Returns whether a task's `encode` is known to leave the inputs as they are.

    Args:
        task: Task.
    """
    return getattr(task.encode, "targets_alone", False)


def _require_arguments(name: str, function: Callable[..., Any], form: str) -> None:
    """Raises if a function of a task does not take two arguments, as of an earlier version.

    Raises:
        ConfigError: If it takes another number.
    """
    try:
        inspect.signature(function).bind(None, None)
    except ValueError:  # a built-in function without a signature
        return
    except TypeError as error:
        raise ConfigError(
            f"Task.{name}: expected a function {form}. Received: one that takes"
            f" {inspect.signature(function)}. kx.contracts.task.encode_targets makes an encode of a"
            " function of targets; a report reads answers.targets and answers.scores."
        ) from error


def average_probabilities(scores: Any) -> Any:
    """Returns the scores whose softmax is the mean of several scores' softmax.

    Args:
        scores: Scores, shape `(num, batch, num_classes)`.

    Source: Lakshminarayanan et al. 2017, "Simple and scalable predictive uncertainty
    estimation using deep ensembles", section 2.4.

    Example:
    >>> scores = keras.ops.array([[[0.0, 20.0]], [[0.0, 0.0]]])  # of a sure model, and another
    >>> keras.ops.softmax(average_probabilities(scores)).numpy().round(2).tolist()
    [[0.25, 0.75]]
    """
    return keras.ops.logsumexp(keras.ops.log_softmax(scores, axis=-1), axis=0) - math.log(
        scores.shape[0]
    )


def average_sigmoid(scores: Any) -> Any:
    """Returns the log-odds whose sigmoid is the mean of several log-odds' sigmoid.

    Args:
        scores: Log-odds, shape `(num, batch, num_labels)`.
    """
    # log(mean p) - log(mean (1 - p)), without the rounding of p to 1
    given = keras.ops.logsumexp(keras.ops.log_sigmoid(scores), axis=0)
    return given - keras.ops.logsumexp(keras.ops.log_sigmoid(-scores), axis=0)

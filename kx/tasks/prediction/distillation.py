"""Distillation: a small classifier learns from the scores of a trained one."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras

from kx.contracts.fields import named_fields
from kx.contracts.specs import Outputs, Spec, Specs
from kx.contracts.task import Task
from kx.errors import ConfigError
from kx.tasks.prediction.classification import classification
from kx.tasks.prediction.distiller import Distiller, Hint
from kx.types import Count, Fraction, NonNegative, Positive, Probability, RunName


def distillation(
    targets: Spec,
    inputs: Specs,
    *,
    teacher: RunName,
    monitor: str = "val_accuracy",
    monitor_mode: str = "max",
    temperature: Positive = 4.0,
    alpha: Probability = 0.7,
    student_layer: str | None = None,
    teacher_layer: str | None = None,
    feature_weight: NonNegative = 1.0,
    label_smoothing: Fraction = 0.0,
    top_k: Count = 5,
) -> Task:
    """Makes the task of classifying as a trained model, the teacher, does.

    The loss is `(1 - alpha)` times the cross-entropy of the true classes, plus `alpha` times the
    Kullback-Leibler divergence of the softened probabilities of teacher and student, multiplied by
    the square of the temperature. With `student_layer` and `teacher_layer`, the squared distance
    of what these layers give is added; where their numbers of channels differ, a dense layer that
    is trained and not kept maps the student's to the teacher's.

    Args:
        targets: Spec of class indices, with `class_names`.
        inputs: Spec of one prepared input, or of each of its fields: that of the teacher's run.
        teacher: RUN of a classification on the same inputs and classes. The record of the new run
            names its id.
        monitor: Metric by which epochs and runs are compared. Defaults to `"val_accuracy"`.
        monitor_mode: `"max"` or `"min"`. Defaults to `"max"`.
        temperature: Number by which the scores are divided before the softmax. Defaults to 4.
        alpha: Weight of the teacher's probabilities, from 0 to 1. Defaults to 0.7.
        student_layer: Name of the student's layer whose output becomes like the teacher's.
            Defaults to None: only the scores do.
        teacher_layer: Name of the teacher's layer, with `student_layer`. Defaults to None.
        feature_weight: Weight of the distance of both layers. Defaults to 1.
        label_smoothing: Label smoothing of the cross-entropy. Defaults to 0.
        top_k: Number k of the top-k accuracy, measured if there are more than k classes. Defaults
            to 5.

    Returns:
        Task whose models give one score for each class.

    Raises:
        ConfigError: If one of the two layers is missing, or if the teacher has other inputs or
            classes. The latter is raised when the learner is made.

    Source: Hinton et al. 2015, "Distilling the knowledge in a neural network", section 2; Romero
    et al. 2015, "FitNets: hints for thin deep nets", section 2.2, for the layers.

    Example:
    >>> spec = Spec((), "int32", class_names=("cat", "dog"))
    >>> task = distillation(spec, Spec((8, 8, 1), "uint8"), teacher=None)  # to predict alone
    >>> task.outputs.units
    2
    """
    if (student_layer is None) != (teacher_layer is None):
        raise ConfigError(
            "task.student_layer, task.teacher_layer: expected the names of both layers, or of none."
            f" Received: {student_layer!r} and {teacher_layer!r}."
        )
    task = classification(
        targets, monitor=monitor, monitor_mode=monitor_mode, label_smoothing=label_smoothing,
        top_k=top_k, inputs=inputs,
    )  # fmt: skip
    hint = None
    if student_layer is not None and teacher_layer is not None:
        hint = Hint(student_layer, teacher_layer, feature_weight)
    names = targets.class_names

    def learner(student: keras.Model) -> keras.Model:
        _check_teacher(teacher, inputs, names)
        return Distiller(student, teacher.model(), temperature, alpha, hint)  # type: ignore[attr-defined]

    task.learner = learner
    task.learner_metrics = Distiller.metric_names(hint)
    return task


def _check_teacher(teacher: Any, inputs: Specs, class_names: Any) -> None:
    """Raises `ConfigError` if a run cannot teach this task."""
    spec = teacher.bundle().spec()
    there = getattr(spec["targets"], "class_names", None)
    if there != class_names:
        raise ConfigError(
            f"task.teacher={teacher.name}: it must classify the same classes, in the same order."
            f" Received: {_listed(there)}. Here: {_listed(class_names)}."
        )
    outputs = teacher.task().outputs
    if not isinstance(outputs, Outputs) or outputs.axes or outputs.units != len(class_names):
        raise ConfigError(
            f"task.teacher={teacher.name}: it must give a score for each class, as"
            f" task=classification does. Received: {outputs}."
        )
    if _forms(spec["inputs"]) != _forms(inputs):
        raise ConfigError(
            f"task.teacher={teacher.name}: it must take the same prepared inputs. Received:"
            f" {_forms(spec['inputs'])}. Here: {_forms(inputs)}. Give the data the same options, as"
            " data.image_size."
        )

    theirs = {name: one.vocabulary for name, one in named_fields(spec["inputs"], "").items()}
    own = {name: one.vocabulary for name, one in named_fields(inputs, "").items()}
    if any(own[name] and theirs[name] and own[name] != theirs[name] for name in own):
        raise ConfigError(
            f"task.teacher={teacher.name}: its tokens stand for other words. Give the data of this"
            " run the same texts, split and tokenizer as the teacher's."
        )


def _listed(names: Any) -> str:
    return ", ".join(names)[:200] if names else "no classes"


def _forms(specs: Specs) -> Any:
    """Returns the shapes, dtypes and vocabularies of inputs."""
    form = partial(_form)
    return form(specs) if isinstance(specs, Spec) else {n: form(s) for n, s in specs.items()}


def _form(spec: Spec) -> str:
    words = "" if spec.vocabulary_size is None else f", {spec.vocabulary_size} tokens"
    return f"{spec.dtype} {spec.shape}{words}"

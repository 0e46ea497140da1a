"""The learner of distillation: a student with a teacher beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras.src.losses.loss import unscale_loss_for_distribution

from kx.errors import ConfigError
from kx.models.features import with_layer


@dataclass(frozen=True)
class Hint:
    """Describes the layers whose outputs become alike.

    Args:
        student_layer: Name of the student's layer.
        teacher_layer: Name of the teacher's layer.
        weight: Weight of their squared distance in the loss.
    """

    student_layer: str
    teacher_layer: str
    weight: float


class Distiller(keras.Model):
    """Trains a student on the true classes, and on the probabilities of a teacher.

    Args:
        student: Model that is kept.
        teacher: Trained model. It is not changed.
        temperature: Number by which scores are divided before the softmax.
        alpha: Weight of the teacher's probabilities, from 0 to 1.
        hint: Layers whose outputs become alike. Defaults to None: none.
    """

    def __init__(
        self,
        student: keras.Model,
        teacher: keras.Model,
        temperature: float,
        alpha: float,
        hint: Hint | None = None,
    ) -> None:
        super().__init__(name=student.name)
        self.student = student
        self.alpha, self.hint = alpha, hint
        # Keras's default loss compares raw scores; an object of this class, probabilities.
        self.soft_loss = keras.distillation.LogitsDistillation(
            temperature, loss=keras.losses.KLDivergence()
        )
        self.student_loss_mean = keras.metrics.Mean(name="student_loss")
        self.distillation_loss_mean = keras.metrics.Mean(name="distillation_loss")
        self.projection: keras.layers.Layer | None = None
        layer = None
        if hint is not None:
            self.student_features = with_layer(student, hint.student_layer, "task.student_layer")
            layer = hint.teacher_layer
            self.feature_loss = keras.losses.MeanSquaredError()
            self.feature_loss_mean = keras.metrics.Mean(name="feature_loss")
        # An attribute would be one of the variables: saved in every state, and trained.
        self.taught, theirs = _taught(teacher, layer)
        if hint is not None:
            self._match(hint, theirs)
        self.built = True

    @staticmethod
    def metric_names(hint: Hint | None) -> Sequence[str]:
        """Returns the names of the metrics beside those of the task.

        Args:
            hint: Layers whose outputs become alike, or None.
        """
        names = ["student_loss", "distillation_loss"]
        names += [] if hint is None else ["feature_loss"]
        return [*names, *(f"val_{name}" for name in names)]

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Returns the student's scores, with the output of its layer where one has a teacher."""
        if self.hint is None:
            return self.student(inputs, training=training)
        return self.student_features(inputs, training=training)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
        training: bool = True,
    ) -> Any:  # fmt: skip
        """Returns the sum of the losses; in a validation, the loss of the true classes alone.

        So `val/loss` and `test/loss` are comparable, with each other and with those of a training
        without a teacher. `student_loss` of the training is the same loss.

        Args:
            x: Batch of inputs.
            y: Encoded targets.
            y_pred: What `call` returned.
            sample_weight: Weights of the examples in the loss of the true classes.
            training: Whether the model is trained, and not validated.
        """
        scores = y_pred if self.hint is None else y_pred[0]
        if sample_weight is not None:
            raise ConfigError(
                "task=distillation: weights of examples would count for the true classes alone, and"
                " not for what the teacher says. Leave them out of the data."
            )
        whole = super().compute_loss(x, y, scores, None, training)
        penalties = sum(map(self._aggregate_additional_loss, self.losses))
        truth = whole - penalties  # of weights: they count in full, whatever alpha is
        taught = self.taught(x)
        soft = self.soft_loss.compute_loss(taught[0], keras.ops.cast(scores, "float32"))
        # Keras's losses are divided by the number of devices that share the batch.
        self.student_loss_mean.update_state(unscale_loss_for_distribution(truth))
        self.distillation_loss_mean.update_state(unscale_loss_for_distribution(soft))
        loss = (1 - self.alpha) * truth + self.alpha * soft + penalties
        if self.hint is not None:
            features = y_pred[1] if self.projection is None else self.projection(y_pred[1])
            distance = self.feature_loss(taught[1], keras.ops.cast(features, "float32"))
            self.feature_loss_mean.update_state(unscale_loss_for_distribution(distance))
            loss += self.hint.weight * distance
        return loss if training else whole

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Returns the metrics of the student's scores.

        Args:
            x: Batch of inputs.
            y: Encoded targets.
            y_pred: What `call` returned.
            sample_weight: Weights of the examples.
        """
        scores = y_pred if self.hint is None else y_pred[0]
        return super().compute_metrics(x, y, scores, sample_weight)

    def _match(self, hint: Hint, theirs: tuple[int | None, ...]) -> None:
        """Makes the dense layer that gives the student's features as many channels."""
        ours = self.student_features.output[1].shape
        if ours[1:-1] != theirs[1:-1]:
            raise ConfigError(
                f"task.student_layer={hint.student_layer} gives {tuple(ours[1:])}, and"
                f" task.teacher_layer={hint.teacher_layer} {tuple(theirs[1:])} for each example."
                " Expected layers that differ in their last axis at most."
            )
        if ours[-1] != theirs[-1]:
            projection = keras.layers.Dense(theirs[-1], use_bias=False, name="projection")
            projection.build(ours)
            self.projection = projection


def _taught(
    teacher: keras.Model, layer: str | None
) -> tuple[Callable[[Any], Any], tuple[int | None, ...]]:
    """Returns a function from inputs to the teacher's scores, and to its layer's output.

    The shape of the latter is returned, too; it is empty where there is no layer.
    """
    model = teacher if layer is None else with_layer(teacher, layer, "task.teacher_layer")

    def answers(inputs: Any) -> Any:
        found = model(inputs, training=False)
        return [
            keras.ops.stop_gradient(keras.ops.cast(one, "float32"))
            for one in keras.tree.flatten(found)
        ]

    return answers, () if layer is None else model.output[1].shape

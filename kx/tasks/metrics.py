"""Keras metrics for raw scores and targets that may be mixed.

For a mixture (mixup, cutmix), the label of its larger part is the correct one. The metrics of Keras
instead take any target other than exactly 0 as positive, or only targets of exactly 1.
"""

from __future__ import annotations

from typing import Any

import keras


def _larger_part(y_true: Any) -> Any:
    return keras.ops.cast(keras.ops.convert_to_tensor(y_true) >= 0.5, "float32")


@keras.saving.register_keras_serializable("kx")
class AccuracyOnScores(keras.metrics.BinaryAccuracy):
    """Measures the binary accuracy on raw scores, to which its threshold applies."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch of targets and raw scores.

        Args:
            y_true: Targets from 0 to 1, in the shape of the scores.
            y_pred: Raw scores.
            sample_weight: Weight of each example. Defaults to None: 1.
        """
        super().update_state(_larger_part(y_true), y_pred, sample_weight)


@keras.saving.register_keras_serializable("kx")
class AreaUnderCurve(keras.metrics.AUC):
    """Measures the area under the ROC curve of raw scores, with `from_logits=True`."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch of targets and raw scores.

        Args:
            y_true: Targets from 0 to 1, in the shape of the scores.
            y_pred: Raw scores.
            sample_weight: Weight of each example. Defaults to None: 1.
        """
        super().update_state(_larger_part(y_true), y_pred, sample_weight)


@keras.saving.register_keras_serializable("kx")
class F1OnScores(keras.metrics.F1Score):
    """Measures the F1 score on raw scores; Keras's metric takes probabilities."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch of targets and raw scores.

        Args:
            y_true: Targets from 0 to 1, in the shape of the scores.
            y_pred: Raw scores.
            sample_weight: Weight of each example. Defaults to None: 1.
        """
        super().update_state(_larger_part(y_true), keras.ops.sigmoid(y_pred), sample_weight)

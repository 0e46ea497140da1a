"""Keras's metrics on what kx's models and batches give: raw scores, and targets that may be mixed.

Of a mixture (mixup, cutmix), the answer that counts as right is that of its larger part: Keras's
own take any target that is not exactly 0 for a yes, or none but exactly 1.
"""

from __future__ import annotations

from typing import Any

import keras


def _larger_part(y_true: Any) -> Any:
    return keras.ops.cast(keras.ops.convert_to_tensor(y_true) >= 0.5, "float32")


@keras.saving.register_keras_serializable("kx")
class AccuracyOnScores(keras.metrics.BinaryAccuracy):
    """Measures the accuracy of yes and no: its threshold is one of raw scores."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch of targets and raw scores."""
        super().update_state(_larger_part(y_true), y_pred, sample_weight)


@keras.saving.register_keras_serializable("kx")
class AreaUnderCurve(keras.metrics.AUC):
    """Measures the area under the ROC curve."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch of targets and raw scores."""
        super().update_state(_larger_part(y_true), y_pred, sample_weight)


@keras.saving.register_keras_serializable("kx")
class F1OnScores(keras.metrics.F1Score):
    """Measures F1 on raw scores: Keras's own takes probabilities."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch of targets and raw scores."""
        super().update_state(_larger_part(y_true), keras.ops.sigmoid(y_pred), sample_weight)

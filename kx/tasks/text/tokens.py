"""Loss and metrics of scores for each token of a text. Padding (token 0) counts in none."""

from __future__ import annotations

from typing import Any

import keras


def _valid(y_true: Any) -> Any:
    return keras.ops.cast(keras.ops.not_equal(y_true, 0), "float32")


def token_losses(y_true: Any, y_pred: Any) -> Any:
    """Returns the cross entropy of each token in nats, 0 for padding.

    Args:
        y_true: Token ids, shape `(batch, length)`.
        y_pred: Raw scores, shape `(batch, length, vocabulary_size)`.
    """
    losses = keras.ops.sparse_categorical_crossentropy(
        keras.ops.cast(y_true, "int32"), keras.ops.cast(y_pred, "float32"), from_logits=True
    )
    return losses * _valid(y_true)


@keras.saving.register_keras_serializable("kx")
class TokenLoss(keras.losses.Loss):
    """Computes the mean cross entropy of the tokens of a batch, without padding.

    Args:
        label_smoothing: Share of the probability that is spread evenly over the vocabulary.
            Defaults to 0.
        name: Name of the loss. Defaults to `"token_loss"`.
        **kwargs: Arguments of `keras.losses.Loss`.

    Source: Szegedy et al. 2016, "Rethinking the Inception architecture", section 7 (smoothing).
    """

    def __init__(
        self, label_smoothing: float = 0.0, name: str = "token_loss", **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.label_smoothing = label_smoothing

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Returns the loss of a batch.

        Args:
            y_true: Token ids, shape `(batch, length)`.
            y_pred: Raw scores, shape `(batch, length, vocabulary_size)`.
            sample_weight: Weight of each text. Defaults to None.
        """
        # Without the mask of an embedding, by which Keras would multiply the losses of texts.
        unmasked = keras.ops.reshape(y_pred, keras.ops.shape(y_pred))
        return super().__call__(y_true, unmasked, sample_weight)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns a loss of each text, whose mean over the batch is that over its tokens.

        Args:
            y_true: Token ids, shape `(batch, length)`.
            y_pred: Raw scores, shape `(batch, length, vocabulary_size)`.
        """
        ops = keras.ops
        valid = _valid(y_true)
        losses = token_losses(y_true, y_pred)
        if self.label_smoothing:
            spread = -ops.mean(ops.log_softmax(ops.cast(y_pred, "float32"), axis=-1), axis=-1)
            even = self.label_smoothing
            losses = (1 - even) * losses + even * spread * valid
        tokens_of_a_text = ops.sum(valid) / ops.cast(ops.shape(valid)[0], "float32")
        return ops.sum(losses, axis=-1) / ops.maximum(tokens_of_a_text, 1e-6)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments."""
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


class _OverTokens(keras.metrics.Metric):
    """Measures the mean of a value of each token, without padding."""

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.total = self.add_weight(name="total", initializer="zeros")
        self.count = self.add_weight(name="count", initializer="zeros")

    def values(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the value of each token, 0 for padding."""
        raise NotImplementedError

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch of token ids and raw scores; weights of examples do not count.

        Args:
            y_true: Token ids, shape `(batch, length)`.
            y_pred: Raw scores, shape `(batch, length, vocabulary_size)`.
            sample_weight: Not used.
        """
        self.total.assign_add(keras.ops.sum(self.values(y_true, y_pred)))
        self.count.assign_add(keras.ops.sum(_valid(y_true)))

    def result(self) -> Any:
        """Returns the mean, or 0 before any token."""
        return keras.ops.divide_no_nan(self.total, self.count)


@keras.saving.register_keras_serializable("kx")
class Perplexity(_OverTokens):
    """Measures the exponential of the mean cross entropy over all tokens, without padding.

    Args:
        name: Name of the metric. Defaults to `"perplexity"`.
        **kwargs: Arguments of `keras.metrics.Metric`.
    """

    def __init__(self, name: str = "perplexity", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def values(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the cross entropy of each token, 0 for padding."""
        return token_losses(y_true, y_pred)

    def result(self) -> Any:
        """Returns the perplexity, or 1 before any token."""
        return keras.ops.exp(super().result())


@keras.saving.register_keras_serializable("kx")
class TokenAccuracy(_OverTokens):
    """Measures the share of tokens that have the highest score, without padding.

    Args:
        name: Name of the metric. Defaults to `"accuracy"`.
        **kwargs: Arguments of `keras.metrics.Metric`.
    """

    def __init__(self, name: str = "accuracy", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def values(self, y_true: Any, y_pred: Any) -> Any:
        """Returns 1 for each token that has the highest score, and 0 for others."""
        ops = keras.ops
        found = ops.equal(ops.cast(ops.argmax(y_pred, -1), "int32"), ops.cast(y_true, "int32"))
        return ops.cast(found, "float32") * _valid(y_true)

"""Simple models that reports hold a trained one against."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from kx.contracts.answers import Baseline, Seen
from kx.contracts.specs import Spec, Specs

_LEAST = 1e-6  # probability of what a baseline excludes, whose logarithm must be finite
# Numbers times classes of a logistic regression: seconds on one core.
_MOST_PRODUCTS = 30_000_000
_MAX_ITERATIONS = 200


def of_classes(inputs: Specs | None, num_classes: int) -> dict[str, Baseline]:
    """Returns the baselines of a classification: the most frequent class, and a linear model.

    Texts are told apart by TF-IDF of their words and pairs of words, or of their characters where
    words are not separated by spaces; images and rows by their numbers.

    Args:
        inputs: Spec of one prepared input, or of each of its fields, or None if it is not known.
        num_classes: Number of classes. A binary task has 2.

    Returns:
        Functions `(train, test)` to logarithms of probabilities, shape `(num_test, num_classes)`.
    """
    found: dict[str, Baseline] = {"majority": _in_logs(num_classes, _majority)}
    if isinstance(inputs, Spec):
        if inputs.kind == "tokens":
            name = "TF-IDF and logistic regression"
            found[name] = _in_logs(num_classes, _tfidf)
        elif len(inputs.shape) in (1, 3):
            of_pixels = inputs.kind == "image" or len(inputs.shape) == 3
            name = f"logistic regression{' on pixels' if of_pixels else ''}"
            found[name] = _in_logs(num_classes, _logistic)
    return found


def of_two(inputs: Specs | None) -> dict[str, Baseline]:
    """Returns the baselines of a binary task, whose score is the log-odds of the second class.

    Args:
        inputs: Spec of one prepared input, or of each of its fields, or None if it is not known.
    """

    def log_odds(baseline: Baseline, train: Seen, test: Seen) -> np.ndarray:
        scores = baseline(train, test)
        return scores[:, 1:] - scores[:, :1]

    return {name: partial(log_odds, one) for name, one in of_classes(inputs, 2).items()}


def _in_logs(num_classes: int, learn: Callable[[Seen, Seen], tuple[Any, Any]]) -> Baseline:
    """Returns a baseline whose probabilities of the classes that it has seen become scores."""

    def scores(train: Seen, test: Seen) -> np.ndarray:
        classes, probabilities = learn(train, test)
        every = np.full((len(probabilities), num_classes), _LEAST)
        every[:, np.asarray(classes, int)] = np.maximum(probabilities, _LEAST)
        return np.log(every / every.sum(axis=1, keepdims=True)).astype("float32")

    return scores


def _majority(train: Seen, test: Seen) -> tuple[Any, Any]:
    classes, counts = np.unique(train.targets, return_counts=True)
    shares = counts / counts.sum()
    return classes, np.tile(shares, (len(test.targets), 1))


def _tfidf(train: Seen, test: Seen) -> tuple[Any, Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    spaced = np.mean([" " in text.strip() for text in train.raw]) > 0.5
    options: dict[str, Any] = {"ngram_range": (1, 2)}
    if not spaced:  # Chinese, Japanese, Thai …
        options["analyzer"] = "char"
    words = TfidfVectorizer(sublinear_tf=True, min_df=1, **options)
    return _fitted(words.fit_transform(train.raw), train.targets, words.transform(test.raw), 10.0)


def _logistic(train: Seen, test: Seen) -> tuple[Any, Any]:
    known, asked = (part.inputs.reshape(len(part.inputs), -1) for part in (train, test))
    count = len(np.unique(train.targets))
    most = max(200, _MOST_PRODUCTS // (known.shape[1] * count))
    chosen = np.random.default_rng(0).permutation(len(known))[:most]
    known, targets = known[chosen].astype("float32"), np.asarray(train.targets)[chosen]
    mean, deviation = known.mean(axis=0), known.std(axis=0)
    deviation[deviation == 0] = 1.0
    known, asked = ((part - mean) / deviation for part in (known, asked.astype("float32")))
    return _fitted(known, targets, asked, 1.0)


def _fitted(known: Any, targets: Any, asked: Any, strength: float) -> tuple[Any, Any]:
    """Returns the classes and their probabilities by a logistic regression."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    classes = np.unique(targets)
    if len(classes) < 2:  # nothing to tell apart
        return classes, np.ones((asked.shape[0], 1))
    model = LogisticRegression(C=strength, max_iter=_MAX_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a baseline need not be the best
        model.fit(known, targets)
    return model.classes_, model.predict_proba(asked)


def of_numbers(inputs: Specs | None, mean: Any, deviation: Any) -> dict[str, Baseline]:
    """Returns the baselines of a regression: the mean, and a ridge regression.

    Args:
        inputs: Spec of one prepared input, or of each of its fields, or None if it is not known.
        mean: Mean of each target over the training split.
        deviation: Standard deviation of each target over the training split.

    Returns:
        Functions `(train, test)` to standardized numbers, shape `(num_test, num_targets)`.
    """

    def average(train: Seen, test: Seen) -> np.ndarray:
        return np.zeros((len(test.targets), len(mean)), "float32")

    def ridge(train: Seen, test: Seen) -> np.ndarray:
        from sklearn.linear_model import RidgeCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        known, asked = (part.inputs.reshape(len(part.inputs), -1) for part in (train, test))
        targets = (np.asarray(train.targets).reshape(len(known), -1) - mean) / deviation
        model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 13)))
        return np.asarray(model.fit(known, targets).predict(asked), "float32").reshape(
            len(asked), -1
        )

    found: dict[str, Baseline] = {"mean": average}
    if isinstance(inputs, Spec) and inputs.kind != "tokens" and len(inputs.shape) == 1:
        found["ridge regression"] = ridge
    return found

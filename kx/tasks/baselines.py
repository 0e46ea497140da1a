"""Simple models with which reports compare a trained one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from kx.contracts.answers import Baseline, Seen
from kx.contracts.fields import values_of
from kx.contracts.specs import Spec, Specs

_LEAST = 1e-6  # probability of what a baseline excludes, whose logarithm must be finite
# What a baseline may cost at the end of a run: seconds on one core.
_MOST_PRODUCTS = 30_000_000  # numbers times classes of a logistic regression
_MOST_CHARACTERS = 50_000_000
_MAX_ITERATIONS = 200
_ASKED = 256  # examples at a time

_TEXTS = ("tokens", "words")  # kinds of inputs that are made of a text


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
    if _are_texts(inputs):
        found["TF-IDF and logistic regression"] = _in_logs(num_classes, _tfidf)
    elif isinstance(inputs, Spec):
        if len(inputs.shape) in (1, 3):
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


def _are_texts(inputs: Specs | None) -> bool:
    """Returns whether an example is a text, or texts by name."""
    return inputs is not None and all(spec.kind in _TEXTS for spec in values_of(inputs))


def _tfidf(train: Seen, test: Seen) -> tuple[Any, Any]:
    chosen, known, asked = _weighted(train, test)
    answer = _fitted(known, np.asarray(train.targets)[chosen], 10.0, train.notes)
    return answer([asked])


def _weighted(train: Seen, test: Seen) -> tuple[np.ndarray, Any, Any]:
    """Returns the training texts that are used, and TF-IDF of these and of those that are asked.

    Several texts of an example have a vocabulary each.
    """
    from scipy.sparse import hstack

    names = list(train.raw[0]) if isinstance(train.raw[0], Mapping) else [""]
    both = [[[one[name] if name else one for one in part.raw] for part in (train, test)]
            for name in names]  # fmt: skip
    length = max(1, int(np.mean([len(text) for known, _ in both for text in known])) * len(names))
    chosen = _chosen(train, max(1000, _MOST_CHARACTERS // length))
    pairs = [_of_field([known[place] for place in chosen], asked) for known, asked in both]
    if len(pairs) == 1:
        return chosen, *pairs[0]
    return chosen, *(hstack(parts).tocsr() for parts in zip(*pairs, strict=True))


def _of_field(known: list[str], asked: list[str]) -> tuple[Any, Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    spaced = np.mean([" " in text.strip() for text in known]) > 0.5
    options: dict[str, Any] = {"ngram_range": (1, 2)}
    if not spaced:  # Chinese, Japanese, Thai …
        options["analyzer"] = "char"
    words = TfidfVectorizer(sublinear_tf=True, **options)
    return words.fit_transform(known), words.transform(asked)


def _logistic(train: Seen, test: Seen) -> tuple[Any, Any]:
    from sklearn.preprocessing import StandardScaler

    known, asked = (part.inputs.reshape(len(part.inputs), -1) for part in (train, test))
    count = len(np.unique(train.targets))
    chosen = _chosen(train, max(200, _MOST_PRODUCTS // (known.shape[1] * count)))
    scale = StandardScaler()
    known = scale.fit_transform(known[chosen].astype("float32"))
    answer = _fitted(known, np.asarray(train.targets)[chosen], 1.0, train.notes)
    parts = (asked[start : start + _ASKED] for start in range(0, len(asked), _ASKED))
    return answer(scale.transform(part.astype("float32")) for part in parts)


def _chosen(train: Seen, most: int) -> np.ndarray:
    """Returns the indices of at most so many examples, drawn at random, and notes if not all."""
    count = len(train.targets)
    if most >= count:
        return np.arange(count)
    train.notes.append(f"on {most:,} of {count:,} examples")
    return np.sort(np.random.default_rng(0).permutation(count)[:most])


def _fitted(
    known: Any, targets: Any, strength: float, notes: list[str]
) -> Callable[[Iterable[Any]], tuple[Any, Any]]:
    """Fits a logistic regression.

    Returns:
        Function from parts of the examples to the classes, and the probabilities of all parts.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    classes = np.unique(targets)
    if len(classes) < 2:  # nothing to tell apart
        return lambda parts: (classes, np.ones((sum(part.shape[0] for part in parts), 1)))
    model = LogisticRegression(C=strength, max_iter=_MAX_ITERATIONS)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(known, targets)
    if any(issubclass(one.category, ConvergenceWarning) for one in caught):
        notes.append(f"stopped after {_MAX_ITERATIONS} iterations")
    return lambda parts: (classes, np.concatenate([model.predict_proba(part) for part in parts]))


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

    def ridge_of_texts(train: Seen, test: Seen) -> np.ndarray:
        from sklearn.linear_model import Ridge

        chosen, known, asked = _weighted(train, test)
        targets = np.asarray(train.targets)[chosen].reshape(len(chosen), -1)
        model = Ridge(1.0).fit(known, (targets - mean) / deviation)
        return np.asarray(model.predict(asked), "float32").reshape(asked.shape[0], -1)

    found: dict[str, Baseline] = {"mean": average}
    if _are_texts(inputs):
        found["TF-IDF and ridge regression"] = ridge_of_texts
    if isinstance(inputs, Spec) and inputs.kind not in _TEXTS and len(inputs.shape) == 1:
        found["ridge regression"] = ridge
    return found

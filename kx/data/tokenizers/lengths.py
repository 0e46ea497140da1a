"""Chooses the number of tokens to which texts are cut or padded."""

from __future__ import annotations

import numpy as np

from kx.contracts.specs import DataIssue

_SHORT, _LONG = 32, 512


def choose_length(
    lengths: np.ndarray, percentile: float, given: int | None = None
) -> tuple[int, tuple[DataIssue, ...]]:
    """Returns a length of token sequences, and an issue if it cuts texts.

    Args:
        lengths: Number of tokens of each text.
        percentile: Percentage of the texts that fit in a length that is chosen. One of up to 32
            tokens always fits, since its padding costs little; a length is at most 512.
        given: Length in place of a chosen one. Defaults to None: chosen.

    Example:
    >>> choose_length(np.array([3, 5, 9]), 99)[0]
    9
    """
    longest = int(lengths.max(initial=1))
    if given is None:
        fits = int(np.percentile(lengths, percentile, method="higher")) if len(lengths) else 1
        given = max(1, min(longest, _LONG, max(_SHORT, fits)))
    cut = int((lengths > given).sum())
    if not cut:
        return given, ()
    text = (
        f"{cut:,} of {len(lengths):,} training texts are cut to {given} tokens; the longest has"
        f" {longest:,}: tokenizer.sequence_length={longest} keeps all"
    )
    return given, (DataIssue("texts", "kept", text),)

"""A model's layers, as text."""

from __future__ import annotations

import keras


def summary_text(model: keras.Model) -> str:
    """Returns Keras's summary, nested models opened, as text.

    Args:
        model: a built model.
    """
    lines: list[str] = []
    model.summary(expand_nested=True, line_length=80, print_fn=lambda line, **_: lines.append(line))
    return "\n".join(lines) + "\n"

"""What a model is: its layers, parameters, operations and memory."""

from __future__ import annotations

import keras


def summary_text(model: keras.Model) -> str:
    """Returns Keras's summary, nested models opened, as text.

    Args:
        model: a built model.
    """
    lines: list[str] = []
    model.summary(expand_nested=True, line_length=96, print_fn=lambda line, **_: lines.append(line))
    return "\n".join(lines) + "\n"

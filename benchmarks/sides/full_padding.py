"""`model=lstm` with an input of one length, for which kx does not trim batches."""

from __future__ import annotations

from typing import Any

import keras

from kx.contracts.specs import Outputs, Spec
from kx.models.text import recurrent


def lstm(inputs: Spec, outputs: Outputs, **sizes: Any) -> keras.Model:
    """Builds the net of `model=lstm` with texts of full length."""
    x = keras.Input(inputs.shape, dtype="int32")
    return keras.Model(x, recurrent.lstm(inputs, outputs, **sizes)(x))

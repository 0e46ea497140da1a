"""Augmentations of a batch: stateless functions, with a seed for each example.

Each is `(inputs, targets, seeds, *, strength …) -> (inputs, targets)`: inputs uint8, or float
from 0 to 255, of shape `(batch, height, width, channels)`, targets as the loss takes them, seeds of
shape `(batch, 2)`. An entry of the `augment` config names one function; a chain runs them in order.
"""

from kx.data.augment.chaining import Augment, Batch, chain, check_fits, check_range
from kx.data.augment.erasing import erase
from kx.data.augment.geometry import (
    crop_flip,
    flip,
    resized_crop,
    rotate,
    shear,
    translate,
    zoom,
)
from kx.data.augment.mixing import cutmix, mixup
from kx.data.augment.pixels import autocontrast, blur, color, grayscale, light
from kx.data.augment.policy import randaugment, trivial

__all__ = [
    "Augment", "Batch", "autocontrast", "blur", "chain", "check_fits", "check_range", "color",
    "crop_flip", "cutmix", "erase", "flip", "grayscale", "light", "mixup", "randaugment",
    "resized_crop", "rotate", "shear", "translate", "trivial", "zoom",
]  # fmt: skip

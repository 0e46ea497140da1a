"""Augmentations of a batch: stateless functions, with a seed for each example.

Each is `(inputs, targets, seeds, *, strength …) -> (inputs, targets)`: inputs uint8, or float
from 0 to 255, of shape `(batch, height, width, channels)`, seeds of shape `(batch, 2)`. An entry
of the `augment` config names one function; a chain runs them in order.

Those that are marked as changing images alone (`changes_images`, `moves_pixels`) get the images of
the prepared inputs, whatever their field; masks and boxes move with the images. Others get the
whole inputs, and the targets as the loss takes them.
"""

from kx.data.augment.chaining import Chain, chain
from kx.data.augment.checks import check_fits, check_range
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
from kx.data.augment.operations import (
    Augment,
    Batch,
    changes_images,
    changes_texts,
    changes_words,
    mixes_examples,
    moves_pixels,
)
from kx.data.augment.pixels import autocontrast, blur, color, grayscale, light
from kx.data.augment.policy import randaugment, trivial

__all__ = [
    "Augment", "Batch", "Chain", "autocontrast", "blur", "chain", "changes_images",
    "changes_texts", "changes_words", "check_fits", "check_range", "color", "crop_flip", "cutmix",
    "erase", "flip",
    "grayscale", "light", "mixes_examples", "mixup", "moves_pixels", "randaugment",
    "resized_crop", "rotate", "shear", "translate", "trivial", "zoom",
]  # fmt: skip

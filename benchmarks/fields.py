"""Do several inputs, or masks, cost anything beside the same training in plain Keras?

    python benchmarks/fields.py
    python benchmarks/fields.py --parts masks --pairs 5

fields      an image and a question (easy-VQA's kind, drawn): `model=fusion` against `model.fit`
            on a tf.data pipeline of dictionaries. Bar: at least 0.95.
masks       a class for each pixel of digits in scenes: `model=unet` against the same net with
            cross entropy and Keras's MeanIoU. Bar: at least 0.95.

Prints the rate of kx over that of the other side: the median of the pairs, each of which is the
median of the epochs after the first two.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from common import arguments, heading, temporary_project
from learners import compare

_COMMON = ["augment=none", "report=none", "callbacks=none", "batch_size=32"]
_FIELDS = ["data=easy_vqa", "data.num_images=2000", *_COMMON]
_MASKS = ["data=digit_scenes", "data.num_scenes=1500", "task.dice_weight=0", *_COMMON]


def main() -> None:
    parser = arguments(__doc__, pairs=3)
    parser.add_argument("--parts", nargs="+", default=["fields", "masks"])
    args = parser.parse_args()
    epochs = 3 if args.quick else 6
    with temporary_project() as folder:
        for name, words in (("fields", _FIELDS), ("masks", _MASKS)):
            if name in args.parts:
                heading(name)
                plain = ["--arrays", str(prepared(folder, words)), "--epochs", str(epochs)]
                compare(folder, words, "plain_fields.py", plain, epochs, args.pairs, 0.95)


def prepared(folder: Path, words: list[str]) -> Path:
    """Writes the prepared splits of a config as arrays, and returns their file."""
    from kx.config import compose
    from kx.contracts.fields import named_fields
    from kx.data.store import store
    from kx.fit.batches import make_data

    data = make_data(compose(words).config)
    path, arrays = folder / f"{data.name}.npz", {}
    for split, part in store(data, ["train", "validation"]).items():
        for name, values in named_fields(part.inputs, "image").items():
            arrays[f"{split}/{name}"] = np.asarray(values)
        arrays[f"{split}/target"] = np.asarray(part.targets)
    np.savez(path, **arrays)
    return path


if __name__ == "__main__":
    main()

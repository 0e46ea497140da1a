"""Loads an exported model in a fresh process, and writes its answers.

It is run as a script with the path to its settings. It does not import kx, since the user of
an exported model does not, either.
"""

import gc
import importlib
import json
import sys
from pathlib import Path


def main(settings_file: str) -> None:
    """Writes the answers of the SavedModel and of the `.keras` file to the examples.

    Args:
        settings_file: Path to a JSON file of the model files, the modules of a user's own layers,
            and the work folder.
    """
    settings = json.loads(Path(settings_file).read_text(encoding="utf-8"))
    gc.disable()  # the imports make no garbage, and the process ends soon
    import numpy as np
    import tensorflow as tf

    work = Path(settings["work"])
    raw = {
        name: tf.io.parse_tensor((work / f"raw-{name}.tensor").read_bytes(), dtype)
        for name, dtype in settings["raw"].items()
    }
    for module in settings["operations"]:
        importlib.import_module(module)
    loaded = tf.saved_model.load(settings["saved_model"])
    found = loaded.signatures["serving_default"](**raw)
    answers = {name: _plain(value.numpy()) for name, value in found.items()}

    sys.path[:0] = settings["path"]
    for module in settings["modules"]:
        importlib.import_module(module)
    import keras

    model = keras.models.load_model(settings["keras"], compile=False)
    with np.load(work / "prepared.npz") as arrays:
        prepared = dict(arrays) if settings["fields"] else arrays["inputs"]
    scores = model(prepared, training=False)
    named = scores if isinstance(scores, dict) else {"": scores}
    answers |= {f"keras_scores.{name}": np.asarray(value) for name, value in named.items()}
    np.savez(work / "answers.npz", **answers)


def _plain(value):
    """Returns an array that NumPy saves without pickling: strings of a fixed length."""
    import numpy as np

    value = np.asarray(value)
    return value.astype(np.bytes_) if value.dtype == object else value


if __name__ == "__main__":
    main(sys.argv[1])

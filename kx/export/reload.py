"""Loads an exported model in a fresh process, and writes its answers.

Run as a script, with the file of its settings: it imports no kx, as the user of
an exported model does not.
"""

import importlib
import json
import sys
from pathlib import Path


def main(settings_file: str) -> None:
    """Answers the examples with the SavedModel and with the `.keras` file.

    Args:
        settings_file: JSON: the files, the modules of own layers, the work folder.
    """
    settings = json.loads(Path(settings_file).read_text(encoding="utf-8"))
    import numpy as np
    import tensorflow as tf

    work = Path(settings["work"])
    raw = tf.io.parse_tensor((work / "raw.tensor").read_bytes(), settings["raw_dtype"])
    loaded = tf.saved_model.load(settings["saved_model"])
    found = loaded.signatures["serving_default"](inputs=raw)
    answers = {name: _plain(value.numpy()) for name, value in found.items()}

    sys.path[:0] = settings["path"]
    for module in settings["modules"]:
        importlib.import_module(module)
    import keras

    model = keras.models.load_model(settings["keras"], compile=False)
    answers["keras_scores"] = np.asarray(model(np.load(work / "prepared.npy"), training=False))
    np.savez(work / "answers.npz", **answers)


def _plain(value):
    """Returns an array that NumPy keeps without pickling: strings of a fixed length."""
    import numpy as np

    value = np.asarray(value)
    return value.astype(np.bytes_) if value.dtype == object else value


if __name__ == "__main__":
    main(sys.argv[1])

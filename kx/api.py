"""The Python API beside the command line: `kx.train(...)`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kx.config import add_project_to_path, compose
from kx.config.words import word
from kx.data.specs import Data, Spec
from kx.data.splits import fingerprint, split_indices
from kx.data.tables import number_spec
from kx.errors import ConfigError, DataError
from kx.launch.here import choose_backend
from kx.launch.team import is_team, refuse_teams
from kx.tracking.records import finished_record
from kx.tracking.resume import recorded_words
from kx.tracking.runs import Run, load_run
from kx.training import train as train_job


def train(
    *overrides: str,
    model: keras.Model | str | None = None,
    data: Any = None,
    quiet: bool = False,
    **keys: Any,
) -> Run:
    """Trains a run and returns it, finished.

    Args:
        *overrides: words as on the command line: `"model=cnn"`, `"optimizer.learning_rate=1e-3"`.
        model: an option's name, or an uncompiled `keras.Model` that gives raw scores.
        data: an option's name, a `kx.Data`, or your own examples: a
            `tf.data.Dataset` of `(inputs, targets)`, batched or not, a pair of
            arrays, or a mapping with `"train"` and, if you like, `"validation"`
            and `"test"` to any of these.
        quiet: whether to show no progress.
        **keys: further overrides of top-level keys: `epochs=3`; a mapping sets
            what is below: `optimizer={"learning_rate": 1e-3}`.

    Returns:
        The finished run: `run.metrics`, `run.history`, `run.predict(…)` …

    Raises:
        ConfigError: with every mistake of the config.

    Example:
        run = kx.train("model=cnn", "data=digits", epochs=3)
        run.metrics["test/accuracy"]
    """
    add_project_to_path()
    words = [*overrides, *_words(keys)]
    own_model = model if isinstance(model, keras.Model) else None
    if isinstance(model, str):
        words.insert(0, f"model={model}")
    elif isinstance(model, Mapping):
        words += _words(model, "model.")
    elif own_model is None and model is not None:
        raise ConfigError(
            "model: expected an option's name, a mapping of its arguments or a keras.Model."
            f" Received: {model!r}."
        )
    if isinstance(data, str):
        words.insert(0, f"data={data}")
    elif data is not None and not any(word.startswith("augment=") for word in words):
        words.append("augment=none")  # the default option's augmentation is for its own images
    own_data = None
    if data is not None and not isinstance(data, str):
        if own_model is not None and not own_model.built:
            raise ConfigError(
                f"The model {own_model.name!r} is not built: begin it with keras.Input(shape), or"
                " call it once on a batch."
            )
        own_data = data if isinstance(data, Data) else data_of(data, own_model)
        if not any(word.startswith("task=") for word in words):
            words.append(f"task={_fitting_task(own_data, own_model)}")
    job = compose(recorded_words(words))
    choose_backend(job.config.backend)
    if is_team(job):
        refuse_teams([job])
    done = finished_record(job) if own_model is None and own_data is None else None
    if done is not None and done.uri is not None and done.run_id is not None:
        return load_run(done.run_id, uri=done.uri)
    if own_model is not None:
        job.choices["model"] = own_model.name
    if own_data is not None:
        job.choices["data"] = own_data.name
    own = [kind for kind, item in (("model", own_model), ("data", own_data)) if item is not None]
    tags = {"kx.own_objects": ",".join(own)} if own else {}
    return train_job(job, data=own_data, core=own_model, quiet=quiet, tags=tags)


def _words(keys: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Returns keyword arguments as overrides."""
    words = []
    for key, value in keys.items():
        if isinstance(value, Mapping) and "_target_" not in value:
            words += _words(value, f"{prefix}{key}.")
        else:
            words.append(word(f"{prefix}{key}", value))
    return words


def _fitting_task(data: Data, model: keras.Model | None) -> str:
    if data.targets.class_names is None:
        return "regression"
    if model is not None and model.output_shape[-1] == 1 and data.targets.num_classes == 2:
        return "binary"
    return "classification" if data.targets.shape == () else "multilabel"


def data_of(
    source: Any, model: keras.Model | None = None, *, validation_fraction: float = 0.1
) -> Data:
    """Returns the `Data` of a user's own examples.

    Args:
        source: a dataset or pair of arrays, or a mapping of split to one.
        model: for the number of classes, where it is given.
        validation_fraction: of train, where there is no validation split.

    Raises:
        DataError: if the examples are no pairs of inputs and targets.
    """
    parts = dict(source) if isinstance(source, Mapping) else {"train": source}
    if "train" not in parts or set(parts) - {"train", "validation", "test"}:
        raise DataError(
            "data: expected the splits train, validation and test. Received:"
            f" {', '.join(map(str, parts))}."
        )
    arrays = {split: _arrays(part, model) for split, part in parts.items() if part is not None}
    inputs, targets = arrays["train"]
    spec, targets_of = _target_spec(arrays, model)
    if "validation" not in arrays:
        classes = spec.class_names is not None and spec.shape == ()
        chosen = split_indices(
            targets_of(targets) if classes else np.zeros(len(targets)),
            validation_fraction=validation_fraction,
            stratify=classes,
        )
        for split in ("validation", "train"):
            arrays[split] = (inputs[chosen[split]], targets[chosen[split]])
        spec = _target_spec(arrays, model)[0]  # mean and deviation of the training split alone
    splits = {
        split: tf.data.Dataset.from_tensor_slices((x, targets_of(y)))
        for split, (x, y) in arrays.items()
    }
    return Data(
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits.get("test"),
        inputs=Spec(tuple(inputs.shape[1:]), str(inputs.dtype)),
        targets=spec,
        name="own",
        source="objects in memory",
        fingerprint=fingerprint(*[a for _, pair in sorted(arrays.items()) for a in pair]),
    )


def _arrays(part: Any, model: keras.Model | None) -> tuple[np.ndarray, np.ndarray]:
    """Returns one split as two arrays."""
    if isinstance(part, tuple | list) and len(part) == 2:
        return np.asarray(part[0]), np.asarray(part[1])
    if not isinstance(part, tf.data.Dataset):
        raise DataError(
            "data: expected a tf.data.Dataset of (inputs, targets) or a pair of arrays."
            f" Received: {type(part).__name__}."
        )
    element = part.element_spec
    if not isinstance(element, tuple) or len(element) != 2 or isinstance(element[0], dict | tuple):
        raise DataError(
            f"data: expected examples (inputs, targets) of one tensor each. Received: {element}."
        )
    if part.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise DataError("data: this tf.data.Dataset has no end. Use .take(n).")
    pairs = list((part if _is_batched(element, model) else part.batch(1024)).as_numpy_iterator())
    if not pairs:
        raise DataError("data: this tf.data.Dataset is empty.")
    return np.concatenate([x for x, _ in pairs]), np.concatenate([y for _, y in pairs])


def _is_batched(element: Any, model: keras.Model | None) -> bool:
    """Says whether the first axis of a dataset's elements is a batch."""
    inputs, targets = element
    if model is not None and model.inputs:
        return inputs.shape.rank == len(model.inputs[0].shape)
    if targets.shape.rank is not None and targets.shape.rank > 0:
        return inputs.shape[0] is None or inputs.shape[0] == targets.shape[0]
    return False


def _target_spec(arrays: Mapping[str, Any], model: keras.Model | None) -> tuple[Spec, Any]:
    """Returns the spec of the targets, and how they are brought into its form."""
    targets = arrays["train"][1]
    if targets.ndim == 2 and targets.shape[1] == 1:
        flat: Any = lambda y: y.reshape(-1)  # noqa: E731
        inner = {split: (x, y.reshape(-1)) for split, (x, y) in arrays.items()}
        spec, then = _target_spec(inner, model)
        return spec, lambda y: then(flat(y))
    if targets.dtype.kind == "f" and not (
        targets.ndim == 2 and set(np.unique(targets)) <= {0.0, 1.0}
    ):
        names = [f"target_{i}" for i in range(targets.shape[1] if targets.ndim == 2 else 1)]
        spec = number_spec(targets.reshape(len(targets), -1).astype("float64"), names)
        shape = () if targets.ndim == 1 else targets.shape[1:]
        return Spec(**{**spec.to_json(), "shape": shape}), lambda y: y.astype("float32")
    if targets.ndim == 2 and (targets.sum(axis=1) == 1).all():  # one-hot
        classes = tuple(str(i) for i in range(targets.shape[1]))
        return Spec((), "int32", class_names=classes), lambda y: y.argmax(axis=1).astype("int32")
    if targets.ndim == 2:
        labels = tuple(f"label_{i}" for i in range(targets.shape[1]))
        return Spec((len(labels),), "float32", class_names=labels), lambda y: y.astype("float32")
    if targets.dtype.kind not in "iub":
        raise DataError(f"data: expected targets of integers or floats. Received: {targets.dtype}.")
    lowest = min(int(y.min()) for _, y in arrays.values())
    if lowest < 0:
        raise DataError(f"data: class indices begin at 0. Received: {lowest}.")
    count = max(int(y.max()) for _, y in arrays.values()) + 1
    units = model.output_shape[-1] if model is not None else count
    if units < count and units != 1:
        raise ConfigError(
            f"The model {model.name!r} gives {units} scores, and the targets have {count} classes."  # type: ignore[union-attr]
        )
    classes = tuple(str(i) for i in range(max(count, units, 2)))
    return Spec((), "int32", class_names=classes), lambda y: y.astype("int32")

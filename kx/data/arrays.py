"""Data that lies in arrays: NumPy's files, and what else is read into arrays."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kx.data.images import image_data, normalization
from kx.data.specs import Data, Finding, Spec
from kx.data.splits import fingerprint, split_indices
from kx.data.tables import number_spec
from kx.errors import ConfigError, DataError, did_you_mean, first_line

_FEW = 20  # values of whole numbers, that could be classes


def arrays(
    path: str,
    *,
    inputs: str = "x_train",
    targets: str = "y_train",
    test_inputs: str = "x_test",
    test_targets: str = "y_test",
    class_names: Sequence[str] | None = None,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.2,
    normalize: str = "standardize",
    limit: int | None = None,
    split_seed: int = 0,
    fold: Mapping[str, Any] | None = None,
) -> Data:
    """Loads NumPy arrays: an `.npz` file, as Keras's own data sets are, or a folder of `.npy`.

    Args:
        path: the `.npz` file, or the folder.
        inputs: name of the array of inputs, its first axis the examples: in the file, or of
            the `.npy` in the folder. Images are uint8 `(n, height, width[, 1 or 3])`.
        targets: name of the array of targets: whole numbers are classes, others are
            numbers to predict.
        test_inputs: likewise, of a test split of its own, if the name is there.
        test_targets: likewise.
        class_names: one for each class. None is the numbers themselves.
        validation_fraction: part of what is not test.
        test_fraction: part of all, where there is no test split.
        normalize: as in `kx.data.images.normalization`; of floats `"standardize"` or
            `"none"`.
        limit: at most this many to train and validate on, and to test; balanced.
        split_seed: which examples go where.
        fold: of a cross-validation, that validates: `{number: 2, of: 5}`; or, with
            `split: test`, that tests.

    Returns:
        Of uint8 images, raw examples are PNG bytes; of other arrays, rows of the array.

    Raises:
        DataError: if a file or array is not there, or holds NaN, or labels out of range.
    """
    where = Path(path).expanduser().absolute()
    found = _read_arrays(where, (inputs, targets, test_inputs, test_targets))
    pairs = [(inputs, targets)]
    if test_inputs in found and test_targets in found:
        pairs.append((test_inputs, test_targets))
    for x, y in pairs:
        for name in (x, y):
            if not found[name].ndim:
                raise DataError(f"{where}: {name} is a single number. Expected an array.")
        if len(found[x]) != len(found[y]):
            raise DataError(f"{where}: {x} has {len(found[x])} examples, and {y} {len(found[y])}.")
        for name in (x, y):
            _refuse_nan(found[name], f"{where}: {name}")
    kinds = [f"{found[x].dtype} of shape {found[x].shape[1:]}" for x, _ in pairs]
    if len({(found[x].dtype == np.uint8, found[x].shape[1:]) for x, _ in pairs}) > 1:
        raise DataError(
            f"{where}: {inputs} has examples of {kinds[0]}, and {test_inputs} of {kinds[1]}."
        )
    return array_data(
        np.concatenate([found[x] for x, _ in pairs]),
        np.concatenate([_one_column(found[y]) for _, y in pairs]),
        num_own=len(found[inputs]),
        class_names=class_names,
        normalize=normalize,
        name=where.stem,
        source=str(where),
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        limit=limit,
        split_seed=split_seed,
        fold=fold,
    )


def _read_arrays(where: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Returns the named ones of the arrays of an `.npz` file, or of the `.npy` files of a folder.

    Raises:
        DataError: if the first two are not there, or what is there cannot be read.
    """
    if where.is_dir():
        files = {path.stem: path for path in sorted(where.glob("*.npy"))}
        if not files:
            raise DataError(f"{where}: there is no .npy file in this folder.")
        _require(names[:2], files, where)
        return {name: _load(path) for name, path in files.items() if name in names}
    if not where.is_file():
        raise DataError(f"data.path: there is no file {where}.")
    loaded = _load(where)
    if isinstance(loaded, np.ndarray):
        raise DataError(
            f"{where} holds one array. Expected an .npz file with inputs and targets, or a folder"
            " of .npy files."
        )
    _require(names[:2], loaded.files, where)
    try:
        return {name: loaded[name] for name in loaded.files if name in names}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{where}: {first_line(error)}") from error


def _require(names: Sequence[str], there: Iterable[str], where: Path) -> None:
    for name in names:
        if name not in there:
            raise DataError(f"{where}: no array {name!r}. {did_you_mean(name, there, 'Arrays')}")


def _load(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: is no file of NumPy's arrays: {first_line(error)}") from error


def _refuse_nan(values: np.ndarray, name: str) -> None:
    if values.dtype.kind not in "biuf":
        raise DataError(f"{name}: expected numbers. Received: {values.dtype}.")
    if 0 in values.shape:
        raise DataError(f"{name}: it is empty: its shape is {values.shape}.")
    with np.errstate(over="ignore"):
        values = values.astype("float32") if values.dtype.kind == "f" else values  # as is trained
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        bad = np.argwhere(~np.isfinite(values))
        at = tuple(bad[0].tolist())
        raise DataError(
            f"{name}: {len(bad)} values are NaN or infinite (in float32), the first at {at}."
        )


def _one_column(targets: np.ndarray) -> np.ndarray:
    """Returns targets of shape `(n,)`, also of `(n, 1)`, as Keras's CIFAR-10 has them."""
    return targets[:, 0] if targets.ndim == 2 and targets.shape[1] == 1 else targets


def array_data(
    inputs: np.ndarray,
    targets: np.ndarray,
    *,
    num_own: int,
    class_names: Sequence[str] | None,
    normalize: str,
    name: str,
    source: str,
    validation_fraction: float,
    test_fraction: float,
    limit: int | None,
    split_seed: int,
    fold: Mapping[str, Any] | None,
) -> Data:
    """Returns the `Data` of arrays, of which those from `num_own` on are the test split.

    Args:
        inputs: its first axis the examples; images are uint8.
        targets: shape `(num_examples,)`; whole numbers are classes.
        num_own: number of examples that are not of a test split of their own.
        class_names: one for each class. None is the numbers themselves.
        normalize: as in `kx.data.images.normalization`.
        name: of the set.
        source: where it came from.
        validation_fraction: part of what is not test.
        test_fraction: part of all, where there is no test split.
        limit: at most this many to train and validate on, and to test; balanced.
        split_seed: which examples go where.
        fold: of a cross-validation, as in `split_indices`.
    """
    if targets.ndim != 1:
        raise DataError(
            f"{source}: expected one target for each example. Received: shape {targets.shape}."
        )
    classes = targets.dtype.kind in "biu"
    names = _names_of_classes(targets, class_names, source) if classes else None
    if names is not None and class_names is None:
        _refuse_gaps(targets[:num_own], len(names), source)
    parts = split_indices(
        targets,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        num_own=num_own,
        limit=limit,
        split_seed=split_seed,
        stratify=classes,
        fold=fold,
    )
    if inputs.dtype == np.uint8 and inputs.ndim in (3, 4) and names is not None:
        images = inputs[..., None] if inputs.ndim == 3 else inputs
        if images.shape[-1] in (1, 3):
            return image_data(
                _as_png(images), targets, parts, shape=images.shape[1:], class_names=names,
                normalize=normalize, name=name, source=source,
            )  # fmt: skip
    return _data_of_numbers(
        inputs, targets, parts, class_names=names, normalize=normalize, name=name, source=source
    )


def _data_of_numbers(
    inputs: np.ndarray,
    targets: np.ndarray,
    parts: Mapping[str, np.ndarray],
    *,
    class_names: tuple[str, ...] | None,
    normalize: str,
    name: str,
    source: str,
) -> Data:
    """Returns the `Data` of arrays that are no images: raw examples are as prepared ones."""
    if normalize not in ("standardize", "none"):
        raise ConfigError(
            f"data.normalize={normalize} is for images of uint8. These examples are"
            f" {inputs.dtype} of shape {inputs.shape[1:]}: standardize, or none."
        )
    values = inputs.astype("float32")
    dtype = "float32" if class_names is None else "int32"

    def split(part: str) -> tf.data.Dataset | None:
        if part not in parts:
            return None
        columns: Any = (values[parts[part]], targets[parts[part]].astype(dtype))
        return tf.data.Dataset.from_tensor_slices(columns)

    if values.ndim == 1:
        raise DataError(f"{source}: expected examples of one axis or more. Received: numbers.")
    spec = (
        Spec((), "int32", class_names=class_names)
        if class_names is not None
        else number_spec(targets[parts["train"], None], ["target"])
    )
    return Data(
        train=split("train"),
        validation=split("validation"),
        test=split("test"),
        inputs=Spec(values.shape[1:], "float32"),
        targets=spec,
        normalize=normalization(normalize),
        kind="array",
        name=name,
        source=source,
        fingerprint=fingerprint(values, targets, *[v for _, v in sorted(parts.items())]),
        positions=parts,
        findings=_doubts(inputs, targets, classes=class_names is not None),
    )


def _doubts(inputs: np.ndarray, targets: np.ndarray, *, classes: bool) -> tuple[Finding, ...]:
    """Tells what of arrays may be meant otherwise than it is taken."""
    found = []
    if inputs.ndim == 4 and inputs.shape[1] in (1, 3) and inputs.shape[-1] not in (1, 3):
        text = "images with channels first? Expected (n, height, width, channels): moveaxis(1, -1)"
        found.append(Finding("inputs", "kept", f"shape {inputs.shape}: {text}"))
    elif inputs.ndim >= 3 and inputs.dtype.kind in "iu" and 0 <= inputs.min() <= inputs.max() < 256:
        text = "are taken as numbers. Images are uint8: astype('uint8')"
        found.append(Finding("inputs", "kept", f"{inputs.dtype} from 0 to 255 {text}"))
    if not classes and len(values := np.unique(targets)) <= _FEW and not (values % 1).any():
        text = "are numbers to predict. Classes are integers: astype('int64')"
        found.append(Finding("targets", "kept", f"{targets.dtype} of {len(values)} values {text}"))
    return tuple(found)


def _names_of_classes(
    targets: np.ndarray, class_names: Sequence[str] | None, source: str
) -> tuple[str, ...]:
    if not len(targets):
        raise DataError(f"{source}: there is no example.")
    count = len(class_names) if class_names is not None else int(targets.max()) + 1
    bad = np.flatnonzero((targets < 0) | (targets >= count))
    if len(bad):
        raise DataError(
            f"{source}: expected classes from 0 to {count - 1}. Received: {len(bad)} others, the"
            f" first of example {bad[0]}: {targets[bad[0]]}."
        )
    if class_names is not None:
        return tuple(class_names)
    if count > 2 * len(targets):  # numbers of other things: not one name for each
        _refuse_gaps(targets, count, source)
    return tuple(map(str, range(count)))


def _refuse_gaps(targets: np.ndarray, count: int, source: str) -> None:
    """Refuses class numbers up to one that is out of range: they would be classes of the model."""
    there = np.unique(targets)
    if len(there) < count:
        first = range(min(count, len(there) + 5))  # five of the absent ones are among these
        absent = np.setdiff1d(first, there)[:5]
        raise DataError(
            f"{source}: the classes are numbered up to {count - 1}, and {count - len(there):,} of"
            f" them have no example to train on: {', '.join(map(str, absent))}"
            f"{' …' if count - len(there) > 5 else ''}. Number them from 0 on without gaps; or, if"
            " all are meant, give each a name: data.class_names=[…]. Numbers to predict are floats:"
            " astype('float32')."
        )


def _as_png(images: np.ndarray) -> list[bytes]:
    """Returns images as PNG: a raw example is a file's bytes, as `predict` takes them."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda image: tf.io.encode_png(image).numpy(), images))

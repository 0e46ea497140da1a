"""Examples of NumPy files, `.npz` and `.npy`, and checks of arrays."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kx.contracts.examples import Examples
from kx.contracts.specs import DataIssue
from kx.data.sources.arrays.array_data import array_examples
from kx.data.sources.delimited import find_file
from kx.errors import DataError, did_you_mean, first_line
from kx.paths import expanded
from kx.types import Normalization


def arrays(
    path: str,
    *,
    inputs: str = "x_train",
    targets: str = "y_train",
    test_inputs: str | None = "x_test",
    test_targets: str | None = "y_test",
    class_names: Sequence[str] | None = None,
    normalize: Normalization = "standardize",
) -> Examples:
    """Loads NumPy arrays from an `.npz` file, as Keras's data sets are, or a folder of `.npy`.

    Args:
        path: Path to the `.npz` file, or to the folder.
        inputs: Name of the array of inputs in the file, or of its `.npy` file in the folder. The
            first axis is the examples; images are uint8 `(n, height, width[, 1 or 3])`. Defaults
            to `"x_train"`.
        targets: Name of the array of targets; integers are classes, floats are numbers to
            predict. Defaults to `"y_train"`.
        test_inputs: Name of the array of inputs of the test split, or None: no test split of its
            own. Defaults to `"x_test"`, if there is such an array.
        test_targets: Name of the array of targets of the test split, or None. Defaults to
            `"y_test"`, if there is such an array.
        class_names: Name of each class. Defaults to None: the class numbers.
        normalize: As in `kx.data.sources.images.pixels.normalization`; for floats `"standardize"`
            or `"none"`. Defaults to `"standardize"`.

    Returns:
        Raw examples of uint8 images are PNG bytes; those of other arrays are their rows.

    Raises:
        DataError: If a file or array is missing, or has NaN or labels out of range.
    """
    where = expanded(path).absolute()
    wanted = [name for name in (inputs, targets, test_inputs, test_targets) if name is not None]
    # The arrays of the test split may be missing if their names are the defaults.
    absent = {"x_test", "y_test"} & {test_inputs, test_targets}
    found, left = _read_arrays(where, wanted, [name for name in wanted if name not in absent])
    pairs = [(inputs, targets)]
    if {test_inputs, test_targets} <= set(found):
        pairs.append((str(test_inputs), str(test_targets)))
    elif test_inputs in found or test_targets in found:
        there, missing = (test_inputs, test_targets)[:: 1 if test_inputs in found else -1]
        raise DataError(
            f"{where}: {there} is there, and {missing} is not. Name both (data.test_inputs,"
            " data.test_targets), or leave a test split of its own out: data.test_inputs=null"
            " data.test_targets=null"
        )
    for x, y in pairs:
        for name in (x, y):
            if not found[name].ndim:
                raise DataError(f"{where}: {name} is a single number. Expected an array.")
        if len(found[x]) != len(found[y]):
            raise DataError(f"{where}: {x} has {len(found[x])} examples, and {y} {len(found[y])}.")
        for name in (x, y):
            check_numbers(found[name], f"{where}: {name}")
    kinds = [f"{found[x].dtype} of shape {found[x].shape[1:]}" for x, _ in pairs]
    if len({(found[x].dtype == np.uint8, found[x].shape[1:]) for x, _ in pairs}) > 1:
        raise DataError(
            f"{where}: {inputs} has examples of {kinds[0]}, and {test_inputs} of {kinds[1]}."
        )
    examples = array_examples(
        np.concatenate([found[x] for x, _ in pairs]),
        np.concatenate([_one_column(found[y]) for _, y in pairs]),
        num_own=len(found[inputs]),
        class_names=class_names,
        normalize=normalize,
        name=where.stem,
        source=str(where),
        target_sources=[f"{where}: {y}" for _, y in pairs],
    )
    if left:
        text = "no key names them: data.inputs, data.targets, data.test_inputs, data.test_targets"
        examples.issues += (DataIssue(", ".join(left), "left out", text),)
    return examples


def _read_arrays(
    where: Path, names: Sequence[str], required: Sequence[str]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Returns the named arrays of an `.npz` file or a folder, and the names of the other ones.

    Raises:
        DataError: If a required array is missing, or an array cannot be read.
    """
    if os.path.isdir(where):
        files = {path.stem: path for path in sorted(where.glob("*.npy"))}
        if not files:
            raise DataError(f"{where}: there is no .npy file in this folder.")
        _require(required, files, where)
        found = {name: load_numpy(path) for name, path in files.items() if name in names}
        return found, [name for name in files if name not in names]
    loaded = load_numpy(find_file(where, "data.path"))
    if isinstance(loaded, np.ndarray):
        raise DataError(
            f"{where} holds one array. Expected an .npz file with inputs and targets, or a folder"
            " of .npy files."
        )
    _require(required, loaded.files, where)
    found = {name: load_member(loaded, name, where) for name in loaded.files if name in names}
    return found, [name for name in loaded.files if name not in names]


def _require(names: Sequence[str], there: Iterable[str], where: Path) -> None:
    for name in names:
        if name not in there:
            raise DataError(f"{where}: no array {name!r}. {did_you_mean(name, there, 'Arrays')}")


def load_member(loaded: Any, name: str, where: Path) -> np.ndarray:
    """Returns an array of an `.npz` file that `load_numpy` opened.

    Args:
        loaded: Open `.npz` file.
        name: Name of the array.
        where: Path to the file, for messages.

    Raises:
        DataError: If the array cannot be read.
    """
    try:
        array = loaded[name]
        if not isinstance(array, np.ndarray):
            raise DataError(f"{where}: {name} is no array. Expected what np.savez writes.")
        return array
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{where}: {_reason(error)}") from error


def load_numpy(path: Path) -> Any:
    """Returns the array of an `.npy` file, or an open `.npz` file.

    Args:
        path: Path to the file.

    Raises:
        DataError: If the file is neither.
    """
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: expected a file of NumPy arrays (.npy or .npz): {_reason(error)}"
        ) from error


def _reason(error: Exception) -> str:
    """Returns NumPy's reason, without its advice to allow pickles, which run code of the file."""
    if "allow_pickle" in str(error):
        return "it holds Python objects, or is something else; expected numbers"
    return first_line(error)


def check_numbers(values: np.ndarray, name: str) -> None:
    """Refuses an array that is empty, is not numeric, or has NaN or infinite values.

    Args:
        values: Array.
        name: Name of the array, for messages.

    Raises:
        DataError: If the array is refused.
    """
    if values.dtype.kind not in "biuf":
        raise DataError(
            f"{name}: expected numbers. Received: {values.dtype}. Columns of numbers in objects:"
            " astype('float32'). Names are classes by np.unique(y, return_inverse=True)[1]."
        )
    if 0 in values.shape:
        raise DataError(f"{name}: it is empty: its shape is {values.shape}.")
    with np.errstate(over="ignore"):
        values = values.astype("float32") if values.dtype.kind == "f" else values  # as in training
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        bad = np.argwhere(~np.isfinite(values))
        at = tuple(bad[0].tolist())
        raise DataError(
            f"{name}: {len(bad)} values are NaN or infinite (in float32), the first at {at}."
        )


def _one_column(targets: np.ndarray) -> np.ndarray:
    """Returns targets of shape `(n, 1)`, as Keras's CIFAR-10 has them, in shape `(n,)`."""
    return targets[:, 0] if targets.ndim == 2 and targets.shape[1] == 1 else targets

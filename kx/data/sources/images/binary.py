"""Binary files of well-known data sets: idx files of MNIST, and batches of CIFAR-10."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kx.contracts.examples import Examples
from kx.data.sources.arrays.array_data import array_examples
from kx.errors import DataError, first_line
from kx.paths import expanded
from kx.types import Normalization

_CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_CIFAR10_RECORD = 1 + 3 * 32 * 32  # bytes of a record: the class, then red, green and blue
_IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MOST_AXES = 4  # those of images with channels; with more, the header is damaged
_IDX_FILES = {
    "train": ("train-images", "train-labels"),
    "test": ("t10k-images", "t10k-labels"),
}


def idx(
    root: str,
    *,
    class_names: Sequence[str] | None = None,
    normalize: Normalization = "unit",
) -> Examples:
    """Loads the idx files of MNIST: images and labels, uncompressed or gzipped.

    Args:
        root: Path to the folder with `train-images…`, `train-labels…`, `t10k-images…` and
            `t10k-labels…`: MNIST, Fashion-MNIST or KMNIST.
        class_names: Name of each class. Defaults to None: the class numbers.
        normalize: As in `kx.data.sources.images.pixels.normalization`. Defaults to `"unit"`.

    Raises:
        DataError: If a file is missing, is not an idx file, or is truncated.

    Source: LeCun, Cortes & Burges, "The MNIST database", the idx format.
    """
    folder = expanded(root).absolute()
    read, label_files = {}, []
    for part, stems in _IDX_FILES.items():
        paths = [_idx_file(folder, stem) for stem in stems]
        images, labels = map(_idx_of, paths)
        label_files.append(str(paths[1]))
        if len(images) != len(labels):
            raise DataError(f"{folder}: {len(images)} {part} images, and {len(labels)} labels.")
        read[part] = images, labels
    return array_examples(
        np.concatenate([read["train"][0], read["test"][0]]),
        np.concatenate([read["train"][1], read["test"][1]]),
        num_own=len(read["train"][0]),
        class_names=class_names,
        normalize=normalize,
        name=folder.name,
        source=str(folder),
        target_sources=label_files,
    )


def cifar10_binary(root: str, *, normalize: Normalization = "unit") -> Examples:
    """Loads the binary batches of the original CIFAR-10 archive.

    Args:
        root: Path to the folder with `data_batch_1.bin` … and `test_batch.bin`.
        normalize: As in `kx.data.sources.images.pixels.normalization`. Defaults to `"unit"`.

    Raises:
        DataError: If a file is missing, is truncated, or has a class above 9.

    Source: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images".
    """
    folder = expanded(root).absolute()
    batches = sorted(folder.glob("data_batch_*.bin"))
    test = folder / "test_batch.bin"
    if not batches or not test.is_file():
        raise DataError(
            f"{folder}: expected data_batch_1.bin … and test_batch.bin, the binary version of"
            f" CIFAR-10. Received: {_names_in(folder)}."
        )
    read = [_cifar10_batch(path) for path in (*batches, test)]
    return array_examples(
        np.concatenate([images for images, _ in read]),
        np.concatenate([labels for _, labels in read]),
        num_own=sum(len(labels) for _, labels in read[:-1]),
        class_names=_CIFAR10_CLASSES,
        normalize=normalize,
        name="cifar10",
        source=str(folder),
    )


def _cifar10_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    content = np.frombuffer(path.read_bytes(), "uint8")
    if not len(content):
        raise DataError(f"{path}: the file is empty.")
    if len(content) % _CIFAR10_RECORD:
        raise DataError(
            f"{path}: expected whole records of {_CIFAR10_RECORD:,} bytes. Received:"
            f" {len(content):,} bytes, {len(content) / _CIFAR10_RECORD:.2f} records: it is cut."
        )
    records = content.reshape(-1, _CIFAR10_RECORD)
    labels = records[:, 0]
    if labels.max() >= len(_CIFAR10_CLASSES):
        bad = int(np.argmax(labels >= len(_CIFAR10_CLASSES)))
        raise DataError(
            f"{path}: record {bad} has the class {labels[bad]}. Expected 0 to 9: is this the binary"
            " version of CIFAR-10?"
        )
    return records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels.astype("int64")


def read_idx(path: Path) -> np.ndarray:
    """Returns the array of an idx file, gzipped or not.

    Args:
        path: Path to the file.

    Raises:
        DataError: If the file is not an idx file, or is truncated.
    """
    try:
        opener = gzip.open if path.read_bytes()[:2] == b"\x1f\x8b" else open
        with opener(path, "rb") as file:
            content = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {first_line(error)}") from error
    magic = content[:4]
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _IDX_DTYPES or (
        not 1 <= magic[3] <= _MOST_AXES
    ):  # fmt: skip
        raise DataError(
            f"{path}: expected an idx file: two zeros, a type ({', '.join(map(hex, _IDX_DTYPES))})"
            f" and the number of axes, 1 to {_MOST_AXES}. Received:"
            f" {magic.hex(' ') or 'an empty file'}."
        )
    start = 4 + 4 * magic[3]
    if len(content) < start:
        raise DataError(
            f"{path}: expected a header of {start} bytes, for {magic[3]} axes. Received:"
            f" {len(content)} bytes: it is cut."
        )
    shape = tuple(np.frombuffer(content[4:start], ">u4").tolist())
    dtype = np.dtype(_IDX_DTYPES[magic[2]])
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise DataError(
            f"{path}: expected {expected:,} bytes for shape {shape}. Received: {len(content):,}:"
            f" it is {'cut' if len(content) < expected else 'longer than it says'}."
        )
    values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="))


def _idx_of(path: Path) -> np.ndarray:
    """Returns images or labels, by the name of the file.

    Raises:
        DataError: If the number of axes does not fit the name.
    """
    values = read_idx(path)
    of_labels = "labels" in path.name
    if (values.ndim == 1) != of_labels:
        raise DataError(
            f"{path}: expected {'labels, of one axis' if of_labels else 'images'}. Received: shape"
            f" {values.shape}: has it the name of another file?"
        )
    return values


def _idx_file(folder: Path, stem: str) -> Path:
    # Only files: Kaggle's MNIST also has folders of these names.
    found = sorted(p for p in folder.glob(f"{stem}*") if p.is_file()) if folder.is_dir() else []
    if not found:
        raise DataError(
            f"{folder}: there is no file {stem}… (idx, or idx.gz). Received: {_names_in(folder)}."
        )
    return found[0]


def _names_in(folder: Path) -> str:
    """Returns the names in a folder, for messages."""
    if not folder.is_dir():
        return "no such folder"
    return ", ".join(sorted(p.name for p in folder.iterdir())[:20]) or "an empty folder"

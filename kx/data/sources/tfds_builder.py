"""Finds and prepares data sets of TensorFlow Datasets, or says what to do without a network."""

from __future__ import annotations

import os
import socket
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kx.errors import DataError, did_you_mean, first_line
from kx.paths import expanded

if TYPE_CHECKING:
    import tensorflow as tf


def prepared_builder(name: str, data_dir: str | None, download: bool) -> Any:
    """Returns the builder of a data set of TensorFlow Datasets, its data prepared.

    Args:
        name: TFDS name, optionally with a config or version.
        data_dir: Path to the folder of prepared data sets, or None for that of TFDS.
        download: Whether to download and prepare a data set that is missing.

    Raises:
        DataError: If it is missing and cannot be downloaded.
    """
    os.environ.setdefault("NO_GCE_CHECK", "true")  # else, offline, TFDS waits for Google's server
    import tensorflow_datasets as tfds

    folder = None if data_dir is None else str(expanded(data_dir).absolute())
    where = folder or str(tfds.core.constants.DATA_DIR)
    tried = f"looked for a prepared copy in {where}"
    try:
        builder = tfds.builder(name, data_dir=folder, try_gcs=False)
    except tfds.core.registered.DatasetNotFoundError as error:
        known = tfds.list_builders(with_community_datasets=False)
        raise DataError(
            f"TensorFlow Datasets has no set {name!r} (data.name), and there is no prepared copy"
            f" in {where}. {did_you_mean(name, known, 'Sets').split(' Sets:')[0]}"
            " All names: https://www.tensorflow.org/datasets/catalog/overview"
        ) from error
    except (AssertionError, ValueError) as error:
        raise DataError(f"data.name={name}: {str(error).strip() or 'no such version'}") from error
    if _is_prepared(builder):
        return builder
    if not download:
        raise DataError(_not_available(name, where, tried, "data.download=false forbids to fetch"))
    if offline := _unreachable_host(builder):
        raise DataError(_not_available(name, where, tried, f"no network: {offline} is not found"))
    try:
        config = tfds.download.DownloadConfig(try_download_gcs=False)
        builder.download_and_prepare(download_config=config)
    except Exception as error:  # TFDS raises any error of its network library
        problem = f"{type(error).__name__}: {first_line(error)}"
        raise DataError(
            _not_available(name, where, tried, f"tried to download it: {problem[:300]}")
        ) from error
    return builder


def dataset_of(builder: Any, split: str, **options: Any) -> tf.data.Dataset:
    """Returns a split of a prepared data set, in a fixed order.

    Args:
        builder: Builder of `prepared_builder`.
        split: TFDS split, which may be a slice.
        **options: Further arguments of `as_dataset`, such as decoders.

    Raises:
        DataError: If there is no such split.
    """
    import tensorflow_datasets as tfds

    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    try:
        return builder.as_dataset(split=split, shuffle_files=False, read_config=config, **options)
    except (ValueError, AssertionError) as error:
        own = ", ".join(builder.info.splits)
        raise DataError(
            f"{builder.name} has no split {split!r}. Available: {own} (slices too: train[:50%])."
            f" {error}"
        ) from error


def _is_prepared(builder: Any) -> bool:
    return bool(builder.info.splits) and Path(str(builder.data_dir)).is_dir()


def _unreachable_host(builder: Any) -> str | None:
    """Returns a host of the data set that cannot be resolved, or None.

    Checked before a download, since TFDS retries for minutes.
    """
    if urllib.request.getproxies():
        return None  # the proxy resolves hosts
    for url in getattr(builder, "url_infos", None) or {}:
        host = urllib.parse.urlsplit(str(url)).hostname
        if not host:
            continue
        try:
            socket.getaddrinfo(host, 443)
        except OSError:
            return host
    return None


def _not_available(name: str, where: str, *tried: str) -> str:
    absent = "" if os.path.isdir(os.path.expanduser(where)) else " (which does not exist yet)"
    steps = "\n".join(f"  - {step}" for step in tried)
    return (
        f"The data set {name!r} is not on this machine.\nWhat was done:\n{steps}\n"
        "Ways out:\n"
        f"  - with a network, the same command fetches it into {where}{absent}\n"
        f"  - on another machine: python -m tensorflow_datasets.scripts.cli.main build {name},"
        " then copy ~/tensorflow_datasets here\n"
        "  - if you have a prepared copy: data.data_dir=FOLDER (the one that holds"
        f" {name.partition(':')[0].partition('/')[0]}/)\n"
        "  - train on data that needs no download: data=digits"
    )

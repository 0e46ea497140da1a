"""Settings of the whole process: its Keras backend, and the logs of C++ and TensorFlow."""

from __future__ import annotations

import gc
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from kx.errors import ConfigError, MissingExtraError

_OF_TENSORFLOW = re.compile(rb"[IWEF]\d{4} |WARNING: All log messages before absl")


@contextmanager
def hidden_stderr(*, all_of_it: bool = True) -> Iterator[None]:
    """Hides what C++ code writes to standard error, unless the block raises an exception.

    Args:
        all_of_it: Whether to hide everything, including Python's output. If False, lines that do
            not belong to TensorFlow's log are printed at the end. Defaults to True.
    """
    sys.stderr.flush()
    own = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except BaseException:
            hidden.seek(0)
            os.write(own, hidden.read())
            hidden.truncate(0)
            raise
        finally:
            sys.stderr.flush()
            os.dup2(own, 2)
            if not all_of_it:
                hidden.seek(0)
                os.write(2, b"".join(line for line in hidden if not _OF_TENSORFLOW.match(line)))
            os.close(own)


def choose_backend(name: str) -> None:
    """Sets the backend that Keras uses in this process.

    Args:
        name: Name of the backend: `"tensorflow"` or `"jax"`.

    Raises:
        ConfigError: If Keras is already imported with another backend.
        MissingExtraError: If the backend is JAX and JAX is not installed.
    """
    keras = sys.modules.get("keras")
    if keras is not None and keras.backend.backend() != name:
        raise ConfigError(
            f"backend={name}: this process has Keras on {keras.backend.backend()}, for good. Take a"
            f" fresh process, or set KERAS_BACKEND={name} before Keras is imported."
        )
    if name == "jax" and importlib.util.find_spec("jax") is None:
        raise MissingExtraError('backend=jax needs JAX; it is not installed: pip install "kx[jax]"')
    os.environ["KERAS_BACKEND"] = name


def import_quietly() -> None:
    """Imports TensorFlow and hides its start-up messages.

    They come from C++ before its logging can be configured. A log level that the
    user has set takes precedence: then nothing is hidden or imported.
    """
    if quiet_log_level():
        with hidden_stderr(), without_collections():
            import tensorflow as tf

            tf.config.list_physical_devices()


@contextmanager
def without_collections() -> Iterator[None]:
    """Pauses Python's garbage collection, for large imports.

    Imports make objects that stay: to search them for garbage takes a seventh of the time of
    TensorFlow's import.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def quiet_log_level() -> bool:
    """Sets TensorFlow's log level to errors, unless the user has set another one.

    Returns:
        Whether the log level is 3 (errors only) now. A level of 1 counts as not set, since
        TensorFlow itself sets it.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") not in ("1", "3"):
        return False
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    return True


@contextmanager
def quiet_first_steps() -> Iterator[None]:
    """Hides TensorFlow's messages about its op definitions, logged when it first reads examples.

    A log level that the user has set takes precedence.
    """
    if not quiet_log_level():
        yield
        return
    with hidden_stderr(all_of_it=False):
        yield


@contextmanager
def quiet_saving() -> Iterator[None]:
    """Hides TensorFlow's messages about a SavedModel's files, whose folder kx prints itself."""
    import logging

    import tensorflow as tf

    logger = tf.get_logger()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)

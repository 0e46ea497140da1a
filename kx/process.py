"""What holds for the whole process: its backend, and what C++ and TensorFlow say in it."""

from __future__ import annotations

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
    """Hides what C++ says on standard error; if an exception passes, all is shown.

    Args:
        all_of_it: whether what Python says is hidden, too. Without it, what is no line of
            TensorFlow's log is shown at the end.
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
    """Sets the backend with which Keras is imported in this process.

    Args:
        name: `"tensorflow"` or `"jax"`.

    Raises:
        ConfigError: if Keras is imported already, with another one.
        MissingExtraError: if it is not installed.
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
    """Imports TensorFlow without the lines that it says at its start.

    They come from C++ before its logging can be set. A log level that the user
    has set wins.
    """
    if quiet_log_level():
        with hidden_stderr():
            import tensorflow as tf

            tf.config.list_physical_devices()


def quiet_log_level() -> bool:
    """Sets TensorFlow's log level to errors, if the user has not; says whether it is that.

    TensorFlow itself sets 1 where nothing is set.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") not in ("1", "3"):
        return False
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    return True


@contextmanager
def quiet_first_steps() -> Iterator[None]:
    """Hides what TensorFlow says once of its own op definitions, when it first reads examples.

    A log level that the user has set wins.
    """
    if not quiet_log_level():
        yield
        return
    with hidden_stderr(all_of_it=False):
        yield


@contextmanager
def quiet_saving() -> Iterator[None]:
    """Hides where TensorFlow writes the files of a SavedModel, which kx says itself."""
    import logging

    import tensorflow as tf

    logger = tf.get_logger()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)

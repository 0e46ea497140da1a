"""One run in this process."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from kx.config import Composed
from kx.launch.signals import stoppable


@contextmanager
def hidden_stderr() -> Iterator[None]:
    """Hides what C++ says on standard error; if an exception passes, all is shown."""
    sys.stderr.flush()
    own = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except BaseException:
            hidden.seek(0)
            os.write(own, hidden.read())
            raise
        finally:
            os.dup2(own, 2)
            os.close(own)


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
    """Sets TensorFlow's log level to errors, if the user has not; says whether it is that."""
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "3":
        return False
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    return True


def run_here(job: Composed) -> int:
    """Runs a composed config in this process, and returns the exit code."""
    from kx.tracking.records import finished_record

    done = finished_record(job)
    if done is not None:
        from kx.commands.ending import show_finished

        show_finished(done)
        return 0
    with stoppable():
        import_quietly()
        from kx.commands.ending import show_end
        from kx.training import train

        show_end(train(job))
    return 0

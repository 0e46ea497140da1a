"""Where runs execute: this process for one, a fresh process for each job of a sweep."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile

from omegaconf import OmegaConf

from kx.config import Composed, add_project_to_path


def import_quietly() -> None:
    """Imports TensorFlow without the lines that it says at its start.

    They come from C++ before its logging can be set. A log level that the user
    has set wins; if the import fails, all is shown.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "3":
        return
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    sys.stderr.flush()
    own = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        except BaseException:
            hidden.seek(0)
            os.write(own, hidden.read())
            raise
        finally:
            os.dup2(own, 2)
            os.close(own)


def run_jobs(jobs: list[Composed]) -> int:
    """Runs composed configs, and returns the exit code.

    Args:
        jobs: one runs in this process; each of several in a fresh one, in order.
    """
    if len(jobs) == 1:
        _run_one(jobs[0])
        return 0
    context = multiprocessing.get_context("spawn")
    failed = []
    for number, job in enumerate(jobs, 1):
        print(f"--- job {number} of {len(jobs)}: {' '.join(job.overrides)}", flush=True)
        plain = (OmegaConf.to_container(job.config, resolve=False), job.overrides, job.choices)
        process = context.Process(target=_job, args=plain)
        process.start()
        process.join()
        if process.exitcode:
            failed.append(number)
    done = len(jobs) - len(failed)
    print(f"\n{done} of {len(jobs)} jobs finished" + (f"; failed: {failed}" if failed else "."))
    return 1 if failed else 0


def _job(config: dict, overrides: list[str], choices: dict[str, str]) -> None:
    from kx.run import report_errors

    add_project_to_path()
    job = Composed(OmegaConf.create(config), overrides, choices)
    sys.exit(report_errors(lambda: _run_one(job)))


def _run_one(job: Composed) -> None:
    import_quietly()
    from kx.commands.ending import show_end
    from kx.training import train

    show_end(train(job))

"""One run in this process."""

from __future__ import annotations

from kx.config import Composed
from kx.process import choose_backend, import_quietly
from kx.signals import stoppable


def run_here(job: Composed) -> int:
    """Runs a composed config in this process, and returns the exit code."""
    from kx.tracking.records import finished_record

    done = finished_record(job)
    if done is not None:
        from kx.commands.run_summary import show_finished

        show_finished(done)
        return 0
    with stoppable():
        choose_backend(job.config.backend)
        import_quietly()
        from kx.commands.run_summary import show_end
        from kx.strategy import follows
        from kx.training import train

        run = train(job)
        if not follows(job.config):
            show_end(run)
    return 0

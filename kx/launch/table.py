"""Terminal output of a sweep: a live table while it runs, and the results at its end."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kx.console import clock, number, wide_console
from kx.launch.jobs import DONE, FAILED, QUEUED, RUNNING, UNDERWAY, WAITING, Job
from kx.secrets import redact_word

_MAX_ROWS = 30  # of the live table; running jobs come first


class Progress:
    """Shows the progress of a sweep: a live table in a terminal, else one line per event.

    Args:
        jobs: Jobs of the sweep.
        workers: Number of jobs that run at a time.
        console: Console to print to. Defaults to None: standard output.
    """

    def __init__(self, jobs: Sequence[Job], workers: int, console: Console | None = None) -> None:
        self._jobs, self._workers = jobs, workers
        self.console = console or wide_console()
        self._live = Live(
            get_renderable=self._table, console=self.console, refresh_per_second=4, transient=True
        )

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def began(self, job: Job) -> None:
        """Prints that a job has started or is queued, if there is no live table."""
        if not self.console.is_terminal:
            what = "is queued" if job.state == QUEUED else "began"
            where = f" on {job.place}" if job.place else ""
            self._say(f"{self._of_all(job)} {what}{where}: {job.label}")

    def continues(self, job: Job) -> None:
        """Prints that a job continues an earlier run, if there is no live table."""
        if not self.console.is_terminal:
            self._say(f"{self._of_all(job)} continues after epoch {job.epoch}: {job.run_name}")

    def again(self, job: Job, ending: str, max_retries: int) -> None:
        """Prints that a job whose process was lost is run again.

        Args:
            job: The job.
            ending: Description of how its process ended.
            max_retries: Maximum number of retries.
        """
        self._say(
            f"{self._of_all(job)} is run again ({job.retries} of {max_retries}): {job.label}\n"
            f"  {ending}"
        )

    def ended(self, job: Job) -> None:
        """Prints how a job ended, and the error if it failed."""
        name, _ = job.monitor
        if job.state in DONE:
            score = "" if job.score is None else f", {name} {job.score:.4g}"
            said = f"finished in {clock(job.seconds)}{score}"
            self._say(f"{self._of_all(job)} {said}: {job.label}")
            return
        where = f"\n  what it printed: {job.log}" if job.log.exists() else ""
        error = job.error.replace("\n", "\n  ")
        self._say(f"{self._of_all(job)} {job.state}: {job.label}\n  {error}{where}")

    def _of_all(self, job: Job) -> str:
        return f"job {job.number} of {len(self._jobs)}"

    def _say(self, text: str) -> None:
        self.console.print(Text(text), soft_wrap=True)

    def _table(self) -> Group:
        order = {RUNNING: 0, QUEUED: 1, FAILED: 2, WAITING: 3}
        shown = sorted(self._jobs, key=lambda job: (order.get(job.state, 4), -job.number))
        # Long overrides wrap over several lines, and rows below the screen's end are not visible.
        width = max(20, self.console.width - 40)
        lines = 1 + max((len(job.label) // width for job in shown), default=0)
        rows = max(1, min(_MAX_ROWS, (self.console.height - 4) // lines))
        table = Table(box=None, pad_edge=False)
        for title in ("job", "state", "epoch", "best", "time", "overrides"):
            table.add_column(title, justify="right" if title in ("job", "best", "time") else "left")
        for job in sorted(shown[:rows], key=lambda job: job.number):
            table.add_row(
                str(job.number),
                job.state.lower(),
                f"{job.epoch}/{job.epochs}" if job.epoch or job.state == RUNNING else "",
                "" if job.score is None else f"{job.score:.4g}",
                clock(job.seconds) if job.seconds else "",
                Text(job.label),
            )
        return Group(table, Text(self._summary()))

    def _summary(self) -> str:
        ended = [job for job in self._jobs if job.state not in (WAITING, *UNDERWAY)]
        parts = [f"{len(ended)} of {len(self._jobs)} done"]
        left = seconds_left(self._jobs, self._workers)
        if left is not None and len(ended) < len(self._jobs):
            parts.append(f"about {clock(left)} left")
        return ", ".join(parts)


def seconds_left(jobs: Sequence[Job], workers: int) -> float | None:
    """Estimates the remaining time of a sweep in seconds; None while no epoch has ended.

    Args:
        jobs: Jobs of the sweep.
        workers: Number of jobs that run at a time.
    """
    trained = [job for job in jobs if job.seconds and job.epoch]
    rates = [job.seconds / job.epoch for job in trained]
    if not rates:
        return None
    an_epoch = sum(rates) / len(rates)
    epochs = sum(job.epochs - job.epoch for job in jobs if job.state in (WAITING, *UNDERWAY))
    return an_epoch * epochs / workers


# --- results


def ranked(jobs: Sequence[Job]) -> list[Job]:
    """Returns the jobs sorted by score, best first; jobs without a score come last."""

    def key(job: Job) -> tuple[bool, float, int]:
        sign = -1 if job.monitor[1] == "max" else 1
        known = job.state in DONE and job.score is not None
        return (not known, sign * job.score if known else 0.0, job.number)  # type: ignore[operator]

    return sorted(jobs, key=key)


def columns(jobs: Sequence[Job]) -> list[str]:
    """Returns the names of the metrics that the table of results shows."""
    names = {name for job in jobs for name in job.metrics}
    scores = {job.score_name for job in jobs}
    tests = {f"test/{name.rpartition('_')[2]}" for name in scores} | {"test/loss"}
    return sorted(names & (scores | tests))


def show_results(jobs: Sequence[Job], console: Console | None = None) -> None:
    """Prints the results of a sweep, best job first.

    Args:
        jobs: Jobs of the sweep.
        console: Console to print to. Defaults to None: standard output.
    """
    console = console or wide_console()
    table = Table(box=None, pad_edge=False)
    names = columns(jobs)
    for title in ("job", "state", *names, "time", "run"):
        table.add_column(title, no_wrap=True)
    table.add_column("overrides", overflow="fold")
    for job in ranked(jobs):
        scores = [number(job.metrics[n]) if n in job.metrics else "" for n in names]
        words = [str(job.number), job.state.lower(), *scores, clock(job.seconds)]
        run = job.run_id[:8] if job.composed.config.tracking.enabled else job.run_name
        table.add_row(*words, run, Text(job.label))
    console.print()
    console.print(table)


def as_csv(jobs: Sequence[Job]) -> str:
    """Returns the results of a sweep as CSV text: all final metrics, best job first."""
    names = sorted({name for job in jobs for name in job.metrics})
    keys = sorted({key for job in jobs for key in _assigned(job)})
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["job", "state", "run_id", "run_name", "seconds", *keys, *names, "error"])
    for job in ranked(jobs):
        assigned = _assigned(job)
        writer.writerow(
            [job.number, job.state, job.run_id, job.run_name, f"{job.seconds:.1f}"]
            + [assigned.get(key, "") for key in keys]
            + [job.metrics.get(name, "") for name in names]
            + [job.error]
        )
    return text.getvalue()


def _assigned(job: Job) -> dict[str, str]:
    pairs = (redact_word(word).partition("=") for word in job.words)
    return {key.lstrip("+"): value for key, _, value in pairs}

"""Terminal output of a search: its progress and its trials."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kx.console import clock, number, wide_console
from kx.launch.jobs import Job
from kx.launch.table import Progress
from kx.search.study import RUNNING, Study

_MAX_ROWS = 10


class SearchProgress(Progress):
    """Shows the progress of a search: finished trials, best score, estimated time left.

    Args:
        jobs: Jobs of the search. The search appends to this list.
        workers: Number of trials that run at a time.
        study: Study of the search.
        num_trials: Maximum number of trials, or None if it is not known.
    """

    def __init__(
        self, jobs: Sequence[Job], workers: int, study: Study, num_trials: int | None
    ) -> None:
        self._study, self._num_trials = study, num_trials
        super().__init__(jobs, workers)

    def _of_all(self, job: Job) -> str:
        limit = f" of {self._num_trials}" if self._num_trials else ""
        number = job.tags.get("kx.trial")
        return f"trial {number}{limit}" if number else "winner:"

    def _summary(self) -> str:
        if any("kx.trial" not in job.tags for job in self._jobs):
            return "the best trial is evaluated on the test split, and saved"
        ended = [trial for trial in self._study.trials if trial.state != RUNNING]
        limit = f" of {self._num_trials}" if self._num_trials else ""
        parts = [f"{len(ended)}{limit} trials done"]
        best = next(iter(self._study.scored()), None)
        if best:
            parts.append(f"best {self._study.objective[0]} {best.score:.4g} (trial {best.number})")
        if self._num_trials and ended:
            each = sum(trial.seconds for trial in ended) / len(ended)
            left = each * (self._num_trials - len(ended)) / self._workers
            parts.append(f"about {clock(left)} left")
        return ", ".join(parts)


def show_study(study: Study, console: Console | None = None) -> None:
    """Prints the best trials of a study, and those that failed.

    Args:
        study: Study to print.
        console: Console to print to. Defaults to None: standard output.
    """
    console = console or wide_console()
    table = Table(box=None, pad_edge=False)
    several = any(trial.spread is not None for trial in study.trials)
    for title in ("trial", study.objective[0], *(["±"] if several else []), "epochs", "time"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("state")
    table.add_column("values", overflow="fold")
    scored = study.scored()
    for trial in scored[:_MAX_ROWS]:
        spread = "" if trial.spread is None else f"{trial.spread:.4f}"
        table.add_row(
            str(trial.number), number(trial.score or 0.0), *([spread] if several else []),
            str(max((e.epochs for e in trial.executions), default=trial.epochs)),
            clock(trial.seconds), trial.state.lower(), Text(values_text(trial.values)),
        )  # fmt: skip
    console.print()
    console.print(table)
    if len(scored) > _MAX_ROWS:
        console.print(f"… and {len(scored) - _MAX_ROWS} more")
    for trial in study.trials:
        if trial.error and trial not in scored:
            first = trial.error.strip().splitlines()[0]
            console.print(Text(f"trial {trial.number} failed: {first}"), soft_wrap=True)


def values_text(values: Mapping[str, Any]) -> str:
    """Returns the values of a trial as text, floats with three significant digits.

    Example:
    >>> values_text({"optimizer.learning_rate": 0.00123456, "augment": ["flip", "zoom"]})
    'optimizer.learning_rate=0.00123 augment=[flip,zoom]'
    """
    from kx.config.overrides import word

    return " ".join(
        f"{path}={value:.3g}" if isinstance(value, float) else word(path, value)
        for path, value in values.items()
    )


def as_csv(study: Study) -> str:
    """Returns the trials of a study as CSV text, in the order in which they were started."""
    paths = list(dict.fromkeys(path for trial in study.trials for path in trial.values))
    text = io.StringIO()
    writer = csv.writer(text)
    name = study.objective[0]
    writer.writerow(
        ["trial", "state", name, "spread", "epochs", "seconds", *paths, "goes_on_from", "run_ids",
         "error"]
    )  # fmt: skip
    for trial in study.trials:
        writer.writerow(
            [trial.number, trial.state, trial.score, trial.spread]
            + [max((e.epochs for e in trial.executions), default=0)]
            + [f"{trial.seconds:.1f}"]
            + [trial.values.get(path, "") for path in paths]
            + [trial.goes_on_from or "", " ".join(e.run_id for e in trial.executions)]
            + [trial.error]
        )
    return text.getvalue()

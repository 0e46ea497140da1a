"""The figure that compares the jobs of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from kx.launch.jobs import DONE, Job
from kx.launch.table import ranked

_MAX_BARS = 40
_MAX_CURVES = 10  # Matplotlib's colour cycle has 10 colours
_MAX_LABEL = 60  # characters


def comparison(jobs: Sequence[Job], path: Path) -> None:
    """Draws the scores of a sweep's jobs, best first, and the curves of the best ones.

    Nothing is written if no finished job has a score.

    Args:
        jobs: Jobs of the sweep.
        path: Path to the image file to write.
    """
    scored = [job for job in ranked(jobs) if job.state in DONE and job.score is not None]
    if not scored:
        return
    shown = scored[:_MAX_BARS]
    curves = [job for job in shown[:_MAX_CURVES] if len(job.curve) > 1]
    metric = shown[0].monitor[0]
    height = 1.2 + 0.32 * max(len(shown), 8)
    figure = Figure(figsize=(13 if curves else 8, height), layout="constrained")
    axes = figure.subplots(1, 2 if curves else 1, squeeze=False)[0]
    colours = {job.number: f"C{index}" for index, job in enumerate(curves)}
    labels = [_short(job.label) for job in shown]
    scores = [job.score for job in shown]
    bars = axes[0].barh(
        range(len(shown)), scores, color=[colours.get(j.number, "0.75") for j in shown]
    )
    axes[0].bar_label(bars, labels=[f"{score:.4g}" for score in scores], padding=3)
    axes[0].set_yticks(range(len(shown)), labels)
    axes[0].invert_yaxis()
    axes[0].margins(x=0.15)
    axes[0].set_xlabel(f"{metric} at the epoch that was kept")
    for job in curves:
        axes[1].plot(
            range(1, len(job.curve) + 1), job.curve, color=colours[job.number],
            label=_short(job.label),
        )  # fmt: skip
    if curves:
        axes[1].set_xlabel("epoch")
        axes[1].set_ylabel(metric)
        axes[1].legend(fontsize="small")
        axes[1].grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def _short(label: str) -> str:
    return label if len(label) <= _MAX_LABEL else label[: _MAX_LABEL - 1] + "…"

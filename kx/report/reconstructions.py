"""Report on reconstructed images."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from scipy.special import expit

from kx.contracts.answers import Answers
from kx.contracts.findings import Findings, ReportOptions, bootstrap

_SHOWN = 8  # images with their reconstruction


def reconstruction_findings(answers: Answers, options: ReportOptions) -> Findings:
    """Returns the findings on reconstructed images.

    Args:
        answers: Answers of a model, with its inputs: uint8 images.
        options: Options of the report.
    """
    images = answers.inputs.astype("float32") / 255
    made = expit(answers.scores.astype("float32"))
    axes = tuple(range(1, images.ndim))
    squared = np.square(made - images).mean(axis=axes, dtype="float64")
    absolute = np.abs(made - images).mean(axis=axes, dtype="float64")

    def statistics(indices: np.ndarray) -> dict[str, float]:
        mean = float(squared[indices].mean())
        return {
            "mean_squared_error": mean,
            "mean_absolute_error": float(absolute[indices].mean()),
            "psnr": float(-10 * np.log10(max(mean, 1e-12))),
        }

    worst = np.argsort(-squared, kind="stable")[: options.num_mistakes]
    first = np.arange(min(_SHOWN, len(images)))
    figures = {
        "reconstructions": _pairs(images[first], made[first], "The first images"),
        "worst_reconstructions": _pairs(
            images[worst[:_SHOWN]], made[worst[:_SHOWN]], "The worst reconstructions"
        ),
    }
    return Findings(
        statistics(np.arange(len(images))),
        intervals=bootstrap(statistics, len(images), options),
        figures={name: figure for name, figure in figures.items() if figure is not None},
        worst=worst,
        captions=[f"squared error {squared[place]:.4f}" for place in worst],
        statistics=statistics,
    )


def _pairs(images: np.ndarray, made: np.ndarray, title: str) -> Figure | None:
    """Draws images above their reconstructions."""
    if not len(images):
        return None
    figure = Figure(figsize=(1.3 * len(images) + 0.4, 3.2), layout="constrained", dpi=110)
    grid = figure.subplots(2, len(images), squeeze=False)
    for row, pictures in zip(grid, (images, made), strict=True):
        for axes, picture in zip(row, pictures, strict=True):
            grey = picture.shape[-1] == 1
            shown = picture[..., 0] if grey else picture
            axes.imshow(np.clip(shown, 0, 1), cmap="gray" if grey else None, vmin=0, vmax=1)
            axes.axis("off")
    figure.suptitle(f"{title}, and what the model made of them", size=10)
    return figure

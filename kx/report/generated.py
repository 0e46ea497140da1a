"""Report on generated images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kx.contracts.answers import Answers
from kx.contracts.findings import Findings, ReportOptions

_SHOWN = 64  # images of the sheet
_COMPARED = 8  # images that are shown beside the nearest one of the training
_BATCH_SIZE = 256


@dataclass(frozen=True)
class Judge:
    """Holds a classifier by whose eyes images are compared.

    Args:
        features: Function from uint8 images to what the classifier's last layer takes.
        classes: Function from uint8 images to the number of the most probable class.
        class_names: Name of each class.
    """

    features: Callable[[np.ndarray], np.ndarray]
    classes: Callable[[np.ndarray], np.ndarray]
    class_names: tuple[str, ...]


def generated_findings(
    answers: Answers,
    options: ReportOptions,
    makes: Callable[[int, int], np.ndarray],
    untrained: Callable[[int, int], np.ndarray],
    judge: Judge | None,
    num_samples: int,
) -> Findings:
    """Returns the findings on the images that a generator makes.

    Args:
        answers: Answers with the real images of a split, and the training split.
        options: Options of the report.
        makes: Function from a number and a seed to that many images in [0, 1].
        untrained: The same function of the generator before it was trained.
        judge: Classifier by whose eyes images are compared, or None.
        num_samples: Number of images to make.
    """
    made, real = _pixels(makes(num_samples, options.seed)), answers.inputs
    nearest, distances = nearest_images(made, answers)
    of_real = nearest_images(real[:num_samples], answers)[1]
    metrics = {
        "distance_to_training": float(distances.mean()),
        "distance_of_real_to_training": float(of_real.mean()),
    }
    tables = {}
    if judge is not None:
        features = judge.features(real)
        start = _pixels(untrained(num_samples, options.seed))
        metrics["frechet_distance"] = frechet_distance(judge.features(made), features)
        metrics["frechet_distance_untrained"] = frechet_distance(judge.features(start), features)
        shares = {
            what: np.bincount(judge.classes(images), minlength=len(judge.class_names)) / len(images)
            for what, images in (("made", made), ("real", real))
        }
        metrics["smallest_class_share"] = float(shares["made"].min())
        tables["Classes, as the classifier sees them"] = [
            {"class": name, **{what: float(share[number]) for what, share in shares.items()}}
            for number, name in enumerate(judge.class_names)
        ]
    pairs = np.concatenate([made[:_COMPARED], nearest[:_COMPARED]])
    title = "Made images, and below each the nearest one of the training"
    return Findings(
        metrics,
        tables=tables,
        figures={
            "samples": image_sheet(made[:_SHOWN] / 255, 8, "Made images"),
            "nearest": image_sheet(pairs / 255, len(made[:_COMPARED]), title),
        },
        judged=f"{num_samples:,} made images, and {len(real):,} real ones: {answers.judged}",  # type: ignore[attr-defined]
    )


def frechet_distance(features: np.ndarray, others: np.ndarray) -> float:
    """Returns the Fréchet distance of two sets of features, taken as normally distributed.

    Args:
        features: Features, shape `(num_images, num_features)`.
        others: Features of other images, shape `(num_others, num_features)`.

    Source: Heusel et al. 2017, "GANs trained by a two time-scale update rule converge to a local
    Nash equilibrium", section 3.

    Example:
    >>> numbers = np.random.default_rng(0).normal(size=(1000, 4))
    >>> round(frechet_distance(numbers, numbers + 2), 6)
    16.0
    """
    one, other = features.astype("float64"), others.astype("float64")
    covariances = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    gap = one.mean(axis=0) - other.mean(axis=0)
    # The trace of the square root is the sum of the roots of the eigenvalues, which are not
    # negative but by rounding.
    roots = np.sqrt(np.clip(np.linalg.eigvals(covariances[0] @ covariances[1]).real, 0, None))
    traces = np.trace(covariances[0]) + np.trace(covariances[1])
    return float(max(0.0, gap @ gap + traces - 2 * roots.sum()))


def nearest_images(images: np.ndarray, answers: Answers) -> tuple[np.ndarray, np.ndarray]:
    """Returns the nearest training image of each image, and their distances.

    A generator that has memorized makes images with a distance of about 0; those of real images
    that were not trained on tell what distance is to be expected.

    Args:
        images: uint8 images, shape `(num_images, height, width, channels)`.
        answers: Answers with the training split.

    Returns:
        Images, and root mean squared differences of pixels in [0, 1], shape `(num_images,)`.
    """
    flat = images.reshape(len(images), -1).astype("float32") / 255
    best = np.full(len(images), np.inf, "float32")
    nearest = np.zeros_like(images)
    for batch in answers.training_batches(_BATCH_SIZE):
        others = batch.reshape(len(batch), -1).astype("float32") / 255
        squares = (flat**2).sum(1)[:, None] + (others**2).sum(1) - 2 * flat @ others.T
        place = squares.argmin(axis=1)
        found = squares[np.arange(len(images)), place]
        closer = found < best
        best[closer] = found[closer]
        nearest[closer] = batch[place[closer]]
    return nearest, np.sqrt(np.clip(best, 0, None) / flat.shape[1])


def image_sheet(images: np.ndarray, columns: int, title: str) -> Figure:
    """Draws images in rows.

    Args:
        images: Images in [0, 1], shape `(num_images, height, width, channels)`.
        columns: Number of images in a row.
        title: Title of the figure.
    """
    rows = -(-len(images) // columns)
    height, width, channels = images.shape[1:]
    sheet = np.ones((rows * (height + 1), columns * (width + 1), channels), "float32")
    for place, image in enumerate(images):
        top, left = place // columns * (height + 1), place % columns * (width + 1)
        sheet[top : top + height, left : left + width] = image
    figure = Figure(figsize=(0.7 * columns + 0.4, 0.7 * rows + 0.6), layout="constrained", dpi=110)
    axes = figure.subplots()
    grey = channels == 1
    axes.imshow(sheet[..., 0] if grey else sheet, cmap="gray" if grey else None, vmin=0, vmax=1)
    axes.axis("off")
    axes.set_title(title, size=9)
    return figure


def _pixels(images: Any) -> np.ndarray:
    return np.rint(255 * images).astype("uint8")

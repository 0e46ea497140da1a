"""Report on masks: intersection over union, pixels by class, overlays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kx.contracts.answers import Answers
from kx.contracts.findings import Findings, ReportOptions, bootstrap
from kx.report import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN = 6  # images with truth and answer
_OVERLAY = 0.55  # opacity of classes over an image


def mask_findings(
    answers: Answers, class_names: tuple[str, ...], ignored: int | None, options: ReportOptions
) -> Findings:
    """Returns the findings on masks.

    Args:
        answers: Answers of a model: targets of shape `(num, height, width)`, and scores with an
            axis of classes more.
        class_names: Names of the classes.
        ignored: Index of pixels that do not count, or None.
        options: Options of the report.
    """
    count = len(class_names)
    found = np.argmax(answers.scores, axis=-1)
    confusions = np.stack(
        [_confusion(*pair, count, ignored) for pair in zip(answers.targets, found, strict=True)]
    )
    total = confusions.sum(axis=0)

    def statistics(indices: np.ndarray) -> dict[str, float]:
        return _scores(confusions[indices].sum(axis=0))

    metrics = _scores(total)
    each = np.array([_scores(one)["mean_iou"] for one in confusions])
    worst = np.argsort(each, kind="stable")[: options.num_mistakes]
    findings = Findings(
        metrics,
        intervals=bootstrap(statistics, len(confusions), options),
        tables={"Classes": _class_rows(total, class_names)},
        figures={"confusion": figures.confusion_matrix(total, class_names)},
        worst=worst,
        captions=[f"mean IoU {each[place]:.3f}" for place in worst],
        statistics=statistics,
    )
    images = _images(answers)
    if images is not None and len(worst):
        chosen = worst[:_SHOWN]
        findings.figures["overlays"] = _overlays(
            images[chosen], answers.targets[chosen], found[chosen], class_names, ignored
        )
    return findings


def _confusion(truth: np.ndarray, found: np.ndarray, count: int, ignored: int | None) -> np.ndarray:
    """Returns the number of pixels by class of the mask (rows) and of the answer (columns)."""
    valid = np.ones(truth.shape, bool) if ignored is None else truth != ignored
    places = truth[valid].astype("int64") * count + found[valid]
    return np.bincount(places, minlength=count * count).reshape(count, count)


def _iou(confusion: np.ndarray) -> np.ndarray:
    """Returns intersection over union of each class; NaN for classes without pixels."""
    both = np.diagonal(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - both
    return np.where(union > 0, both / np.maximum(union, 1), np.nan)


def _scores(confusion: np.ndarray) -> dict[str, float]:
    pixels, right = confusion.sum(), np.diagonal(confusion)
    per_class = confusion.sum(axis=1)
    iou = _iou(confusion)
    recalls = right[per_class > 0] / per_class[per_class > 0]
    return {
        "mean_iou": float(np.nanmean(iou)) if np.isfinite(iou).any() else 0.0,
        "pixel_accuracy": float(right.sum() / max(pixels, 1)),
        "class_accuracy": float(recalls.mean()) if len(recalls) else 0.0,
        "frequency_weighted_iou": float(np.nansum(iou * per_class) / max(pixels, 1)),
    }


def _class_rows(confusion: np.ndarray, class_names: tuple[str, ...]) -> list[dict[str, Any]]:
    iou, of_class = _iou(confusion), confusion.sum(axis=1)
    answered = confusion.sum(axis=0)
    right = np.diagonal(confusion)
    return [
        {
            "class": name,
            "iou": float(iou[place]),
            "recall": float(right[place] / of_class[place]) if of_class[place] else float("nan"),
            "precision": float(right[place] / answered[place]) if answered[place] else float("nan"),
            "pixels": int(of_class[place]),
        }
        for place, name in enumerate(class_names)
    ]


def _images(answers: Answers) -> np.ndarray | None:
    """Returns the inputs, if they are images."""
    try:
        inputs = answers.inputs
    except NotImplementedError:  # answers that were kept without inputs
        return None
    is_image = isinstance(inputs, np.ndarray) and inputs.ndim == 4 and inputs.shape[-1] in (1, 3)
    return inputs if is_image else None


def _overlays(
    images: np.ndarray,
    truths: np.ndarray,
    answers: np.ndarray,
    class_names: tuple[str, ...],
    ignored: int | None,
) -> Figure:
    """Draws the worst images in rows: the image, its mask over it, and the answer over it."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    colors = colormaps["tab20"](np.linspace(0, 1, 20))[np.arange(len(class_names)) % 20]
    figure = Figure(figsize=(8.4, 2.4 * len(images) + 0.8), layout="constrained", dpi=110)
    grid = figure.subplots(len(images), 3, squeeze=False)
    for row, image, truth, answer in zip(grid, images, truths, answers, strict=True):
        picture = np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image
        picture = picture.astype("float32") / (255 if picture.dtype == np.uint8 else 1)
        for axes, mask, title in zip(row, (None, truth, answer), _TITLES, strict=True):
            axes.imshow(np.clip(picture, 0, 1))
            if mask is not None:
                known = np.clip(mask, 0, len(class_names) - 1)
                layer = colors[known].copy()
                layer[..., 3] = np.where(mask == ignored, 0.0, _OVERLAY)
                axes.imshow(layer, interpolation="nearest")
            axes.set_title(title, size=9)
            axes.axis("off")
    used = sorted(set(np.unique(truths)) | set(np.unique(answers)))
    patches = [
        Patch(color=colors[place], label=class_names[place])
        for place in used
        if place < len(class_names) and place != ignored
    ]
    figure.legend(
        handles=patches, loc="outside lower center", ncols=6, fontsize=8, frameon=False,
        prop=figures.font_for("".join(class_names)),
    )  # fmt: skip
    return figure


_TITLES = ("image", "mask", "answer")

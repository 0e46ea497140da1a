"""Draws figures with Matplotlib's object interface: no global state, no window."""

from __future__ import annotations

import functools
import math
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont

rcParams["text.parse_math"] = False  # a class may be called "$5-$10"
_BLUE, _ORANGE, _GRAY = "#2f6db3", "#d9822b", "#8a8f98"
_CAPTION_CHARACTERS = 28  # per line above an image
_FIRST_CHINESE = "\u2e80"  # first character that European fonts lack
_CHINESE_FONTS = ["Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Zen Hei", "SimHei",
                  "Microsoft YaHei", "PingFang SC", "Heiti SC"]  # fmt: skip


def _new(width: float, height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained", dpi=110)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def font_for(text: str) -> FontProperties:
    """Returns a font with the characters of a text, Chinese ones included, if there is one."""
    if text.isascii():
        return FontProperties()
    for family in _CHINESE_FONTS:
        try:
            return FontProperties(fname=findfont(family, fallback_to_default=False))
        except ValueError:
            continue
    if max(text) >= _FIRST_CHINESE:
        _tell_of_fonts()
    return FontProperties()


@functools.cache
def _tell_of_fonts() -> None:
    """Prints once that characters are drawn as boxes: Matplotlib would warn of each of them."""
    warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
    print("figures: no font here has Chinese characters; install one, such as fonts-noto-cjk")


def confusion_matrix(matrix: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Draws a confusion matrix: rows are the truth, cells are coloured by their share.

    Args:
        matrix: Counts, shape `(num_classes, num_classes)`.
        class_names: Name of each class.
    """
    count = len(class_names)
    size = min(14.0, 2.5 + 0.5 * count)
    figure, axes = _new(size + 1, size)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, fraction=0.046, label="share of the true class")
    if count <= 40:
        font = font_for("".join(class_names))
        axes.set_xticks(range(count), class_names, rotation=45, ha="right", fontproperties=font)
        axes.set_yticks(range(count), class_names, fontproperties=font)
    if count <= 20:
        for (row, column), number in np.ndenumerate(matrix):
            if number:
                colour = "white" if share[row, column] > 0.5 else "black"
                axes.text(column, row, number, ha="center", va="center", color=colour, size=8)
    axes.set(xlabel="answer", ylabel="truth", title="Confusion matrix")
    return figure


def heat_map(values: np.ndarray, rows: Sequence[str], columns: Sequence[str], title: str) -> Figure:
    """Draws numbers from 0 to 1 as a grid of shades.

    Args:
        values: Numbers, shape `(num_rows, num_columns)`.
        rows: Name of each row.
        columns: Name of each column.
        title: Title.
    """
    figure, axes = _new(2.5 + 0.35 * len(columns), 2.0 + 0.35 * len(rows))
    axes.imshow(values, cmap="Blues", vmin=0, vmax=max(1e-6, float(values.max())))
    font = font_for("".join([*rows, *columns]))
    axes.set_xticks(range(len(columns)), columns, rotation=60, ha="right", fontproperties=font)
    axes.set_yticks(range(len(rows)), rows, fontproperties=font)
    axes.set_title(title, size=9)
    return figure


def roc(truth: np.ndarray, scores: np.ndarray, names: Sequence[str]) -> Figure:
    """Draws ROC curves, one against the rest for each class.

    Args:
        truth: Whether an example is of a class, shape `(num_examples, num_classes)`.
        scores: Scores, higher for true, shape `(num_examples, num_classes)`.
        names: Names of the curves; classes after the last name are omitted.
    """
    from sklearn import metrics

    figure, axes = _new(6.4, 5.2)
    axes.plot([0, 1], [0, 1], color=_GRAY, linestyle=":", linewidth=1)
    for i, name in _curves(truth, names):
        x, y, _ = metrics.roc_curve(truth[:, i], scores[:, i])
        axes.plot(x, y, linewidth=1.3, label=f"{name} (AUC {metrics.auc(x, y):.3f})")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
    _legend(axes, names)
    return figure


def precision_recall(truth: np.ndarray, scores: np.ndarray, names: Sequence[str]) -> Figure:
    """Draws precision-recall curves, one against the rest for each class.

    Args:
        truth: Whether an example is of a class, shape `(num_examples, num_classes)`.
        scores: Scores, higher for true, shape `(num_examples, num_classes)`.
        names: Names of the curves; classes after the last name are omitted.
    """
    from sklearn import metrics

    figure, axes = _new(6.4, 5.2)
    for i, name in _curves(truth, names):
        y, x, _ = metrics.precision_recall_curve(truth[:, i], scores[:, i])
        area = metrics.average_precision_score(truth[:, i], scores[:, i])
        axes.plot(x, y, linewidth=1.3, label=f"{name} (AP {area:.3f})")
    axes.set(xlabel="recall", ylabel="precision", title="Precision and recall", ylim=(0, 1.03))
    _legend(axes, names)
    return figure


def _curves(truth: np.ndarray, names: Sequence[str]) -> list[tuple[int, str]]:
    """Returns the classes with both positive and negative examples: the others have no curve."""
    return [(i, n) for i, n in enumerate(names) if 0 < truth[:, i].sum() < len(truth)]


def _legend(axes: Any, names: Sequence[str]) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(prop=font_for("".join(names)), fontsize=8, frameon=False,
                    ncols=1 if len(names) <= 12 else 2)  # fmt: skip


def reliability(correct: np.ndarray, confidence: np.ndarray, num_bins: int = 15) -> Figure:
    """Draws the share of right answers and the number of answers by confidence.

    Args:
        correct: Whether each answer is right, shape `(num_examples,)`.
        confidence: Probability of each answer, shape `(num_examples,)`.
        num_bins: Number of bins of equal width. Defaults to 15.
    """
    figure = Figure(figsize=(5.6, 5.6), layout="constrained", dpi=110)
    above, below = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    edges = np.linspace(0, 1, num_bins + 1)
    bins = np.clip((confidence * num_bins).astype(int), 0, num_bins - 1)
    centres = (edges[:-1] + edges[1:]) / 2
    counts = np.bincount(bins, minlength=num_bins)
    right = np.bincount(bins, weights=correct, minlength=num_bins) / np.maximum(counts, 1)
    above.bar(centres, right, width=1 / num_bins, color=_BLUE, edgecolor="white", label="observed")
    above.plot([0, 1], [0, 1], color=_ORANGE, linestyle="--", label="perfectly calibrated")
    above.set(ylabel="share that is right", title="Reliability", xlim=(0, 1), ylim=(0, 1.03))
    above.legend(frameon=False, loc="upper left")
    below.bar(centres, counts, width=1 / num_bins, color=_GRAY, edgecolor="white")
    below.set(xlabel="confidence", ylabel="answers")
    return figure


def predicted(targets: np.ndarray, answers: np.ndarray, names: Sequence[str]) -> Figure:
    """Draws answers against the truth, one panel for each target.

    Args:
        targets: True values, shape `(num_examples, num_targets)`.
        answers: Predicted values, shape `(num_examples, num_targets)`.
        names: Name of each target.
    """
    figure, panels = _panels(len(names))
    for i, axes in enumerate(panels):
        low = min(targets[:, i].min(), answers[:, i].min())
        high = max(targets[:, i].max(), answers[:, i].max())
        axes.plot([low, high], [low, high], color=_ORANGE, linestyle="--", linewidth=1)
        axes.scatter(targets[:, i], answers[:, i], s=12, alpha=0.6, color=_BLUE, linewidths=0)
        axes.set(xlabel=f"true {names[i]}", ylabel="answer", title="Answer against truth")
    return figure


def residuals(targets: np.ndarray, answers: np.ndarray, names: Sequence[str]) -> Figure:
    """Draws residuals against the answers, and their histogram.

    Args:
        targets: True values, shape `(num_examples, num_targets)`.
        answers: Predicted values, shape `(num_examples, num_targets)`.
        names: Name of each target.
    """
    figure, panels = _panels(2 * len(names))
    for i, name in enumerate(names):
        difference = answers[:, i] - targets[:, i]
        against, histogram = panels[2 * i], panels[2 * i + 1]
        against.axhline(0, color=_ORANGE, linestyle="--", linewidth=1)
        against.scatter(answers[:, i], difference, s=12, alpha=0.6, color=_BLUE, linewidths=0)
        against.set(xlabel=f"answer ({name})", ylabel="answer - truth", title="Residuals")
        histogram.hist(difference, bins=30, color=_BLUE, edgecolor="white")
        histogram.axvline(0, color=_ORANGE, linestyle="--", linewidth=1)
        histogram.set(xlabel="answer - truth", ylabel="examples", title="Distribution")
    return figure


def _panels(count: int) -> tuple[Figure, list[Any]]:
    columns = min(2, count)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(5.0 * columns, 4.2 * rows), layout="constrained", dpi=110)
    panels = list(np.atleast_1d(figure.subplots(rows, columns)).ravel())
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[count:]:
        axes.set_axis_off()
    return figure, panels[:count]


def training_curves(history: Mapping[str, Sequence[float]]) -> Figure | None:
    """Draws each metric over the epochs, with training and validation in one panel.

    Args:
        history: `train/NAME` and `val/NAME` to one value for each epoch; `phase`, if there
            are several phases.

    Returns:
        The figure, or None if there is nothing to draw.
    """
    names = [key.removeprefix("train/") for key in history if key.startswith("train/")]
    if not names:
        return None
    figure, panels = _panels(len(names))
    for name, axes in zip(names, panels, strict=False):
        for part, colour in (("train", _GRAY), ("val", _BLUE)):
            values = history.get(f"{part}/{name}")
            if values:
                epochs = range(1, len(values) + 1)
                marker = "o" if len(values) < 3 else None
                axes.plot(epochs, values, color=colour, label=part, marker=marker, linewidth=1.6)
        for epoch, number in _begins(history.get("phase", ())):
            axes.axvline(epoch - 0.5, color=_ORANGE, linestyle=":", linewidth=1.2)
            axes.text(epoch - 0.5, 1.0, f" phase {number}", color=_ORANGE, size=8, va="top",
                      transform=axes.get_xaxis_transform())  # fmt: skip
        axes.set(xlabel="epoch", title=name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False)
    return figure


def _begins(phases: Sequence[float]) -> list[tuple[int, int]]:
    """Returns the first epoch, from 1, and the number of each phase after the first."""
    pairs = zip(phases, phases[1:], strict=False)
    return [(n, int(now)) for n, (before, now) in enumerate(pairs, 2) if now != before]


def picture_grid(
    pictures: Sequence[np.ndarray], captions: Sequence[str], title: str = ""
) -> Figure:
    """Draws images in a grid, each with a caption above.

    Args:
        pictures: Images of shape `(height, width, channels)`, uint8 or floats in [0, 1].
        captions: Caption of each image.
        title: Title of the figure. Defaults to `""`: none.
    """
    columns = min(5, max(1, len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    figure = Figure(figsize=(2.3 * columns, 2.5 * rows + 0.4), layout="constrained", dpi=110)
    grid = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, picture, caption in zip(grid, pictures, captions, strict=False):
        grey = picture.shape[-1] == 1
        axes.imshow(picture[..., 0] if grey else picture, cmap="gray" if grey else None,
                    vmin=0 if grey else None, vmax=255 if grey else None)  # fmt: skip
        lines = caption.replace(" taken for ", "\n-> ").splitlines()
        text = "\n".join(textwrap.fill(line, _CAPTION_CHARACTERS) for line in lines)
        axes.set_title(text, size=8, fontproperties=font_for(caption))
    if title:
        figure.suptitle(title)
    return figure

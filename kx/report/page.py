"""Writes an evaluation as figures, as JSON and as one self-contained HTML page."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, select_autoescape

from kx.contracts.findings import Findings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PREDICTIONS = "predictions.npz"
MAX_PREDICTIONS_BYTES = 2**28
_SCORES = ("scores", "probabilities")  # the answers are computed from them
_PAGE = Path(__file__).with_name("page.html")


def write_report(
    findings: Findings,
    folder: Path,
    *,
    title: str,
    subtitle: str,
    confidence_level: float,
    config_text: str = "",
) -> None:
    """Writes `report.html`, `report.json`, `predictions.npz` and a PNG for each figure.

    Args:
        findings: Findings of the evaluation.
        folder: Folder of the report, made if it does not exist.
        title: Title of the page.
        subtitle: Line below the title.
        confidence_level: Confidence level of the intervals.
        config_text: Config of the run, shown at the end. Defaults to `""`: none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    encoded = {}
    for name, figure in findings.figures.items():
        drawn = png_of(figure)
        (folder / f"{name}.png").write_bytes(drawn)
        encoded[name] = base64.b64encode(drawn).decode()
    page = Environment(autoescape=select_autoescape(default=True)).from_string(
        _PAGE.read_text(encoding="utf-8")
    )
    text = page.render(
        title=title,
        subtitle=subtitle,
        judged=findings.judged,
        metrics=findings.metrics,
        intervals=findings.intervals,
        tables=findings.tables,
        figures=encoded,
        level=f"{confidence_level:.0%}",
        number=_number,
        config=config_text,
    )
    (folder / "report.html").write_text(text, encoding="utf-8")
    (folder / "report.json").write_text(
        json.dumps(as_json(findings), indent=2, ensure_ascii=False), encoding="utf-8"
    )
    if findings.predictions:
        np.savez_compressed(folder / PREDICTIONS, **_bounded(findings.predictions))  # type: ignore[arg-type]


def png_of(figure: Figure) -> bytes:
    """Returns a figure as the bytes of a PNG file.

    Args:
        figure: Figure of matplotlib.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _bounded(predictions: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the predictions within the size limit: scores are left out first, answers last."""
    kept = dict(predictions)
    largest = sorted(kept, key=lambda name: (name not in _SCORES, -kept[name].nbytes))
    left_out = []
    while sum(values.nbytes for values in kept.values()) > MAX_PREDICTIONS_BYTES and largest:
        left_out.append(largest.pop(0))
        del kept[left_out[-1]]
    if left_out:
        print(
            f"{PREDICTIONS} has no {', '.join(left_out)}: they would take more than"
            f" {MAX_PREDICTIONS_BYTES / 2**20:,.0f} MiB. It has {', '.join(kept) or 'nothing'}"
        )
    return kept


def as_json(findings: Findings) -> Mapping[str, Any]:
    """Returns the numbers and tables of an evaluation as plain values."""
    return {
        "judged": findings.judged,
        "metrics": findings.metrics,
        "confidence_intervals": {k: list(v) for k, v in findings.intervals.items()},
        "tables": findings.tables,
        "worst": [
            {"index": int(index), "caption": caption}
            for index, caption in zip(findings.worst, findings.captions, strict=True)
        ],
    }


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

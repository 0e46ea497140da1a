"""Writes an evaluation as figures, as JSON and as one self-contained HTML page."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, select_autoescape

from kx.report.findings import Findings

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
  body { font: 15px/1.5 system-ui, sans-serif; color: #1d2430; max-width: 68rem; margin: 2rem auto; padding: 0 1rem }
  h1 { font-size: 1.6rem; margin-bottom: .2rem }  h2 { margin-top: 2.2rem; border-bottom: 1px solid #dde1e7 }
  .sub { color: #667 }  .cards { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0 }
  .card { border: 1px solid #dde1e7; border-radius: .5rem; padding: .6rem .9rem; min-width: 8.5rem }
  .card b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums }
  .card span { color: #667; font-size: .85rem }
  table { border-collapse: collapse; font-variant-numeric: tabular-nums }
  td, th { padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #eef0f3; text-align: right }
  td:first-child, th:first-child { text-align: left }  img { max-width: 100% }
  .figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(24rem, 1fr)); gap: 1rem; align-items: start }
  pre { background: #f6f7f9; padding: .8rem; overflow: auto; font-size: .8rem; max-height: 24rem }
  @media (prefers-color-scheme: dark) { body { background: #14171c; color: #dde1e7 }
    .card, h2, td, th { border-color: #333a45 } pre { background: #1d2127 } img { background: #fff; border-radius: .3rem } }
</style>
<h1>{{ title }}</h1>
<p class="sub">{{ subtitle }}</p>
<div class="cards">
{%- for name, value in metrics.items() %}
  <div class="card"><span>{{ name }}</span><b>{{ number(value) }}</b>
  {%- if name in intervals %}<span>{{ number(intervals[name][0]) }} – {{ number(intervals[name][1]) }}</span>{% endif %}</div>
{%- endfor %}
</div>
{%- if intervals %}<p class="sub">Ranges are {{ level }} bootstrap confidence intervals.</p>{% endif %}
{%- for title, rows in tables.items() if rows %}
<h2>{{ title }}</h2>
<table><tr>{% for column in rows[0] %}<th>{{ column }}</th>{% endfor %}</tr>
{%- for row in rows %}
<tr>{% for value in row.values() %}<td>{{ number(value) }}</td>{% endfor %}</tr>
{%- endfor %}</table>
{%- endfor %}
<h2>Figures</h2>
<div class="figures">
{%- for name, data in figures.items() %}
  <img alt="{{ name.replace('_', ' ') }}" src="data:image/png;base64,{{ data }}">
{%- endfor %}
</div>
{%- if config %}<h2>Config</h2><pre>{{ config }}</pre>{% endif %}
</html>
"""


def write_report(
    findings: Findings,
    folder: Path,
    *,
    title: str,
    subtitle: str,
    confidence_level: float,
    config_text: str = "",
) -> None:
    """Writes `report.html`, `report.json` and a PNG for each figure.

    Args:
        findings: what was found.
        folder: where; made if it is not there.
        title: of the page.
        subtitle: a line below it.
        confidence_level: of the intervals.
        config_text: the run's config, shown at the end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    encoded = {}
    for name, figure in findings.figures.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        (folder / f"{name}.png").write_bytes(buffer.getvalue())
        encoded[name] = base64.b64encode(buffer.getvalue()).decode()
    page = Environment(autoescape=select_autoescape(default=True)).from_string(_PAGE)
    text = page.render(
        title=title,
        subtitle=subtitle,
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


def as_json(findings: Findings) -> Mapping[str, Any]:
    """Returns the numbers and tables of an evaluation as plain values."""
    return {
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

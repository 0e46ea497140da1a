"""Figures of a study, drawn by Optuna: as images, and as one HTML page for offline use."""

from __future__ import annotations

import html
import json
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kx.console import counted
from kx.search.space import Parameter
from kx.search.study import Study

_MAX_KEYS = 3  # of a contour figure, which has one plot for each pair of keys


def write_figures(study: Study, parameters: list[Parameter], folder: Path) -> None:
    """Writes figures: history, curves, importance, parallel coordinates, slices and contours.

    Args:
        study: Study to draw. With fewer than two scored trials, nothing is written.
        parameters: Parameters of its space.
        folder: Path to the output folder.
    """
    if len(study.scored()) < 2:
        return
    import matplotlib.pyplot as plt
    import optuna
    import optuna.visualization.matplotlib as pictures

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        copy = as_optuna(study, parameters)
        pages = []
        for name, title, draw in _figures(copy, study.objective[0]):
            try:
                axes = draw(pictures)
                first = axes.flat[0] if hasattr(axes, "flat") else axes
                first.figure.set_size_inches(10, 5.5)
                first.figure.savefig(folder / f"{name}.png", dpi=110, bbox_inches="tight")
                plt.close(first.figure)
                pages.append((title, draw(optuna.visualization)))
            except (ValueError, RuntimeError) as error:  # too few trials, or equal scores
                pages.append((title, str(error)))
    (folder / "search.html").write_text(_page(study, pages), encoding="utf-8")


def as_optuna(study: Study, parameters: list[Parameter]) -> Any:
    """Returns a copy of a study as an `optuna.Study`.

    Args:
        study: Study to copy.
        parameters: Parameters of its space.
    """
    import optuna
    from optuna.trial import TrialState, create_trial

    maximize = study.objective[1] == "max"
    copy = optuna.create_study(
        direction="maximize" if maximize else "minimize", study_name=study.name
    )
    distributions = {p.path: _distribution(p) for p in parameters}
    copy.add_trial(create_trial(state=TrialState.FAIL))  # Optuna counts from 0, kx from 1
    scored = study.scored()
    for trial in study.trials:
        if trial not in scored:
            copy.add_trial(create_trial(state=TrialState.FAIL))
            continue
        values = {path: _value(value) for path, value in trial.values.items()}
        copy.add_trial(
            create_trial(
                state=TrialState.COMPLETE,
                value=trial.score,
                params=values,
                distributions={path: distributions[path] for path in values},
                intermediate_values=dict(enumerate(trial.executions[0].curve, 1)),
            )
        )
    return copy


def _distribution(parameter: Parameter) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    log = parameter.sampling == "log"
    step = None if log else parameter.step
    if parameter.kind == "float":
        return FloatDistribution(parameter.min, parameter.max, log=log, step=step)
    if parameter.kind == "int":
        return IntDistribution(int(parameter.min), int(parameter.max), log=log, step=int(step or 1))
    return CategoricalDistribution([_value(value) for value in parameter.candidates])


def _value(value: Any) -> Any:
    """Returns a value in a form that Optuna accepts: lists and mappings as JSON text."""
    plain = value is None or isinstance(value, bool | int | float | str)
    return value if plain else json.dumps(value, ensure_ascii=False)


def _figures(copy: Any, objective: str) -> list[tuple[str, str, Callable[[Any], Any]]]:
    ranked = list(_importance_of(copy))[:_MAX_KEYS]
    figures = [
        ("history", "History", lambda v: v.plot_optimization_history(copy, target_name=objective)),
        ("curves", "Curves of the trials", lambda v: v.plot_intermediate_values(copy)),
        ("importance", "Importance of each key (fANOVA)",
         lambda v: v.plot_param_importances(copy, target_name=objective)),
        ("parallel", "Parallel coordinates",
         lambda v: v.plot_parallel_coordinate(copy, target_name=objective)),
        ("slice", "Slices", lambda v: v.plot_slice(copy, target_name=objective)),
    ]  # fmt: skip
    if len(ranked) > 1:
        figures.append(
            ("contour", "Contours of the keys that count most",
             lambda v: v.plot_contour(copy, params=ranked, target_name=objective))
        )  # fmt: skip
    return figures


def _importance_of(copy: Any) -> dict[str, float]:
    import optuna

    try:
        return dict(optuna.importance.get_param_importances(copy))
    except (ValueError, RuntimeError):
        return {}


def _page(study: Study, figures: list[tuple[str, Any]]) -> str:
    parts = []
    script = True
    for title, figure in figures:
        if isinstance(figure, str):
            body = f"<p>{html.escape(figure)}</p>"
        else:
            body = figure.to_html(full_html=False, include_plotlyjs=script)
            script = False  # the page needs plotly.js only once
        parts.append(f"<h2>{html.escape(title)}</h2>\n{body}")
    best = study.scored()[0]
    values = html.escape(json.dumps(best.values, ensure_ascii=False, indent=1))
    name, _ = study.objective
    return (
        "<!doctype html><html><head><meta charset='utf-8'>"
        f"<title>{html.escape(study.name)}</title>"
        "<style>body{font-family:sans-serif;max-width:1100px;margin:2em auto;padding:0 1em}"
        "</style></head><body>"
        f"<h1>Search {html.escape(study.name)}</h1>"
        f"<p>{counted(len(study.trials), 'trial')}; best {html.escape(name)} {best.score:.4f}"
        f" (trial {best.number}):</p><pre>{values}</pre>" + "\n".join(parts) + "</body></html>\n"
    )

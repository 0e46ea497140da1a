"""The values of a space, as KerasTuner has them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from kx.search.space import Parameter


def hyperparameters(parameters: Sequence[Parameter], defaults: Mapping[str, Any]) -> Any:
    """Returns the space as KerasTuner's `HyperParameters`.

    A choice is kept by its place, since KerasTuner takes neither lists nor null
    nor mixed types; one of numbers by its numbers, whose order counts.

    Args:
        parameters: each after those on which it depends.
        defaults: path to the config's own value.
    """
    import keras_tuner

    by_path = {parameter.path: parameter for parameter in parameters}
    space = [_serialized(parameter, by_path, defaults) for parameter in parameters]
    return keras_tuner.HyperParameters.from_config({"space": space, "values": {}})


def starting_values(parameters: Sequence[Parameter], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the config's own values as KerasTuner has them, or what is nearest in the space.

    Args:
        parameters: each after those on which it depends.
        defaults: path to the config's own value.
    """
    found: dict[str, Any] = {}
    for parameter in parameters:
        if not parameter.active(found):
            continue
        value = defaults.get(parameter.path)
        if not parameter.admits(value):
            value = _nearest(parameter, value)
        found[parameter.path] = value
    by_path = {parameter.path: parameter for parameter in parameters}
    return {path: encode(by_path[path], value) for path, value in found.items()}


def _serialized(
    parameter: Parameter, by_path: Mapping[str, Parameter], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    conditions = [
        {
            "class_name": "Parent",
            "config": {"name": path, "values": [encode(by_path[path], v) for v in allowed]},
        }
        for path, allowed in parameter.when.items()
    ]
    default = defaults.get(parameter.path)
    given = encode(parameter, default) if parameter.admits(default) else None
    config: dict[str, Any] = {
        "name": parameter.path, "default": given, "conditions": conditions,
    }  # fmt: skip
    if parameter.kind in ("float", "int"):
        config |= {
            "min_value": parameter.min, "max_value": parameter.max, "step": parameter.step,
            "sampling": parameter.sampling,
        }  # fmt: skip
    elif parameter.kind == "choice":
        values = [encode(parameter, value) for value in parameter.values]
        config |= {"values": values, "ordered": _is_numeric(parameter)}
        config["default"] = values[0] if given is None else given
    else:
        config["default"] = bool(given)
    names = {"float": "Float", "int": "Int", "choice": "Choice", "bool": "Boolean"}
    return {"class_name": names[parameter.kind], "config": config}


def _is_numeric(parameter: Parameter) -> bool:
    kinds = {type(value) for value in parameter.values}
    return kinds in ({int}, {float})


def encode(parameter: Parameter, value: Any) -> Any:
    """Returns a value as KerasTuner has it."""
    if parameter.kind != "choice" or _is_numeric(parameter):
        return value
    return [json.dumps(v) for v in parameter.values].index(json.dumps(value))


def _nearest(parameter: Parameter, value: Any) -> Any:
    """Returns the value of a range that is nearest to a number; else the first candidate."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or parameter.kind not in ("float", "int"):
        return parameter.candidates[0]
    near = min(max(value, parameter.min), parameter.max)
    if parameter.sampling == "linear":
        near = _on_step(parameter, near)
    return round(near) if parameter.kind == "int" else near


def decode(parameters: Sequence[Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns path to value of the parameters that count, from what KerasTuner has.

    Args:
        parameters: of the space.
        values: of a KerasTuner trial.
    """
    found: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.path not in values or not parameter.active(found):
            continue
        value = values[parameter.path]
        if parameter.kind == "choice" and not _is_numeric(parameter):
            value = parameter.values[int(value)]
        elif parameter.kind == "int":
            value = int(value)
        elif parameter.kind == "float":
            value = _on_step(parameter, float(value))
        found[parameter.path] = value
    return found


def _on_step(parameter: Parameter, value: float) -> float:
    """Returns a number without what the adding of steps left of rounding errors."""
    if parameter.step and parameter.sampling == "linear":
        most = math.floor((parameter.max - parameter.min) / parameter.step + 1e-9)
        steps = min(round((value - parameter.min) / parameter.step), most)
        value = float(f"{parameter.min + steps * parameter.step:.12g}")
    return min(max(value, parameter.min), parameter.max)

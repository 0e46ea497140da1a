"""Conversion of a space and its values to and from KerasTuner's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from kx.search.space import Parameter


def hyperparameters(parameters: Sequence[Parameter], defaults: Mapping[str, Any]) -> Any:
    """Returns the space as KerasTuner's `HyperParameters`.

    A choice is encoded by the index of its value, since KerasTuner accepts neither
    lists nor null nor mixed types; a choice of numbers by the numbers, since their
    order matters. A range of floats with a step is encoded by the indices of its
    values: KerasTuner adds binary floats, and so loses 0.3 in the range 0.1 to 0.3.

    Args:
        parameters: Parameters of the space, each after those on which it depends.
        defaults: Values of the search's config, by path.

    Returns:
        A `keras_tuner.HyperParameters` object without values.
    """
    import keras_tuner

    by_path = {parameter.path: parameter for parameter in parameters}
    space = [_serialized(parameter, by_path, defaults) for parameter in parameters]
    return keras_tuner.HyperParameters.from_config({"space": space, "values": {}})


def starting_values(parameters: Sequence[Parameter], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of the search's config, encoded for KerasTuner, by path.

    A value outside the space is replaced by the nearest one of the space.

    Args:
        parameters: Parameters of the space, each after those on which it depends.
        defaults: Values of the search's config, by path.
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
    kind = parameter.kind
    if _by_place(parameter):
        kind = "int"
        config |= {"min_value": 0, "max_value": parameter.num_steps - 1, "step": 1,
                   "sampling": "linear"}  # fmt: skip
    elif kind in ("float", "int"):
        config |= {
            "min_value": parameter.min, "max_value": parameter.max, "step": parameter.step,
            "sampling": parameter.sampling,
        }  # fmt: skip
    elif kind == "choice":
        values = [encode(parameter, value) for value in parameter.values]
        config |= {"values": values, "ordered": _is_numeric(parameter)}
        config["default"] = values[0] if given is None else given
    else:
        config["default"] = bool(given)
    names = {"float": "Float", "int": "Int", "choice": "Choice", "bool": "Boolean"}
    return {"class_name": names[kind], "config": config}


def _by_place(parameter: Parameter) -> bool:
    return parameter.kind == "float" and bool(parameter.step)


def _is_numeric(parameter: Parameter) -> bool:
    kinds = {type(value) for value in parameter.values}
    return kinds in ({int}, {float})


def encode(parameter: Parameter, value: Any) -> Any:
    """Returns a value in KerasTuner's encoding: a number, a bool, or an index.

    Args:
        parameter: Parameter of the value.
        value: A value that the parameter admits.
    """
    if _by_place(parameter):
        return parameter.place(value)
    if parameter.kind != "choice" or _is_numeric(parameter):
        return value
    return [_as_json(v) for v in parameter.values].index(_as_json(value))


def _as_json(value: Any) -> str:
    return json.dumps(value, default=str)


def _nearest(parameter: Parameter, value: Any) -> Any:
    """Returns the value of a range nearest to a number, or the first candidate of a choice."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or parameter.kind not in ("float", "int"):
        return parameter.candidates[0]
    near = min(max(value, parameter.min), parameter.max)
    if parameter.step:
        return parameter.at(parameter.place(near))
    return round(near) if parameter.kind == "int" else near


def decode(parameters: Sequence[Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of the active parameters by path, decoded from KerasTuner's.

    Args:
        parameters: Parameters of the space, each after those on which it depends.
        values: Values of a KerasTuner trial.
    """
    found: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.path not in values or not parameter.active(found):
            continue
        value = values[parameter.path]
        if parameter.kind == "choice" and not _is_numeric(parameter):
            value = parameter.values[int(value)]
        elif _by_place(parameter):
            value = parameter.at(int(value))
        elif parameter.kind == "int":
            value = int(value)
        elif parameter.kind == "float":
            value = min(max(float(value), parameter.min), parameter.max)
        found[parameter.path] = value
    return found


def as_places(
    config: Mapping[str, Any], parameters: Sequence[Parameter], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """Converts a saved KerasTuner config, in which ranges may be encoded by value, to indices.

    Studies of earlier versions encode a range of floats with a step by its values.

    Args:
        config: Config of `HyperParameters`, as saved in a study.
        parameters: Parameters of the space.
        defaults: Values of the search's config, by path.

    Returns:
        A mapping with the keys `space` and `values`.
    """
    was = {item["config"]["name"]: item["class_name"] for item in config["space"]}
    old = [p for p in parameters if _by_place(p) and was.get(p.path) == "Float"]
    if not old:
        return {"space": config["space"], "values": config["values"]}
    values = dict(config["values"])
    values |= {p.path: p.place(values[p.path]) for p in old if p.path in values}
    return {"space": hyperparameters(parameters, defaults).get_config()["space"], "values": values}

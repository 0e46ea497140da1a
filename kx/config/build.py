"""Builds the object that a node of the config describes."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from kx.errors import ConfigError, did_you_mean


def build(
    node: Any, *args: Any, place: str = "config", partial: bool = False, **kwargs: Any
) -> Any:
    """Calls the `_target_` of a node, with the node's other keys as arguments.

    Args:
        node: Mapping with a `_target_`.
        *args: Positional arguments that precede the node's.
        place: Config path of the node, for messages: `model`. Defaults to "config".
        partial: Whether to return a `functools.partial` in place of the result. Defaults to
            False.
        **kwargs: Runtime arguments, which take precedence over the node's.

    Raises:
        ConfigError: If there is no such target, if it takes no such argument,
            or if it raises an error for a value.

    Example:
    >>> build({"_target_": "collections.Counter"}, ["a", "a"])
    Counter({'a': 2})
    """
    from hydra.errors import HydraException
    from hydra.utils import instantiate

    if not isinstance(node, Mapping | DictConfig) or "_target_" not in node:
        raise ConfigError(f"{place}: expected a mapping with a `_target_`. Received: {node!r}")
    target = node["_target_"]
    try:
        values = _plain(node)
        # A folder may be named `a${b}`, which Hydra would resolve as an interpolation.
        texts = {k: v for k, v in values.items() if isinstance(v, str) and "${" in v}
        others = {key: value for key, value in values.items() if key not in texts}
        made = instantiate({**others, "_partial_": True}, _convert_="all")
        bound = functools.partial(made.func, *made.args, **made.keywords, **texts)
    except (HydraException, ImportError) as error:
        raise ConfigError(f"{place}: {_first_cause(error)}") from error
    _check_arguments(bound, args, kwargs, f"{place} ({target})", complete=not partial)
    if partial:
        return functools.partial(bound, *args, **kwargs)
    try:
        return bound(*args, **kwargs)
    except ConfigError:  # its message names the wrong key
        raise
    except (ValueError, TypeError) as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        raise ConfigError(f"{place} ({target}) refused its arguments: {error}") from error


def _plain(node: Any) -> dict[str, Any]:
    return (
        OmegaConf.to_container(node, resolve=True)  # type: ignore[return-value]
        if OmegaConf.is_config(node)
        else dict(node)
    )


def _first_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)


def _check_arguments(
    bound: functools.partial[Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    place: str,
    *,
    complete: bool,
) -> None:
    """Raises an error for unknown arguments and, if `complete`, for missing ones."""
    try:
        parameters = inspect.signature(bound.func).parameters
    except (TypeError, ValueError):  # some C functions have no signature
        return
    # Keras's own `**kwargs` accept only deprecated names, so other names are mistakes.
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if open_ended and not str(getattr(bound.func, "__module__", "")).startswith("keras."):
        return
    names = [n for n, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    tunable = names[len(args) :]
    unknown = [name for name in bound.keywords if name not in names and name != "dtype"]
    if unknown:
        texts = [f"{name!r} is not an argument. {did_you_mean(name, tunable)}" for name in unknown]
        raise ConfigError(f"{place}: " + " ".join(texts))
    given = {*names[: len(args)], *bound.keywords, *kwargs}
    missing = [
        n for n in names if n not in given and parameters[n].default is inspect.Parameter.empty
    ]
    if missing and complete:
        raise ConfigError(f"{place}: missing argument {', '.join(map(repr, missing))}.")

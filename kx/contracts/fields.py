"""Operations on one value, or on fields by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def map_fields(function: Callable[..., Any], fields: Any, *others: Any) -> Any:
    """Applies a function to a value, or to each field.

    Args:
        function: Function of a value, and of the values at the same place in `others`.
        fields: One value, or a mapping of values by name.
        *others: Further values, or mappings with the same names.

    Returns:
        The result, or the results by name.

    Example:
    >>> map_fields(len, "abc"), map_fields(len, {"text": "abc", "label": "a"})
    (3, {'text': 3, 'label': 1})
    """
    if not isinstance(fields, Mapping):
        return function(fields, *others)
    return {name: function(fields[name], *(other[name] for other in others)) for name in fields}


def values_of(fields: Any) -> list[Any]:
    """Returns the values of all fields, or the one value, as a list.

    Args:
        fields: One value, or a mapping of values by name.
    """
    return list(fields.values()) if isinstance(fields, Mapping) else [fields]


def named_fields(fields: Any, name: str) -> dict[str, Any]:
    """Returns the fields by name; one value gets the given name.

    Args:
        fields: One value, or a mapping of values by name.
        name: Name of a value that is not a mapping.
    """
    return dict(fields) if isinstance(fields, Mapping) else {name: fields}


def count_of(fields: Any) -> int:
    """Returns the number of examples, the length of the first field.

    Args:
        fields: Array, or arrays by name.
    """
    return len(values_of(fields)[0])

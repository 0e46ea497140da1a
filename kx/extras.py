"""Optional dependencies, imported where they are needed."""

from __future__ import annotations

import importlib
from types import ModuleType

from kx.errors import MissingExtraError


def import_extra(module: str, *, extra: str, needed_by: str) -> ModuleType:
    """Returns a module of an optional dependency.

    Args:
        module: Name of the module.
        extra: Extra of kx that installs it.
        needed_by: What the user has chosen, for the message: `"tokenizer=jieba"`.

    Raises:
        MissingExtraError: If it is not installed. The message has the line that installs it.

    Example:
    >>> import_extra("numpy", extra="none", needed_by="this example").__name__
    'numpy'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f'{needed_by} needs {module}; it is not installed: pip install "kx[{extra}]"'
        ) from error

"""Shows the examples of docstrings as code: doctests, and lines indented below `Example:`."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^Example:\n((?:.*\n?)*?)(?=^\S[^>\n]*:\n|\Z)", re.MULTILINE)


class ExamplesAsCode(griffe.Extension):
    """Rewrites the section `Example:` of each docstring into the form that griffe knows."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrites the docstring of an object.

        Args:
            obj: Object whose docstring may have an example.
            **_: What griffe says of its visit.
        """
        if obj.docstring is not None:
            obj.docstring.value = _EXAMPLE.sub(_as_code, obj.docstring.value)


def _as_code(found: re.Match[str]) -> str:
    body = textwrap.dedent(found[1]).strip("\n")
    if body.startswith(">>>"):
        return "Examples:\n" + textwrap.indent(body, "    ") + "\n"
    return "Example:\n" + textwrap.indent(f"```python\n{body}\n```", "    ") + "\n"

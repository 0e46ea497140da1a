"""Puts the options of each command into its page, as the program prints them."""

from __future__ import annotations

import contextlib
import io
import os
import re
from typing import Any

_PLACE = re.compile(r"^<!-- options of kx ([\w -]+) -->$", re.MULTILINE)


def options_of(command: str) -> str:
    """Returns the help text of a command of `kx`.

    Args:
        command: Words of the command: `"data show"`.
    """
    from kx.cli import main

    os.environ["COLUMNS"] = "78"
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        main([*command.split(), "--help"])
    return text.getvalue()


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replaces each mark of a page by the options of the command that it names.

    Args:
        markdown: Text of a page.
        **_: What MkDocs says of the page.
    """
    return _PLACE.sub(lambda found: f"```text\n{options_of(found[1])}```", markdown)

"""How a side hands its numbers to the process that started it."""

from __future__ import annotations

import json

MARK = "RESULT "  # begins the line that has them
TURN = "TURN"  # the line by which a side says that it waits for its turn


def print_result(**numbers: float | list[float]) -> None:
    """Prints numbers by name, on a line of their own."""
    print(MARK + json.dumps(numbers), flush=True)

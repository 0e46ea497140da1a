"""How many random inputs a fuzz test tries: a few among the ordinary tests, 1,000 with nox."""

from __future__ import annotations

import os

FEW = 25


def fuzz_count() -> int:
    """Returns the number of random inputs: KX_FUZZ_COUNT, else a few."""
    return int(os.environ.get("KX_FUZZ_COUNT", FEW))

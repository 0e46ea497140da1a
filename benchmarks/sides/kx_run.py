"""kx as a user has it: the words are overrides. Prints the seconds of each epoch's steps."""

from __future__ import annotations

import sys

from clock import EpochClock
from result import print_result

from kx.api import train


def main() -> None:
    run = train(*sys.argv[1:], "+callbacks.clock._target_=clock.EpochClock", quiet=True)
    scores = {name: value for name, value in run.metrics.items() if name.startswith("test/")}
    print_result(step_seconds=EpochClock.step_seconds(), **scores)


if __name__ == "__main__":
    main()

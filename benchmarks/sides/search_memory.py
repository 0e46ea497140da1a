"""Searches in this process, and prints its memory after a tenth of the trials and at the end."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import psutil
from result import print_result

from kx.run import main
from kx.search.study import FILE, Study

seen: dict[int, float] = {}
done = threading.Event()


def watch() -> None:
    process = psutil.Process()
    while not done.is_set():
        for path in Path.cwd().glob(f"studies/*/{FILE}"):
            seen[len(Study.load(path.parent).trials)] = process.memory_info().rss / 2**20
        time.sleep(0.2)


if __name__ == "__main__":  # the processes of the trials import this file, too
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    code = main(sys.argv[1:])
    done.set()
    thread.join()
    assert code == 0
    last = (
        max(seen) - 1
    )  # with the last trial the search ends: its figures import Plotly and Optuna
    early = [memory for count, memory in seen.items() if count <= max(1, last // 10)]
    print_result(early=max(early), late=seen[last])

"""What the benchmarks share: fresh processes, alternating pairs, ratios as medians."""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from sides.result import MARK, TURN

ROOT = Path(__file__).resolve().parents[1]
SIDES = Path(__file__).resolve().parent / "sides"


def arguments(doc: str | None, *, pairs: int = 5) -> argparse.ArgumentParser:
    """Returns a parser with the arguments that every benchmark has."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data-dir",
        default=os.environ.get("KX_BENCHMARK_DATA"),
        help="folder that holds a prepared cifar10/ (KX_BENCHMARK_DATA; else TFDS's own)",
    )
    parser.add_argument("--pairs", type=int, default=pairs, help="alternating pairs")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="next to no data: shows that the script runs to its end; the numbers mean nothing",
    )
    return parser


def data_dir_words(data_dir: str | None) -> list[str]:
    """Returns the arguments that pass the data's folder on to a side."""
    return [] if data_dir is None else ["--data-dir", str(Path(data_dir).expanduser().absolute())]


def heading(title: str) -> None:
    """Prints what is measured, and where."""
    versions = ", ".join(f"{n} {importlib.metadata.version(n)}" for n in ("tensorflow", "keras"))
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"\n{title}\n  on {num_cores()} cores ({_processor()}){load}; {versions}", flush=True)


def num_cores() -> int:
    """Returns the number of cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown processor"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown processor"


@contextmanager
def temporary_project() -> Iterator[Path]:
    """Makes the empty folder of a user's project, with a store and runs of its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        (Path(folder) / "conf").mkdir()  # by which kx knows the project's folder
        yield Path(folder)


def run_side(words: Sequence[str], cwd: Path, **env: str) -> float:
    """Runs a Python command to its end in a fresh process, and returns its seconds."""
    return _run(words, cwd, env)[0]


def result_of(words: Sequence[str], cwd: Path, **env: str) -> dict[str, float]:
    """Runs a Python command in a fresh process, and returns the numbers that it prints."""
    _, output = _run(words, cwd, env)
    lines = [line for line in output.splitlines() if line.startswith(MARK)]
    if not lines:
        raise SystemExit(f"{' '.join(words)} printed no result:\n{output[-4000:]}")
    return json.loads(lines[-1].removeprefix(MARK))


def in_turns(sides: Mapping[str, Sequence[str]]) -> dict[str, dict]:
    """Runs Python commands side by side, of which one works at a time, an epoch each in turn.

    On a machine that is slow in one minute and fast in the next, epochs that are
    seconds apart can be compared where whole trainings cannot.

    Args:
        sides: name to words. Each must train with `clock.EpochClock`.

    Returns:
        Name to the numbers that the side prints.
    """
    with contextlib.ExitStack() as stack:
        processes = {}
        for name, words in sides.items():
            errors = stack.enter_context(tempfile.TemporaryFile("w+", errors="replace"))
            process = subprocess.Popen(
                [sys.executable, *words],
                cwd=stack.enter_context(temporary_project()),
                env=_environment(KX_BENCHMARK_TURNS="1"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                errors="replace",
            )
            stack.callback(process.kill)
            processes[name] = (process, errors)
            _until_turn(process)  # one at a time is how they start, too
        results: dict[str, dict] = {}
        while len(results) < len(processes):
            for name, (process, errors) in processes.items():
                if name in results:
                    continue
                assert process.stdin
                process.stdin.write("go\n")
                process.stdin.flush()
                result = _until_turn(process)
                if result is not None:
                    results[name] = result
                elif process.poll() is not None:
                    errors.seek(0)
                    raise SystemExit(f"{' '.join(sides[name])}:\n{errors.read()[-4000:]}")
        return results


def _until_turn(process: subprocess.Popen[str]) -> dict | None:
    """Reads on until a side waits for its turn (None) or has its result."""
    assert process.stdout
    for line in process.stdout:
        if line.startswith(MARK):
            process.wait()
            return json.loads(line.removeprefix(MARK))
        if line.strip() == TURN:
            return None
    process.wait()
    return None


def _environment(**env: str) -> dict[str, str]:
    path = os.pathsep.join([str(SIDES), str(ROOT), os.environ.get("PYTHONPATH", "")])
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    return clean | {
        "PYTHONPATH": path.rstrip(os.pathsep),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KX_BENCHMARK_STARTED": repr(time.time()),  # a wall clock: two processes read it
        **env,
    }


def _run(words: Sequence[str], cwd: Path, env: Mapping[str, str]) -> tuple[float, str]:
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env=_environment(**env),
        capture_output=True,
        text=True,
        errors="replace",
    )
    seconds = time.perf_counter() - begun
    if done.returncode:
        raise SystemExit(
            f"{' '.join(words)} ended with {done.returncode}:\n"
            f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        )
    return seconds, done.stdout


def alternate(
    sides: Mapping[str, Callable[[], float]], pairs: int, unit: str
) -> dict[str, list[float]]:
    """Measures each side in turn, A, B, A, B …, so that a slow minute falls on both.

    Args:
        sides: name to a function that measures once.
        pairs: how often each is measured.
        unit: of the numbers.

    Returns:
        Name to one number a pair.
    """
    numbers: dict[str, list[float]] = {name: [] for name in sides}
    for pair in range(1, pairs + 1):
        for name, measure in sides.items():
            numbers[name].append(measure())
        texts = [f"{name} {values[-1]:,.4g}" for name, values in numbers.items()]
        print(f"  pair {pair} of {pairs}: {',  '.join(texts)} {unit}", flush=True)
    return numbers


def ratio(
    label: str,
    above: Sequence[float],
    below: Sequence[float],
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> float:
    """Prints the median of the ratios of pairs, their range, and whether the bar is met."""
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    return summarize(label, ratios, at_least=at_least, at_most=at_most)


def summarize(
    label: str,
    ratios: Sequence[float],
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> float:
    """Prints the median of ratios, their range, and whether the bar is met."""
    middle = statistics.median(ratios)
    verdict = ""
    if at_least is not None:
        verdict = f"   bar >= {at_least:g}: {'met' if middle >= at_least else 'NOT met'}"
    if at_most is not None:
        verdict = f"   bar <= {at_most:g}: {'met' if middle <= at_most else 'NOT met'}"
    spread = f"({min(ratios):.3f} .. {max(ratios):.3f}, n={len(ratios)})"
    print(f"  {label:<52} {middle:.3f} {spread}{verdict}", flush=True)
    return middle


def median(label: str, values: Sequence[float], unit: str) -> None:
    """Prints the median of a side's numbers, and their range."""
    middle, low, high = statistics.median(values), min(values), max(values)
    print(f"  {label:<52} {middle:,.4g} {unit} ({low:,.4g} .. {high:,.4g})", flush=True)

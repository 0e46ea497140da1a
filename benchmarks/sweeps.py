"""What does a sweep cost beyond its trainings, and what does it cost to be able to go on?

    python benchmarks/sweeps.py                     # all four parts
    python benchmarks/sweeps.py --parts job workers

job       seconds of a job beyond its training (report off, MLflow on): the time of
          a sweep of N jobs, less that of one job, over N - 1, less what the same
          training takes in plain Keras once all is imported (sides/plain_wine.py);
          against a fresh `python -m kx.run` for each. Bar: at most 1 s.
memory    the largest memory of each of eight jobs, one after the other. Bar: that
          of the last is that of the first, within 5 %.
workers   jobs a minute with launcher.workers=2 / with one, for one-thread jobs.
          Bar: at least 1.6.
state     seconds to keep the state of `model=cnn` on 32x32x3 with Adam, and of a
          DCGAN with its two networks and optimizers, after an epoch, as a share of an
          epoch of 5 s. Bar: at most 2 %.
"""

from __future__ import annotations

import argparse
import csv
import re
import statistics
import time
from functools import partial

from common import (
    SIDES,
    alternate,
    arguments,
    heading,
    median,
    ratio,
    result_of,
    run_side,
    summarize,
    temporary_project,
)

NUM_JOBS = 8
TRAINING = ["data=wine", "model=mlp", "epochs=20", "report=none", "tracking.system_metrics=false"]
ONE_THREAD = ["threads.intra_op=1", "threads.inter_op=1"]


def main() -> None:
    parser = arguments(__doc__)
    parts = {"job": job, "memory": memory, "workers": workers, "state": state}
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    args = parser.parse_args()
    for part in args.parts:
        parts[part](args)


def job(args: argparse.Namespace) -> None:
    heading("A job of a sweep beyond its training, against a fresh python for each")
    count = 2 if args.quick else NUM_JOBS

    def in_sweep() -> float:
        with temporary_project() as project:
            last = "range(0,{})".format
            many = run_side(["-m", "kx.run", "-m", f"seed={last(count)}", *TRAINING], project)
        with temporary_project() as project:
            one = run_side(["-m", "kx.run", "-m", "seed=0", *TRAINING], project)
        return (many - one) / (count - 1)

    def alone() -> float:
        with temporary_project() as project:
            return run_side(["-m", "kx.run", "seed=0", *TRAINING], project)

    def plain() -> float:
        with temporary_project() as project:
            return result_of([str(SIDES / "plain_wine.py")], project)["seconds"]

    sides = {"sweep": in_sweep, "plain Keras": plain, "fresh python": alone}
    times = alternate(sides, args.pairs, "s")
    for name, label in (("sweep", "a job of a sweep"), ("fresh python", "a fresh python")):
        beyond = [a - b for a, b in zip(times[name], times["plain Keras"], strict=True)]
        median(f"{label}, beyond its training", beyond, "s")
        if name == "sweep":
            summarize("seconds beyond the training", beyond, at_most=1.0)
    ratio("fresh python / sweep", times["fresh python"], times["sweep"])


def memory(args: argparse.Namespace) -> None:
    heading(f"The largest memory of each of {NUM_JOBS} jobs, in MiB")
    words = ["+callbacks.memory._target_=memory.PeakMemory", *TRAINING, "data=digits"]
    with temporary_project() as project:
        run_side(["-m", "kx.run", "-m", f"seed=range(0,{NUM_JOBS})", *words], project)
        peaks = []
        for log in sorted(project.glob("runs/sweep-*/job-*.log")):
            found = re.search(r"^peak (\d+) MiB", log.read_text(), re.MULTILINE)
            assert found, log.read_text()
            peaks.append(float(found[1]))
    print("  " + ", ".join(f"{peak:.0f}" for peak in peaks))
    summarize("last / first", [peaks[-1] / peaks[0]], at_most=1.05)


def workers(args: argparse.Namespace) -> None:
    heading("Jobs a minute with two workers, against one; one-thread jobs")
    count = 2 if args.quick else 2 * NUM_JOBS
    words = ["data=digits", "epochs=6", "report=none", "callbacks=none", *ONE_THREAD]

    def rate(number: int) -> float:
        with temporary_project() as project:
            run = ["-m", "kx.run", "-m", f"seed=range(0,{count})", f"launcher.workers={number}"]
            seconds = run_side([*run, *words], project)
            [table] = project.glob("runs/sweep-*/results.csv")
            assert len(list(csv.DictReader(table.open()))) == count
            return 60 * count / seconds

    sides = {f"{number} workers": partial(rate, number) for number in (2, 1)}
    rates = alternate(sides, args.pairs, "jobs/min")
    ratio("two workers / one", rates["2 workers"], rates["1 workers"], at_least=1.6)


def state(args: argparse.Namespace) -> None:
    heading("To keep the state of a training, after an epoch")
    for name, words in {"cnn": [], "a learner: dcgan": ["learner"]}.items():
        shares = []
        for _ in range(1 if args.quick else args.pairs):
            with temporary_project() as project:
                seconds = result_of([str(SIDES / "keep_state.py"), *words], project)["seconds"]
            shares.append(statistics.median(seconds) / 5.0)
        median(f"{name}: seconds", [share * 5.0 for share in shares], "s")
        summarize(f"{name}: share of an epoch of 5 s", shares, at_most=0.02)


if __name__ == "__main__":
    begun = time.perf_counter()
    main()
    print(f"\n{time.perf_counter() - begun:.0f} s")

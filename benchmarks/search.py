"""What does a search cost beyond its trainings, and what does each method find?

    python benchmarks/search.py                     # cost, workers, memory
    python benchmarks/search.py --parts quality     # half an hour

trial     seconds of a trial (data=wine, MLflow on): the time of a search of N trials,
          less that of a search of one, over N - 1; against the same in plain
          KerasTuner in one process (sides/plain_tuner.py), bar: at most 1 s more;
          and against a fresh `python -m kx.run` for each, bar: at most half.
workers   trials a minute with tuner.workers=2 / with one, for one-thread trials.
          Bar: at least 1.6.
memory    the largest memory of the search's own process after 10 trials and after
          N. Bar: at most 1.05.
quality   data=digits, a small cnn: the best validation loss that each method finds
          with as many epochs of training, as the median of seeds. Bar: bayesian and
          hyperband at least as good as random.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from functools import partial
from pathlib import Path

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

NUM_TRIALS = 12
RATE = "tuner.space.optimizer.learning_rate={type: float, min: 1e-4, max: 1e-2, sampling: log}"
TRAINING = ["data=wine", "model=mlp", "epochs=20", "report=none", "tracking.system_metrics=false"]
SEARCH = ["-m", "kx.run", "tuner=random", "tuner.winner=none", RATE]
ONE_THREAD = ["threads.intra_op=1", "threads.inter_op=1"]
# Nine epochs are Hyperband's longest; its whole algorithm trains about this many in all.
MAX_EPOCHS = 9
QUALITY = [
    "data=digits", "model.filters=[8,16]", "model.dense_units=32", "report=none", "augment=none",
    f"epochs={MAX_EPOCHS}", "tuner.winner=none", "tuner.objective=val_loss", "callbacks=none",
    "tuner.start_with_defaults=false", "tracking=none",
    "tuner.space.optimizer.learning_rate={type: float, min: 1e-5, max: 1e-1, sampling: log}",
    "tuner.space.model.dropout={type: float, min: 0.0, max: 0.8}",
    "tuner.space.batch_size={type: choice, values: [16, 32, 64, 128]}",
]  # fmt: skip


def main() -> None:
    parser = arguments(__doc__)
    parts = {"trial": trial, "workers": workers, "memory": memory, "quality": quality}
    parser.add_argument("--parts", nargs="+", choices=parts, default=["trial", "workers", "memory"])
    parser.add_argument("--seeds", type=int, default=5, help="of the part quality")
    parser.add_argument("--trials", type=int, default=100, help="of the part memory")
    args = parser.parse_args()
    for part in args.parts:
        parts[part](args)


def trial(args: argparse.Namespace) -> None:
    heading("A trial of a search, against plain KerasTuner and a fresh python for each")
    count = 2 if args.quick else NUM_TRIALS
    whole: list[float] = []

    def in_search() -> float:
        seconds = []
        for number in (count, 1):
            with temporary_project() as project:
                words = [*SEARCH, f"tuner.max_trials={number}", *TRAINING]
                seconds.append(run_side(words, project))
        whole.append(seconds[0])
        return (seconds[0] - seconds[1]) / (count - 1)

    def plain() -> float:
        with temporary_project() as project:
            return result_of([str(SIDES / "plain_tuner.py"), str(count)], project)["seconds"]

    def alone() -> float:
        with temporary_project() as project:
            return run_side(["-m", "kx.run", *TRAINING], project)

    sides = {"search": in_search, "plain KerasTuner": plain, "fresh python": alone}
    times = alternate(sides, args.pairs, "s")
    for name, values in times.items():
        median(f"a trial, {name}", values, "s")
    pairs = zip(times["search"], times["plain KerasTuner"], strict=True)
    summarize("seconds beyond plain KerasTuner's", [a - b for a, b in pairs], at_most=1.0)
    fresh = [count * seconds for seconds in times["fresh python"]]
    ratio(f"{count} fresh processes / the search", fresh, whole, at_least=2.0)


def workers(args: argparse.Namespace) -> None:
    heading("Trials a minute with two workers, against one; one-thread trials")
    count = 2 if args.quick else 2 * NUM_TRIALS
    words = ["data=digits", "epochs=6", "report=none", "callbacks=none", *ONE_THREAD]

    def rate(number: int) -> float:
        with temporary_project() as project:
            run = [*SEARCH, f"tuner.max_trials={count}", f"tuner.workers={number}", *words]
            return 60 * count / run_side(run, project)

    sides = {f"{number} workers": partial(rate, number) for number in (2, 1)}
    rates = alternate(sides, args.pairs, "trials/min")
    ratio("two workers / one", rates["2 workers"], rates["1 workers"], at_least=1.6)


def memory(args: argparse.Namespace) -> None:
    heading(f"The memory of a search's own process over {args.trials} trials, in MiB")
    count = 4 if args.quick else args.trials
    with temporary_project() as project:
        words = ["tuner=random", "tuner.winner=none", RATE, *TRAINING, "epochs=1", "tracking=none"]
        words += [f"tuner.max_trials={count}", "tuner.workers=2"]
        peaks = result_of([str(SIDES / "search_memory.py"), *words], project)
    print(f"  after a tenth {peaks['early']:.0f}, at the end {peaks['late']:.0f}")
    summarize("end / tenth", [peaks["late"] / peaks["early"]], at_most=1.05)


def quality(args: argparse.Namespace) -> None:
    heading(f"The best validation loss of as many epochs, {args.seeds} seeds")
    found: dict[str, list[float]] = {}
    for seed in range(args.seeds):
        budget = None
        for method in ("hyperband", "random", "bayesian"):
            trials = [] if budget is None else [f"tuner.max_trials={budget // MAX_EPOCHS}"]
            if method == "bayesian":  # 9 by itself, for 3 keys: more than there are trials
                trials.append("tuner.num_initial_points=3")
            best, epochs = best_of(method, seed, trials)
            budget = budget or epochs
            found.setdefault(method, []).append(best)
            print(f"  seed {seed}, {method}: {best:.4f} after {epochs} epochs", flush=True)
    for method, losses in found.items():
        median(f"{method}, best val_loss", losses, "")
    for method in ("bayesian", "hyperband"):
        middle = statistics.median(found[method]) / statistics.median(found["random"])
        summarize(f"{method} / random, of the medians", [middle], at_most=1.0)


def best_of(method: str, seed: int, extra: list[str]) -> tuple[float, int]:
    """Returns the best loss of a search, and the epochs that it trained."""
    with temporary_project() as project:
        words = [f"tuner={method}", f"tuner.seed={seed}", f"seed={seed}", "tuner.study=s"]
        run_side(["-m", "kx.run", *words, "tuner.workers=2", *QUALITY, *extra], Path(project))
        study = json.loads((Path(project) / "studies" / "s" / "study.json").read_text())
    scores = [trial["score"] for trial in study["trials"] if trial["score"] is not None]
    by_run = {t["executions"][0]["folder"]: 0 for t in study["trials"]}
    for item in study["trials"]:
        folder = item["executions"][0]["folder"]
        by_run[folder] = max(by_run[folder], item["executions"][0]["epochs"])
    return min(scores), sum(by_run.values())


if __name__ == "__main__":
    begun = time.perf_counter()
    main()
    print(f"\n{time.perf_counter() - begun:.0f} s")

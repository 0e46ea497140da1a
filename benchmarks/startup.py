"""How long does kx need to its first training step, and to answer --help?

    python benchmarks/startup.py

first step   seconds from the command to the end of the first training step of
             `python -m kx.run model=cnn data=digits augment=none`, with tracking (the
             project's store is there already) and without, against a short plain
             Keras script on the same data (sides/plain_digits.py). Both end by
             the same callback. Adam, batches of 32, 1,294 images of 8x8.
--help       seconds of `python -m kx.run --help` against a bare `@hydra.main` app
             (sides/hydra_app.py) on two confs: a small one (three groups of two
             options), and a copy of kx's own.
             Bar: at most 1.3 times the app with the small conf.

Each measurement is a fresh process; the sides alternate; one round before the first
is not counted, so that files are in the system's cache. Needs no --data-dir. Prints
the median ratio of the pairs and its range.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from functools import partial
from pathlib import Path

from common import (
    ROOT,
    SIDES,
    alternate,
    arguments,
    heading,
    median,
    ratio,
    result_of,
    run_side,
    temporary_project,
)

RUN = ["-m", "kx.run"]
FIRST_STEP = [
    *RUN,
    "model=cnn",
    "data=digits",
    "augment=none",
    "report=none",
    "+callbacks.first_step._target_=clock.FirstStep",
]
# Groups of the small conf, with their options.
SMALL_CONF = {
    "model": {"cnn": "filters: [32, 64]\ndropout: 0.5\n", "mlp": "units: [128, 64]\n"},
    "data": {"digits": "limit: null\nbatch_size: 32\n", "cifar10": "batch_size: 128\n"},
    "optimizer": {"adam": "learning_rate: 0.001\n", "sgd": "learning_rate: 0.01\n"},
}


def main() -> None:
    parser = arguments(__doc__)
    parts = {"first-step": first_step, "help": help_text}
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    args = parser.parse_args()
    for part in args.parts:
        parts[part](args)


def first_step(args: argparse.Namespace) -> None:
    heading("From the command to the first training step: kx against a plain Keras script")
    with temporary_project() as project:

        def seconds(*words: str) -> float:
            return result_of(words, project)["seconds"]

        sides = {
            "kx": partial(seconds, *FIRST_STEP),
            "kx, tracking=none": partial(seconds, *FIRST_STEP, "tracking=none"),
            "plain": partial(seconds, str(SIDES / "plain_digits.py")),
        }
        first = sides["kx"]()  # makes the project's store
        print(f"  kx, the first run ever in a project: {first:.1f} s", flush=True)
        warm_up(args, sides)
        times = alternate(sides, args.pairs, "s")
    for name, values in times.items():
        median(name, values, "s")
    ratio("kx / plain", times["kx"], times["plain"])
    ratio("kx, tracking=none / plain", times["kx, tracking=none"], times["plain"])


def help_text(args: argparse.Namespace) -> None:
    heading("--help: kx against a bare Hydra app")
    app = [str(SIDES / "hydra_app.py"), "--help"]
    with temporary_project() as project, tempfile.TemporaryDirectory() as folder:
        small, same = Path(folder, "small"), Path(folder, "same")
        write_small_conf(small)
        copy_own_conf(same)
        sides = {
            "kx": partial(run_side, [*RUN, "--help"], project),
            "bare app": partial(run_side, app, project, KX_BENCHMARK_CONF=str(small)),
            "bare app, kx's conf": partial(run_side, app, project, KX_BENCHMARK_CONF=str(same)),
        }
        warm_up(args, sides)
        times = alternate(sides, args.pairs, "s")
    for name, values in times.items():
        median(name, values, "s")
    ratio("kx / bare app", times["kx"], times["bare app"], at_most=1.3)
    ratio("kx / bare app with kx's conf", times["kx"], times["bare app, kx's conf"])


def warm_up(args: argparse.Namespace, sides: dict) -> None:
    """Runs each side once, uncounted."""
    for measure in sides.values():
        if not args.quick:
            measure()


def write_small_conf(folder: Path) -> None:
    """Writes a primary config and three groups of two options."""
    for group, options in SMALL_CONF.items():
        (folder / group).mkdir(parents=True)
        for name, text in options.items():
            (folder / group / f"{name}.yaml").write_text(text, encoding="utf-8")
    choices = "".join(f"  - {group}: {next(iter(SMALL_CONF[group]))}\n" for group in SMALL_CONF)
    text = f"defaults:\n{choices}  - _self_\n\nepochs: 30\nseed: 0\nprecision: float32\n"
    (folder / "run.yaml").write_text(text, encoding="utf-8")


def copy_own_conf(folder: Path) -> None:
    """Copies kx's conf/, without what only kx can resolve: its schema and experiments."""
    shutil.copytree(ROOT / "conf", folder)
    lines = (folder / "run.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.strip().startswith(("- schema", "- experiment:"))]
    (folder / "run.yaml").write_text("".join(kept), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Is training with kx as fast as a good hand-written script, and faster than the usual one?

    python benchmarks/training.py --data-dir FOLDER              # all parts
    python benchmarks/training.py --parts throughput fit
    python benchmarks/training.py --parts precision --seeds 5

The net is `model=cnn` on CIFAR-10 with flip and pad-crop, batches of 128. Each
training has a fresh process, and the sides alternate. kx runs as a user has it:
tracking in a project of its own, checkpoints, early stopping, system metrics.

throughput   examples/s of the training steps, the first epochs left out:
             kx / plain Keras with the best pipeline (sides/best_keras.py), the
             two in turns, an epoch each, and compared epoch by epoch: a machine
             whose speed drifts by a fifth within a minute allows nothing else.
             Bar: at least 0.98. Whole epochs are printed too; kx's also hold
             its checkpoints and tracking, which the other side does not do.
fit          seconds of six epochs of about 5 s, from the call of `fit` to its
             return: the usual tutorial script (sides/tutorial_keras.py) / kx.
             Bar: at least 1.3.
augment      examples/s of the training steps with an augmentation / with none, in turns
             likewise. Bar: at least 0.97 for flip, crop_flip and translate, and 0.85
             for randaugment.
precision    kx with mixed_bfloat16 / kx with float32, in examples/s, and the test
             accuracy of both over some seeds.

Prints the median ratio of the pairs and its range.
"""

from __future__ import annotations

import argparse
import statistics
from functools import partial

from common import (
    SIDES,
    alternate,
    arguments,
    data_dir_words,
    heading,
    in_turns,
    median,
    ratio,
    result_of,
    summarize,
    temporary_project,
)

NUM_EXAMPLES = 5_120  # 9 of 10 for training: 36 whole batches of 128
UNIT_EXAMPLES = 1_280  # 9 of 10: 9 whole batches
FIT_EPOCHS = 6


def main() -> None:
    parser = arguments(__doc__)
    parts = {"throughput": throughput, "fit": fit, "augment": augment, "precision": precision}
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--warm-up-epochs", type=int, default=2, help="left out (throughput)")
    parser.add_argument("--epochs", type=int, default=12, help="measured after them (throughput)")
    parser.add_argument("--epoch-seconds", type=float, default=5.0, help="aimed at (fit)")
    parser.add_argument("--seeds", type=int, default=5, help="trainings a side (precision)")
    parser.add_argument("--seed-epochs", type=int, default=12, help="of each (precision)")
    args = parser.parse_args()
    if args.quick:
        args.warm_up_epochs, args.epochs, args.seed_epochs = 1, 1, 2
    for part in args.parts:
        parts[part](args)


# --- throughput


def throughput(args: argparse.Namespace) -> None:
    heading("Training steps: kx against plain Keras with the best pipeline")
    epochs = args.warm_up_epochs + args.epochs
    examples = UNIT_EXAMPLES if args.quick else NUM_EXAMPLES
    scripts = {"kx": "kx_training.py", "plain": "best_keras.py"}
    words = {name: side_words(args, script, examples, epochs) for name, script in scripts.items()}
    measured = slice(args.warm_up_epochs, None)
    steps, whole_epochs = [], []
    rates: dict[str, list[float]] = {"kx": [], "plain": []}
    for pair in range(1, args.pairs + 1):
        order = list(words) if pair % 2 else list(reversed(words))  # no side is always the first
        numbers = in_turns({name: words[name] for name in order})
        rate, whole = (
            {name: side[key][measured] for name, side in numbers.items()}
            for key in ("examples_per_second", "epoch_seconds")
        )
        steps.append(of_epochs(rate["kx"], rate["plain"]))
        whole_epochs.append(of_epochs(whole["plain"], whole["kx"]))
        for name in rates:
            rates[name].append(statistics.median(rate[name]))
        print(
            f"  pair {pair} of {args.pairs}: kx {rates['kx'][-1]:,.0f}, plain"
            f" {rates['plain'][-1]:,.0f} examples/s; epoch by epoch {steps[-1]:.3f}",
            flush=True,
        )
    median("kx", rates["kx"], "examples/s")
    median("plain Keras, best pipeline", rates["plain"], "examples/s")
    summarize("training steps, kx / plain", steps, at_least=0.98)
    summarize("whole epochs, plain / kx", whole_epochs)


def of_epochs(above: list[float], below: list[float]) -> float:
    """Returns the median of the ratios of epochs that followed each other."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


# --- fit


def fit(args: argparse.Namespace) -> None:
    heading(f"fit, {FIT_EPOCHS} epochs from start to end: kx against the usual tutorial script")
    examples = examples_for(args)
    epochs = 2 if args.quick else FIT_EPOCHS
    print(f"  {examples:,} examples an epoch, {epochs} epochs", flush=True)

    def seconds(script: str) -> float:
        return train(args, script, examples, epochs)["fit_seconds"]

    times = alternate(
        {
            "kx": partial(seconds, "kx_training.py"),
            "tutorial": partial(seconds, "tutorial_keras.py"),
            "plain": partial(seconds, "best_keras.py"),
        },
        args.pairs,
        "s",
    )
    median("kx", times["kx"], "s")
    median("tutorial script", times["tutorial"], "s")
    median("plain Keras, best pipeline", times["plain"], "s")
    ratio("tutorial / kx", times["tutorial"], times["kx"], at_least=1.3)
    ratio("plain, best pipeline / kx", times["plain"], times["kx"])


def examples_for(args: argparse.Namespace) -> int:
    """Returns how many examples make an epoch of the wanted seconds on this machine."""
    if args.quick:
        return UNIT_EXAMPLES
    rates = train(args, "best_keras.py", NUM_EXAMPLES, epochs=2)["examples_per_second"]
    units = round(args.epoch_seconds * rates[-1] / (0.9 * UNIT_EXAMPLES))
    return UNIT_EXAMPLES * max(1, units)


# --- augment


def augment(args: argparse.Namespace) -> None:
    heading("Training steps of kx with an augmentation against none")
    epochs = args.warm_up_epochs + args.epochs
    examples = UNIT_EXAMPLES if args.quick else NUM_EXAMPLES
    measured = slice(args.warm_up_epochs, None)
    bars = {"flip": 0.97, "crop_flip": 0.97, "translate": 0.97, "randaugment": 0.85}
    words = {
        name: side_words(args, "kx_training.py", examples, epochs, f"augment={name}")
        for name in ("none", *bars)
    }
    ratios: dict[str, list[float]] = {name: [] for name in bars}
    for pair in range(1, args.pairs + 1):
        order = list(words) if pair % 2 else list(reversed(words))
        numbers = in_turns({name: words[name] for name in order})
        rates = {name: side["examples_per_second"][measured] for name, side in numbers.items()}
        for name, values in ratios.items():
            values.append(of_epochs(rates[name], rates["none"]))
        rate = statistics.median(rates["none"])
        texts = ", ".join(f"{name} {values[-1]:.3f}" for name, values in ratios.items())
        print(f"  round {pair} of {args.pairs}: none {rate:,.0f} examples/s; {texts}", flush=True)
    for name, values in ratios.items():
        summarize(f"{name} / none", values, at_least=bars[name])


# --- precision


def precision(args: argparse.Namespace) -> None:
    heading("kx: precision=mixed_bfloat16 against precision=float32")
    examples = UNIT_EXAMPLES if args.quick else 5_000
    seeds = 2 if args.quick else args.seeds
    accuracies: dict[str, list[float]] = {"float32": [], "mixed_bfloat16": []}

    def measure(kind: str) -> float:
        seed = len(accuracies[kind])
        words = [f"precision={kind}", f"seed={seed}"]
        numbers = train(args, "kx_training.py", examples, args.seed_epochs, *words)
        accuracies[kind].append(numbers["test_accuracy"])
        return statistics.median(numbers["examples_per_second"][1:])

    rates = alternate({kind: partial(measure, kind) for kind in accuracies}, seeds, "examples/s")
    for kind, values in accuracies.items():
        median(kind, rates[kind], "examples/s")
        mean, spread = statistics.mean(values), statistics.stdev(values) if seeds > 1 else 0.0
        print(f"  {kind + ', test accuracy':<52} {mean:.4f} ± {spread:.4f} ({seeds} seeds)")
    ratio("mixed_bfloat16 / float32", rates["mixed_bfloat16"], rates["float32"])


def side_words(
    args: argparse.Namespace, script: str, examples: int, epochs: int, *overrides: str
) -> list[str]:
    """Returns the words of the command that trains a side."""
    words = [str(SIDES / script), *data_dir_words(args.data_dir)]
    return [*words, "--examples", str(examples), "--epochs", str(epochs), *overrides]


def train(
    args: argparse.Namespace, script: str, examples: int, epochs: int, *overrides: str
) -> dict:
    """Trains in a fresh process and a fresh project, and returns the side's numbers."""
    with temporary_project() as project:
        return result_of(side_words(args, script, examples, epochs, *overrides), project)


if __name__ == "__main__":
    main()

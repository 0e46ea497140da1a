"""kx as a user has it: tracking, checkpoints, early stopping and system metrics are on.

Any further words are overrides: `kx_training.py --examples 5000 --epochs 6 precision=…`.
"""

from __future__ import annotations

import time
from typing import Any

import keras
from cifar10 import arguments, train_split
from clock import EpochClock
from result import print_result

from kx import training
from kx.api import train


def main() -> None:
    args, overrides = arguments(__doc__).parse_known_args()
    split = train_split(args.data_dir, args.examples)
    folder = [] if args.data_dir is None else [f"data.data_dir='{args.data_dir}'"]
    fit_seconds = time_fit()
    run = train(
        "model=cnn",
        "data=cifar10",
        "augment=crop_flip",
        "report=none",
        f"data.train_split='{split}'",
        "data.download=false",
        f"epochs={args.epochs}",
        f"batch_size={args.batch_size}",
        "+callbacks.clock._target_=clock.EpochClock",
        *folder,
        *overrides,
    )
    policy = keras.config.dtype_policy().name
    if policy != run.config["precision"]:
        raise SystemExit(f"precision={run.config['precision']} was trained as {policy}")
    num_train = args.examples - round(0.1 * args.examples)
    per_epoch = num_train // args.batch_size * args.batch_size
    print_result(
        fit_seconds=fit_seconds[0],
        examples_per_second=[per_epoch / s for s in EpochClock.step_seconds()],
        epoch_seconds=EpochClock.epoch_seconds(),
        test_accuracy=run.metrics["test/accuracy"],
    )


def time_fit() -> list[float]:
    """Wraps `fit`, and returns the list that its seconds will be in."""
    seconds: list[float] = []
    fit = training.fit

    def timed(*args: Any, **kwargs: Any) -> Any:
        begun = time.perf_counter()
        try:
            return fit(*args, **kwargs)
        finally:
            seconds.append(time.perf_counter() - begun)

    training.fit = timed
    return seconds


if __name__ == "__main__":
    main()

"""Does a learner cost anything beside the same loop, written by hand?

    python benchmarks/learners.py
    python benchmarks/learners.py --parts agent --pairs 5

adversary   DCGAN on scikit-learn's digits: `task=adversarial` against `fit` of a model with a
            train_step of two optimizers, as Keras's example has it. Bar: at least 0.95.
loop        the same against a loop over a tf.function, as TensorFlow's tutorial has it: there
            is no progress bar, no metric and no callback.
several     the same as `loop`, with steps_per_execution=20, as the experiments have it. Bar: at
            least 0.95.
agent       deep Q-learning on CartPole-v1, 1,000 steps an epoch: `task=dqn` with
            steps_per_execution=100 against a loop with a tf.function to act and one to
            learn, as CleanRL has it. Bar: at least 0.8.

Prints the rate of kx over that of the other side: the median of the pairs, each of which is the
median of the epochs after the first two.
"""

from __future__ import annotations

import statistics
from pathlib import Path

import numpy as np
from common import SIDES, alternate, arguments, heading, ratio, result_of, temporary_project

_ADVERSARY = [
    "data=digits", "task=adversarial", "augment=none", "report=none", "batch_size=32",
    "optimizer.learning_rate=2e-4", "optimizer.beta_1=0.5", "callbacks=none",
    "data.drop_remainder=true",
]  # fmt: skip
_AGENT = [
    "data=gymnasium", "data.name=CartPole-v1", "task=dqn", "report=none", "batch_size=64",
    "data.validation_episodes=1", "steps_per_execution=100", "callbacks=none",
]  # fmt: skip


def main() -> None:
    parser = arguments(__doc__, pairs=3)
    parser.add_argument("--parts", nargs="+", default=["adversary", "loop", "several", "agent"])
    args = parser.parse_args()
    epochs = 3 if args.quick else 6
    with temporary_project() as folder:
        if "adversary" in args.parts:
            heading("DCGAN on digits")
            plain = ["--images", str(digits(folder)), "--epochs", str(epochs), "--fit"]
            compare(folder, _ADVERSARY, "plain_gan.py", plain, epochs, args.pairs, 0.95)
        if "loop" in args.parts:
            heading("DCGAN on digits, against a loop")
            plain = ["--images", str(digits(folder)), "--epochs", str(epochs)]
            compare(folder, _ADVERSARY, "plain_gan.py", plain, epochs, args.pairs, None)
        if "several" in args.parts:
            heading("DCGAN on digits, 20 steps in one call")
            plain = ["--images", str(digits(folder)), "--epochs", str(epochs)]
            words = [*_ADVERSARY, "steps_per_execution=20"]
            compare(folder, words, "plain_gan.py", plain, epochs, args.pairs, 0.95)
        if "agent" in args.parts:
            heading("deep Q-learning on CartPole-v1")
            plain = ["--epochs", str(epochs)]
            compare(folder, _AGENT, "plain_dqn.py", plain, epochs, args.pairs, 0.8)


def digits(folder: Path) -> Path:
    """Writes the training images that kx has by default, and returns their file."""
    from kx.config import compose
    from kx.data.store import store
    from kx.fit.batches import make_data

    data = make_data(compose(["data=digits"]).config)
    path = folder / "images.npy"
    np.save(path, np.asarray(store(data, ["train"])["train"].inputs))
    return path


def seconds_of(command: list[str], folder: Path) -> float:
    """Returns the median seconds of the epochs of a side, after the first two."""
    found = result_of(command, folder)["step_seconds"]
    return statistics.median(found[2:] or found)  # type: ignore[index, call-overload]


def compare(
    folder: Path, words: list[str], side: str, plain: list[str], epochs: int, pairs: int,
    bar: float | None,
) -> None:  # fmt: skip
    """Measures both sides in turn, and prints the ratio of their rates."""
    sides = {
        "kx": lambda: seconds_of([str(SIDES / "kx_run.py"), *words, f"epochs={epochs}"], folder),
        "plain": lambda: seconds_of([str(SIDES / side), *plain], folder),
    }
    numbers = alternate(sides, pairs, "s an epoch")
    ratio("kx / plain", numbers["plain"], numbers["kx"], at_least=bar)


if __name__ == "__main__":
    main()

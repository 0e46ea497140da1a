"""What do trimmed batches of texts gain, and is the pipeline as fast as a hand-written one?

    python benchmarks/texts.py --root sst2
    python benchmarks/texts.py --root sst2 --parts padding --pairs 5

The net is `model=lstm` on the sentences of SST-2 (`--root`: a folder with stsa.binary.train …), or
without them on `data=reviews`, whose texts have nearly one length.

padding     s an epoch of steps with full padding / with trimmed batches. Bar: at least 1.3.
sorted      the same with sampler=by_length.
pipeline    kx / `model.fit` on token ids in memory, shuffled, batched and trimmed by tf.data.
            Bar: at least 0.95.

Prints the rate of kx over that of the other side: the median of the pairs, each of which is the
median of the epochs after the first two.
"""

from __future__ import annotations

from functools import partial

from common import SIDES, alternate, arguments, heading, ratio, temporary_project
from fields import prepared
from learners import compare, seconds_of

_COMMON = ["model=lstm", "report=none", "callbacks=none", "batch_size=32"]
_FULL = ["model._target_=full_padding.lstm"]


def main() -> None:
    parser = arguments(__doc__, pairs=3)
    parser.add_argument("--root")
    parser.add_argument("--parts", nargs="+", default=["padding", "sorted", "pipeline"])
    args = parser.parse_args()
    epochs = 3 if args.quick else 6
    data = ["data=reviews"] if args.root is None else ["data=sst2", f"data.root={args.root}"]
    words = [*data, "tokenizer.length_percentile=100", *_COMMON, f"epochs={epochs}"]
    with temporary_project() as folder:
        run = str(SIDES / "kx_run.py")
        for part, more in (("padding", []), ("sorted", ["sampler=by_length"])):
            if part not in args.parts:
                continue
            heading(f"full padding against trimmed batches ({' '.join(more) or 'shuffled'})")
            trimmed, full = [run, *words, *more], [run, *words, *_FULL]
            sides = {
                "trimmed": partial(seconds_of, trimmed, folder),
                "full": partial(seconds_of, full, folder),
            }
            numbers = alternate(sides, args.pairs, "s an epoch")
            ratio("full / trimmed", numbers["full"], numbers["trimmed"], at_least=1.3)
        if "pipeline" in args.parts:
            heading("texts, against model.fit")
            plain = ["--arrays", str(prepared(folder, words)), "--epochs", str(epochs)]
            compare(folder, words, "plain_texts.py", plain, epochs, args.pairs, 0.95)


if __name__ == "__main__":
    main()

"""A translation as a Keras user writes it: the chrF that kx is held to.

The recipe is that of https://keras.io/examples/nlp/neural_machine_translation_with_transformer
(TextVectorization, learned positions, normalization after each block, cross entropy without
padding, greedy decoding), with Adam, at the size that is given. Prints BLEU and chrF on the test
pairs, all targets of a source as references, of the epoch with the lowest validation loss.

    plain_translation.py --data DIR --source english --target chinese --units 128 --epochs 20
"""

from __future__ import annotations

import argparse
import csv
import math
import re
from pathlib import Path

import keras
import numpy as np
import sacrebleu
import tensorflow as tf
from result import print_result

LENGTH = 40


def read(path: Path, source: str, target: str, *, by_character: bool) -> list[tuple[str, str, str]]:
    """Returns sources, targets with their start and end, and targets as they are."""
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    split = (lambda text: " ".join(text)) if by_character else spaced
    return [
        (spaced(row[source]), f"[start] {split(row[target])} [end]", row[target]) for row in rows
    ]


def spaced(text: str) -> str:
    return re.sub(r"([^\w\s'’-])", r" \1 ", text)


def transformer(
    sources: int, targets: int, units: int, layers: int, heads: int, hidden: int, dropout: float
) -> keras.Model:
    def placed(x, size):
        places = keras.layers.Embedding(LENGTH, units)(
            keras.ops.cumsum(keras.ops.ones_like(x), 1) - 1
        )
        h = keras.layers.Embedding(size, units)(x) + places
        return keras.layers.Dropout(dropout)(h)

    def attend(h, to, **masks):
        found = keras.layers.MultiHeadAttention(heads, units // heads, dropout=dropout)(
            h, to, **masks
        )
        return keras.layers.LayerNormalization()(h + keras.layers.Dropout(dropout)(found))

    def dense(h):
        found = keras.layers.Dense(units)(keras.layers.Dense(hidden, activation="relu")(h))
        return keras.layers.LayerNormalization()(h + keras.layers.Dropout(dropout)(found))

    x = keras.Input((None,), dtype="int32", name="source")
    t = keras.Input((None,), dtype="int32", name="target")
    words = keras.ops.expand_dims(keras.ops.not_equal(x, 0), 1)
    h = placed(x, sources)
    for _ in range(layers):
        h = dense(attend(h, h, attention_mask=words))
    memory, h = h, placed(t, targets)
    for _ in range(layers):
        h = attend(h, h, use_causal_mask=True)
        h = dense(attend(h, memory, attention_mask=words))
    return keras.Model({"source": x, "target": t}, keras.layers.Dense(targets)(h))


def decode(
    model: keras.Model, sources: np.ndarray, vocabulary: list[str], joiner: str
) -> list[str]:
    start, end = vocabulary.index("[start]"), vocabulary.index("[end]")
    written = np.full((len(sources), 1), start)
    for _ in range(LENGTH - 1):
        scores = model.predict({"source": sources, "target": written}, batch_size=256, verbose=0)
        written = np.concatenate([written, scores[:, -1].argmax(-1)[:, None]], axis=1)
        if (written == end).any(axis=1).all():
            break
    texts = []
    for row in written[:, 1:]:
        words = [vocabulary[i] for i in row[: (np.argmax(row == end) if end in row else None)]]
        texts.append(re.sub(r" ([.,!?;:])", r"\1", joiner.join(words)))
    return texts


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--source", default="english")
    parser.add_argument("--target", default="chinese")
    for name, value in (("units", 128), ("layers", 2), ("heads", 4), ("hidden", 512),
                        ("epochs", 20), ("batch-size", 64), ("seed", 0)):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    args = parser.parse_args()
    keras.utils.set_random_seed(args.seed)
    by_character = args.target == "chinese"
    parts = {
        part: read(args.data / f"{part}.tsv", args.source, args.target, by_character=by_character)
        for part in ("train", "validation", "test")
    }
    layers = [
        keras.layers.TextVectorization(standardize=None, output_sequence_length=length)
        for length in (LENGTH, LENGTH + 1)
    ]
    for place, layer in enumerate(layers):
        layer.adapt([row[place] for row in parts["train"]])

    def arrays(part: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
        rows = parts[part]
        source, target = (layers[i](tf.constant([row[i] for row in rows])).numpy() for i in (0, 1))
        return {"source": source, "target": target[:, :-1]}, target[:, 1:]

    model = transformer(
        *(layer.vocabulary_size() for layer in layers), args.units, args.layers, args.heads,
        args.hidden, args.dropout,
    )  # fmt: skip
    steps = args.epochs * math.ceil(len(parts["train"]) / args.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=args.learning_rate, warmup_steps=steps // args.epochs
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    model.compile(keras.optimizers.Adam(rate), loss)
    best = keras.callbacks.ModelCheckpoint(
        "best.weights.h5", save_best_only=True, save_weights_only=True
    )
    history = model.fit(
        *arrays("train"), validation_data=arrays("validation"), epochs=args.epochs,
        batch_size=args.batch_size, callbacks=[best], verbose=0,
    )  # fmt: skip
    model.load_weights("best.weights.h5")
    references: dict[str, list[str]] = {}
    for source, _, target in parts["test"]:
        references.setdefault(source, []).append(target)
    sources = layers[0](tf.constant(list(references))).numpy()
    texts = decode(model, sources, layers[1].get_vocabulary(), "" if by_character else " ")
    most = max(map(len, references.values()))
    columns = [
        [own[n] if n < len(own) else None for own in references.values()] for n in range(most)
    ]
    print_result(
        chrf=sacrebleu.CHRF().corpus_score(texts, columns).score,
        bleu=sacrebleu.BLEU(tokenize="zh" if by_character else "13a")
        .corpus_score(texts, columns)
        .score,
        validation_loss=min(history.history["val_loss"]),
        parameters=model.count_params(),
    )


if __name__ == "__main__":
    main()

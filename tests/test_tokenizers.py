"""Tokenizers: from raw texts to token ids, by the training split alone; padding that is trimmed."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import as_data
from hypothesis import given
from hypothesis import strategies as st

import kx
from kx.cli import main
from kx.config import CONF_DIR, build, compose
from kx.contracts.examples import Examples
from kx.contracts.specs import Data, Outputs, Spec
from kx.data.examples import raw_examples
from kx.data.sources.text.text_csv import text_csv
from kx.data.split.divided import divided
from kx.data.store import store
from kx.data.tokenizers.bags import bag_of_words
from kx.data.tokenizers.jieba import jieba, segment
from kx.data.tokenizers.lengths import choose_length
from kx.data.tokenizers.words import characters, words
from kx.errors import ConfigError, DataError, MissingExtraError
from kx.fit.batches import make_data
from kx.fit.model.trimming import trimmer
from kx.tasks.prediction.classification import classification
from kx.testing import ContractError, check_tokenizer

OTHERS = ("none", "pairs", "keras_hub")  # the last one: test_hub
TOKENIZERS = sorted(p.stem for p in (CONF_DIR / "tokenizer").glob("*.yaml") if p.stem not in OTHERS)
REVIEWS = ["很好吃，送得快", "难吃，太慢了", "味道很好 OK", "太难吃，不好"]
QUICK = ["report=none", "tracking=none", "epochs=1", "run_eagerly=true"]


@pytest.fixture
def reviews(project: Path) -> Path:
    path = project / "reviews.csv"
    rows = [f'"{REVIEWS[i % 4]}",{"好坏"[i % 2]}' for i in range(80)]
    path.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    return path


def ids(made: Any, text: str) -> list[int]:
    found: list[int] = made.prepare(tf.constant(text)).numpy().tolist()
    return found


# --- vocabulary and length


def test_the_vocabulary_is_that_of_the_training_split(texts: Path) -> None:
    data = as_data(text_csv)(
        str(texts), text="review", label="sentiment", tokenizer=partial(words, max_tokens=10)
    )
    assert data.inputs.vocabulary_size is not None and data.inputs.vocabulary_size <= 10
    assert data.targets.class_names == ("bad", "good")
    other = texts.parent / "other.csv"
    other.write_text("review,sentiment\nunheard,good\nunheard,bad\n")
    split = as_data(text_csv)(str(texts), text="review", label="sentiment", test_path=str(other))
    [first, *_] = [split.prepare(raw).numpy() for raw, _ in split.test]
    assert first[0] == 1  # unknown


def test_words_characters_and_pairs_of_them_are_tokens() -> None:
    made = words(["a cat", "a dog and a cat"])
    assert made.inputs.shape == (5,) and made.inputs.padding_value == 0
    assert ids(made, "A bird, a CAT!") == [2, 1, 2, 3, 0]
    pairs = words(["a cat", "a dog"], ngrams=2)
    single = words(["a cat", "a dog"])
    assert pairs.inputs.vocabulary_size == single.inputs.vocabulary_size + 2
    assert len(set(ids(pairs, "a cat"))) == 3
    one_by_one = characters(REVIEWS)
    assert ids(one_by_one, "好")[:2] == [ids(one_by_one, "好吃")[0], 0]
    assert np.count_nonzero(ids(one_by_one, "难吃，太慢了")) == 6


@given(st.lists(st.integers(0, 2000), min_size=1), st.floats(1, 100))
def test_a_chosen_length_holds_the_percentile_and_says_what_it_cuts(
    lengths: list[int], percentile: float
) -> None:
    counts = np.array(lengths)
    length, issues = choose_length(counts, percentile)
    assert 1 <= length <= 512 and length <= max(1, counts.max())
    held = (counts <= length).mean() * 100
    assert held >= percentile - 1e-9 or length == 512
    assert length >= min(32, counts.max())
    cut = int((counts > length).sum())
    assert bool(issues) == bool(cut) and all(f"{cut:,} of" in one.reason for one in issues)


def test_a_length_that_is_given_is_kept_and_what_it_cuts_is_told(
    reviews: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = reviews
    run = kx.train(
        "data=text_csv", f"data.path={path}", "tokenizer=characters", "model=fasttext",
        "tokenizer.sequence_length=6", *QUICK,
    )  # fmt: skip
    said = " ".join(capsys.readouterr().out.split())
    assert "training texts are cut to 6 tokens" in said and "tokenizer.sequence_length=7" in said
    assert run.model().input_shape == (None, None)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_tokenizer_keeps_its_contract(name: str) -> None:
    config = compose([f"tokenizer={name}", "data=text_csv", "data.path=x"]).config
    check_tokenizer(build(config.tokenizer, partial=True))


def test_the_check_of_a_tokenizer_finds_what_is_wrong() -> None:
    def broken(change: Any) -> Any:
        return lambda texts: change(words(texts, sequence_length=4))

    for change, said in (
        (lambda made: replace(made, prepare=lambda text: made.prepare(text)[:2]), "expected int32"),
        (lambda made: replace(made, inputs=replace(made.inputs, vocabulary_size=3)), "from 0 to 2"),
        (lambda made: replace(made, assets=()), "lookup tables belong in `assets`"),
        (lambda made: replace(made, prepare=lambda text: text.numpy()), "TensorFlow's graph"),
        (lambda made: made.prepare, "expected a kx.Preparation"),
    ):
        with pytest.raises(ContractError, match=said):
            check_tokenizer(broken(change))


def test_rows_of_words_are_those_of_scikit_learn() -> None:
    from sklearn.feature_extraction.text import CountVectorizer

    texts = ["a cat", "a dog and a cat", "the dog"]
    made = {w: bag_of_words(texts, weights=w) for w in ("count", "multi_hot", "tf_idf")}  # type: ignore[arg-type]
    names = made["count"].inputs.column_names[1:]
    theirs = CountVectorizer(token_pattern=r"\S+", vocabulary=list(names))
    counts = theirs.fit_transform(texts).toarray()
    asked = [*texts, "a bird, a dog", ""]
    ours = np.stack([ids(made["count"], text) for text in asked])
    np.testing.assert_array_equal(ours[:3, 1:], counts)
    np.testing.assert_array_equal(ours[3:, 0], [1, 0])  # a bird
    hot = np.stack([ids(made["multi_hot"], text) for text in asked])
    np.testing.assert_array_equal(hot, ours > 0)
    weight = np.log(1 + 3 / (1 + (counts > 0).sum(axis=0)))
    rows = np.stack([ids(made["tf_idf"], text) for text in texts])
    np.testing.assert_allclose(rows[:, 1:], counts * weight, rtol=1e-5)
    with pytest.raises(ConfigError, match="expected 2 or more"):
        bag_of_words(texts, max_tokens=1)


def test_a_linear_model_of_words_is_held_against_tf_idf(project: Path) -> None:
    run = kx.train(
        "data=reviews", "data.num_examples=300", "tokenizer=tfidf", "model=linear", "epochs=2",
        "tracking=none", "report.splits=[test]", quiet=True,
    )  # fmt: skip
    assert "TF-IDF" in " ".join(run.compared)


# --- jieba


def test_jieba_separates_words_and_knows_a_dictionary_and_stop_words(tmp_path: Path) -> None:
    assert segment(["我来到北京清华大学", ""]) == ["我 来到 北京 清华大学", ""]
    known, left_out = tmp_path / "known.txt", tmp_path / "stop.txt"
    known.write_text("送得快 1000 v\n味道很好\n", encoding="utf-8")
    left_out.write_text("，\n很\n", encoding="utf-8")
    made = jieba(REVIEWS, dictionary=str(known), stop_words=str(left_out))
    arguments = {k: v for k, v in (made.host or {}).items() if k != "_target_"}
    assert segment(REVIEWS[:3], **arguments) == ["好吃 送得快", "难吃 太慢 了", "味道很好 OK"]
    known.unlink()  # the words are kept, not the file
    assert segment(REVIEWS[:1], **arguments) == ["好吃 送得快"]
    known.write_text("词 1 n 2\n", encoding="utf-8")
    with pytest.raises(DataError, match="a line for each word"):
        jieba(REVIEWS, dictionary=str(known))
    with pytest.raises(DataError, match=r"tokenizer\.stop_words=nowhere\.txt cannot be read"):
        jieba(REVIEWS, stop_words="nowhere.txt")


def test_jieba_runs_alike_in_training_prediction_and_beside_an_export(
    reviews: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (reviews.parent / "stop.txt").write_text("很\n", encoding="utf-8")
    run = kx.train(
        "data=text_csv", f"data.path={reviews}", "tokenizer=jieba", "model=fasttext", "epochs=3",
        "tokenizer.stop_words=stop.txt", "report=none", quiet=True,
    )  # fmt: skip
    (reviews.parent / "stop.txt").unlink()
    data = make_data(compose(["data=text_csv", f"data.path={reviews}", "tokenizer=jieba"]).config)
    [raw] = raw_examples(data, "test", np.array([0]))
    assert raw.decode() in REVIEWS, "the raw text stays as it is"
    stored = store(data, ["test"])["test"].inputs
    in_words = segment([raw.decode()])
    np.testing.assert_array_equal(stored[0], data.prepare(tf.constant(in_words[0])))
    assert np.count_nonzero(stored[0]) == len(in_words[0].split())
    text = REVIEWS[0]
    assert kx.load_run(run.id).predict([text]) == run.predict([text])
    [said] = run.predict([text])
    separated = segment([text], stop_words=["很"])
    spec = run.bundle().spec()
    assert spec["host"][""]["stop_words"] == ["很"]
    exported = run.export("exported")
    served = tf.saved_model.load(str(exported / "saved_model"))
    answer = served.serve(tf.constant(separated))
    assert answer["confidence"].numpy()[0] == pytest.approx(said["confidence"], abs=1e-6)
    assert main(["export", run.id, "--out", "again"]) == 0
    assert "takes texts as kx.data.tokenizers.jieba.segment returns" in capsys.readouterr().out
    assert main(["evaluate", run.id]) == 0


def test_jieba_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from kx.data.tokenizers.jieba import _cutter

    _cutter.cache_clear()
    monkeypatch.setitem(sys.modules, "rjieba", None)
    with pytest.raises(MissingExtraError, match=r'pip install "kx\[chinese\]"'):
        segment(["好"])


# --- in a config


def test_a_tokenizer_without_texts_and_texts_without_a_tokenizer_are_refused(
    reviews: Path,
) -> None:
    with pytest.raises(ConfigError, match="tokenizer has no effect: the data 'wine'"):
        kx.train("data=wine", "model=linear", "tokenizer=words", *QUICK, quiet=True)
    path = f"data.path={reviews}"
    with pytest.raises(ConfigError, match="has texts, and tokenizer=none"):
        kx.train("data=text_csv", path, "tokenizer=none", *QUICK, quiet=True)
    with pytest.raises(ConfigError, match=r"tokenizer\.max_tokens"):
        kx.train("data=text_csv", path, "data.max_tokens=50", *QUICK, quiet=True)
    with pytest.raises(ConfigError, match="more than 0, at most 100"):
        compose(["data=text_csv", path, "tokenizer.length_percentile=0"])


def test_texts_of_a_project_get_the_tokenizer_of_the_config(project: Path) -> None:
    texts = np.array([f"{'good' if i % 2 else 'bad'} {i}" for i in range(60)], dtype=object)
    fields = {"text": texts, "age": np.arange(60, dtype="float32")[:, None]}
    examples = Examples(
        fields,
        np.arange(60) % 2,
        {"text": Spec((), "string", kind="text"), "age": Spec((1,), "float32")},
        Spec((), "int32", class_names=("a", "b")),
        kind={"text": "text", "age": "array"},
    )
    words = ["tokenizer=words", "model=fusion", "epochs=2", "report=none"]
    run = kx.train(*words, data=examples, quiet=True)
    shapes = {one.name: one.shape for one in run.model().inputs}
    assert shapes == {"text": (None, None), "age": (None, 1)}
    [answer] = run.predict([{"text": "good 7", "age": [7.0]}])
    assert set(answer["probabilities"]) == {"a", "b"}


# --- padding


def padded(length: int = 12) -> tuple[Data, Any]:
    tokens = np.zeros((40, length), "int32")
    for row, count in zip(tokens, np.random.default_rng(0).integers(1, 7, 40), strict=True):
        row[:count] = 2
    targets = Spec((), "int32", class_names=("a", "b"))
    spec = Spec((length,), "int32", vocabulary_size=9, kind="tokens", padding_value=0)
    split = tf.data.Dataset.from_tensor_slices((tokens, np.arange(40) % 2))
    return Data(split, None, None, spec, targets), classification(targets)


def of_length(length: int | None, *, masked: bool) -> keras.Model:
    x = keras.Input((length,), dtype="int32")
    h = keras.layers.Embedding(9, 4, mask_zero=masked)(x)
    h = keras.layers.GlobalAveragePooling1D()(h)
    return keras.Model(x, keras.layers.Dense(2, kernel_initializer="zeros")(h))


def hidden_by_a_bias_of_zero() -> keras.Model:
    x = keras.Input((None,), dtype="int32")
    known = keras.ops.cast(keras.ops.not_equal(x, 0), "float32")[..., None]
    h = keras.layers.Dense(8, activation="relu")(keras.layers.Embedding(9, 4)(x) * known)
    return keras.Model(x, keras.layers.Dense(2)(keras.ops.sum(h, axis=1)))


def of_a_wide_window() -> keras.Model:
    x = keras.Input((None,), dtype="int32")
    h = keras.layers.Conv1D(8, 9)(keras.layers.Embedding(9, 4)(x))
    return keras.Model(x, keras.layers.Dense(2)(keras.layers.GlobalMaxPooling1D()(h)))


@pytest.mark.parametrize("make", [hidden_by_a_bias_of_zero, of_a_wide_window])
def test_what_depends_on_padding_after_a_training_is_not_trimmed(make: Any) -> None:
    data, task = padded()
    model = make()
    before = model.get_weights()
    config = compose(["data=text_csv", "data.path=x"]).config
    assert trimmer(config, data, task, model) is None and data.issues
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_batches_by_length_that_are_not_trimmed_are_told_once() -> None:
    data, task = padded()
    config = compose(["data=text_csv", "data.path=x", "sampler=by_length"]).config
    assert trimmer(config, data, task, of_length(None, masked=True)) and not data.issues
    for _ in range(2):
        assert trimmer(config, data, task, of_length(12, masked=True)) is None
    assert [one.file for one in data.issues] == ["sampler=by_length"]


def test_only_tokens_are_trimmed() -> None:
    data, task = padded()
    data.inputs = Spec((12, 3), "float32", padding_value=0)
    x = keras.Input((None, 3))
    h = keras.layers.LSTM(2)(keras.layers.Masking()(x))
    assert trimmer(compose(["data=wine"]).config, data, task, keras.Model(x, h)) is None


def test_tokens_are_learned_from_texts_as_the_data_prepares_them() -> None:
    texts = ["<b>good</b> film", "<b>bad</b> film"]

    def examples(inputs: Any, prepare: Any) -> Examples:
        classes = Spec((), "int32", class_names=("a", "b"))
        text = Spec((), "string", kind="text")
        return Examples(inputs, [0, 1], text, classes, prepare=prepare, kind="text")

    def without(text: tf.Tensor) -> tf.Tensor:
        return tf.strings.regex_replace(text, "<[^>]*>", " ")

    known = words(["good film", "bad film"]).inputs.vocabulary
    parts = {"train": np.arange(2)}
    found = divided(examples(texts, without), parts, lambda _: words)
    assert found.inputs.vocabulary == known  # type: ignore[union-attr]
    rows = {"body": texts, "id": ["1", "2"]}
    found = divided(examples(rows, lambda raw: without(raw["body"])), parts, lambda _: words)
    assert found.inputs.vocabulary == known  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="changes this text first"):
        divided(examples(texts, without), parts, lambda _: jieba)


def test_tokens_of_other_words_are_told_or_refused(project: Path) -> None:
    words = ["data=reviews", "data.num_examples=200", "tokenizer.max_tokens=8", "model=fasttext",
             "tokenizer.sequence_length=8", "epochs=1", "report=none"]  # fmt: skip
    run = kx.train(*words, quiet=True)
    other = [*words, "tokenizer=characters"]
    with pytest.raises(ConfigError, match="its tokens stand for other words"):
        kx.train(*other, "task=distillation", f"task.teacher={run.id}", quiet=True)
    again = kx.train(*other, f"init_from={run.id}", quiet=True)
    assert "begin as those of others" in again.artifact("data/issues.csv").read_text()
    same = kx.train(*words, f"init_from={run.id}", "seed=1", quiet=True)
    assert "begin as those of others" not in same.artifact("data/issues.csv").read_text()


@pytest.mark.parametrize(
    ("words", "length", "masked", "trims"),
    [
        ([], None, True, True),
        ([], 12, True, False),  # a length of its own
        ([], None, False, False),  # its scores depend on padding
        (["jit_compile=true", "deterministic=false"], None, True, False),
        (["strategy=mirrored"], None, True, False),
    ],
)
def test_padding_is_trimmed_where_it_changes_nothing(
    words: list[str], length: int | None, masked: bool, trims: bool
) -> None:
    data, task = padded()
    model = of_length(length, masked=masked)
    trim = trimmer(compose([*words, "data=text_csv", "data.path=x"]).config, data, task, model)
    assert (trim is not None) == trims
    told = [issue.reason for issue in data.issues]
    assert (told != []) == (not masked) and all("with less padding" in one for one in told)
    if trim is not None:
        tokens = store(data, ["train"])["train"].inputs
        cut, same = trim(tokens[:8], "targets")
        assert same == "targets"
        assert cut.shape[1] == int(tf.math.count_nonzero(tokens[:8], axis=1).numpy().max())
        np.testing.assert_array_equal(cut, tokens[:8, : cut.shape[1]])
        assert trim(tf.zeros((3, 12), tf.int32))[0].shape == (3, 1), "one token of padding at least"


@pytest.mark.parametrize(
    "name", ["lstm", "gru", "rnn", "lstm_attention", "textcnn", "fasttext", "bow_mlp",
             "transformer"],
)  # fmt: skip
def test_the_scores_of_shipped_models_do_not_depend_on_padding(name: str, project: Path) -> None:
    spec = Spec((12,), "int32", vocabulary_size=9, kind="tokens", padding_value=0)
    node = compose([f"model={name}", "data=text_csv", "data.path=x"]).config.model
    model = build(node, spec, Outputs(2))
    for weight in model.trainable_weights:  # as after a training: biases are not 0
        weight.assign_add(np.random.default_rng(1).normal(scale=0.1, size=weight.shape))
    tokens = np.array([[3, 4, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]])
    whole, short = model(tokens, training=False), model(tokens[:, :3], training=False)
    np.testing.assert_allclose(whole, short, rtol=1e-4, atol=1e-5)


# --- word vectors from a file


def vectors_file(folder: Path, lines: list[str], name: str = "v.txt") -> str:
    import gzip

    path = folder / name
    opener: Any = gzip.open if name.endswith(".gz") else open
    with opener(path, "wt", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    return str(path)


GLOVE = ["wonderful 1 2 3", "film 4 5 6", "unheard 0 0 0", ", 9 9 9"]


@pytest.mark.parametrize("name", ["v.txt", "v.vec.gz"])
@pytest.mark.parametrize("freeze", [True, False])
def test_an_embedding_begins_with_the_vectors_of_a_file(
    project: Path, texts: Path, name: str, freeze: bool
) -> None:
    head = ["4 3"] if name.endswith(".gz") else []  # as word2vec and fastText have it
    path = vectors_file(project, [*head, *GLOVE], name)
    words = ["data=text_csv", f"data.path={texts}", "data.text=review", "data.label=sentiment",
             "model=lstm", "model.units=4", f"tokenizer.vectors={path}",
             f"tokenizer.freeze_vectors={str(freeze).lower()}", *QUICK]  # fmt: skip
    with pytest.raises(ConfigError, match=r"have 3 numbers.*64 units.*model.embedding_units=3"):
        kx.train(*words, quiet=True)
    run = kx.train(*words, "model.embedding_units=3", "optimizer.learning_rate=0.1", quiet=True)
    [layer] = [x for x in run.model().layers if isinstance(x, keras.layers.Embedding)]
    data = make_data(compose([*words, "model.embedding_units=3"]).config)
    assert "2 of" in " ".join(one.reason for one in data.issues)
    place = int(data.prepare(tf.constant("film"))[0])  # type: ignore[index]
    kept = np.asarray(layer.embeddings)
    assert (kept[place].tolist() == [4, 5, 6]) is freeze
    rare = int(data.prepare(tf.constant("boring"))[0])  # type: ignore[index]
    assert np.abs(kept[rare]).max() < (0.06 if freeze else 2)  # drawn by the initializer


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            ["film 1 2 3", "dull 1 2"],
            "line 2: expected a word and 3 numbers.*Received: 2 after 'dull'",
        ),
        (["film 1 x 3"], "line 1: expected numbers after the word"),
        (["film 1 nan 3"], "line 1: expected finite numbers"),
        (["chat 1 2 3"], "none of the .* words of the training texts has a vector"),
    ],
)
def test_a_file_of_other_vectors_is_refused(tmp_path: Path, lines: list[str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        words(["a dull film"], vectors=vectors_file(tmp_path, lines))
    with pytest.raises(DataError, match="there is no file"):
        words(["a dull film"], vectors=str(tmp_path / "absent.txt"))


def test_vectors_without_a_place_are_refused(project: Path, texts: Path) -> None:
    path = vectors_file(project, GLOVE)
    given = ["data=text_csv", f"data.path={texts}", "data.text=review", "data.label=sentiment"]
    with pytest.raises(ConfigError, match=r"model 'bow_mlp' has no embedding"):
        kx.train(*given, "model=bow_mlp", f"tokenizer.vectors={path}", *QUICK, quiet=True)
    with pytest.raises(ConfigError, match="freeze_vectors has no effect without"):
        kx.train(*given, "tokenizer.freeze_vectors=true", *QUICK, quiet=True)

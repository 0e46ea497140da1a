"""Texts that a model writes: pairs and plain texts, ids that become texts again, their reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from conftest import needs_shared
from hypothesis import given, settings
from hypothesis import strategies as st

import kx
from kx.cli import main
from kx.config import compose
from kx.contracts.findings import ReportOptions
from kx.data.augment.texts.window import window
from kx.data.sources.text.numbers import in_chinese, in_english, number_pairs
from kx.data.sources.text.text_lines import text_lines
from kx.data.sources.text.text_pairs import text_pairs
from kx.data.split.divided import divided
from kx.data.split.rules import stratified, time
from kx.data.texts.detokenize import Detokenizer, enclosed, with_ends
from kx.data.tokenizers.jieba import jieba, segment
from kx.data.tokenizers.utf8 import utf8_bytes
from kx.data.tokenizers.words import characters, words
from kx.errors import ConfigError, DataError
from kx.fit.batches import make_data
from kx.fit.model.trimming import trimmer
from kx.report.texts.translations import translation_findings

NONE = ["report=none", "tracking=none", "epochs=1", "run_eagerly=true"]

# --- ids that become texts again


@pytest.mark.parametrize(
    "text",
    [
        "Tom's dog (a well-known one) costs $5, doesn't it?",
        "No.",
        "I said: go, now!",
        "",
        "It costs $5.50, at 3:45 p.m.",
        'He said "yes", and left.',
        "and/or a_b me@kx.org...",
    ],
)
def test_words_and_punctuation_become_the_text_again(text: str) -> None:
    made = words([text, "other words"], standardize="separate_punctuation")
    assert (
        Detokenizer.read(made.detokenize)(made.prepare(tf.constant(text))[None])[0].numpy().decode()
        == text
    )


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=30))
def test_characters_become_the_text_again(text: str) -> None:
    made = characters([text], sequence_length=30)
    assert (
        Detokenizer.read(made.detokenize)(made.prepare(tf.constant(text))[None])[0].numpy().decode()
        == text
    )


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30))
def test_bytes_become_the_text_again_and_a_cut_character_a_sign(text: str) -> None:
    made = utf8_bytes([text], sequence_length=120)
    written = Detokenizer.read(with_ends(made.detokenize or {}))
    ids = enclosed(made.prepare(tf.constant(text)), 258)
    assert written(ids[None])[0].numpy().decode() == text
    cut = utf8_bytes(["好"], sequence_length=2).prepare(tf.constant("好"))
    assert written(cut[None])[0].numpy().decode() == "\ufffd"


def test_words_of_jieba_become_the_text_again() -> None:
    pytest.importorskip("rjieba")
    text = "我来到北京清华大学，用 Python 写程序。"
    made = jieba([text], standardize=None)
    ids = made.prepare(tf.constant(segment([text])[0]))[None]
    written = Detokenizer.read(made.detokenize)(ids)[0].numpy().decode()
    assert written.replace(" ", "") == text.replace(" ", "")
    assert "来到北京" in written


def test_a_target_has_a_start_and_an_end_and_both_are_left_out_of_its_text() -> None:
    ids = enclosed(tf.constant([3, 2, 0, 0]), 4)
    assert ids.numpy().tolist() == [4, 3, 2, 5, 0, 0]
    whole = enclosed(tf.constant([3, 2]), 4)
    assert whole.numpy().tolist() == [4, 3, 2, 5]
    made = Detokenizer(("", "?", "b", "a", "[START]", "[END]"), ends=True)
    rows = tf.constant([[4, 3, 2, 5, 0], [3, 5, 2, 2, 2]])
    assert made(rows).numpy().tolist() == [b"ab", b"a"]


def test_tokens_that_cannot_become_a_text_are_refused_for_targets(project: Path) -> None:
    overrides = ["data=text_pairs", "tokenizer.target.ngrams=2", "split.limit=50", *NONE]
    with pytest.raises(ConfigError, match=r"tokenizer.target: .*cannot become a text.*ngrams=null"):
        kx.train(*overrides, quiet=True)


# --- numbers in words


def test_numbers_are_written_as_one_says_them() -> None:
    assert in_english(0) == "zero" and in_english(13) == "thirteen" and in_english(40) == "forty"
    assert in_english(999_999) == (
        "nine hundred and ninety-nine thousand nine hundred and ninety-nine"
    )
    assert in_english(100_007) == "one hundred thousand and seven"
    expected = {
        0: "零", 10: "十", 12: "十二", 20: "二十", 105: "一百零五", 110: "一百一十",
        212: "二百一十二", 2000: "两千", 2002: "两千零二", 2020: "两千零二十", 10_010: "一万零一十",
        20_305: "两万零三百零五", 100_000: "十万", 121_000: "十二万一千",
        220_022: "二十二万零二十二",
    }  # fmt: skip
    assert {number: in_chinese(number) for number in expected} == expected


def test_pairs_of_numbers_are_different_and_the_same_each_time() -> None:
    english, chinese = number_pairs()
    assert len(set(english)) == len(set(chinese)) == len(english) == 3000
    assert (english, chinese) == number_pairs()


# --- pairs and plain texts


def pairs_file(folder: Path, name: str, rows: list[tuple[str, str]]) -> str:
    path = folder / name
    path.write_text("\n".join(["en\tzh", *("\t".join(row) for row in rows)]), encoding="utf-8")
    return str(path)


ROWS = [(f"sentence {i // 2}.", f"句子{i}。") for i in range(80)]


def test_pairs_of_one_source_are_in_one_split(tmp_path: Path) -> None:
    examples = text_pairs(pairs_file(tmp_path, "p.tsv", ROWS), source="en", target="zh")
    parts = stratified(examples, test_fraction=0.3)
    sources = [{examples.inputs[i] for i in positions} for positions in parts.values()]
    assert sum(map(len, sources)) == len(set.union(*sources)) == 40


def test_pairs_have_splits_of_their_own_and_copies_are_told(tmp_path: Path) -> None:
    files = {
        "validation_path": pairs_file(tmp_path, "v.tsv", [("Sentence 3", "x"), ("new", "y")]),
        "test_path": pairs_file(tmp_path, "t.tsv", [("other", "z")]),
    }
    path = pairs_file(tmp_path, "p.tsv", ROWS)
    examples = text_pairs(path, source="en", target="zh", **files)
    assert {part: len(at) for part, at in examples.own_splits.items()} == {
        "train": 80, "validation": 2, "test": 1,
    }  # fmt: skip
    data = divided(examples, examples.own_splits, lambda _: words)
    assert "2 of 80 texts are in validation" in " ".join(one.reason for one in data.issues)
    apart = text_pairs(path, source="en", target="zh", copies="one_split", **files)
    assert len(apart.own_splits["train"]) == 78 and len(apart.own_splits["validation"]) == 2


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            [("a", "b"), ("c", "  ")],
            r"line 3: column 'zh' \(data.target\) is empty, in 1 of 2 rows",
        ),
        ([("", "b")], r"line 2: column 'en' \(data.source\) is empty"),
        ([("a", "b\tc")], "line 2"),
    ],
)
def test_unequal_pairs_are_refused_with_their_line(
    tmp_path: Path, rows: list[tuple[str, str]], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        text_pairs(pairs_file(tmp_path, "p.tsv", rows), source="en", target="zh")


def test_paths_that_would_be_ignored_are_refused() -> None:
    with pytest.raises(DataError, match=r"data.test_path=x would be ignored"):
        text_pairs(test_path="x")
    with pytest.raises(DataError, match=r"data.source=english would be ignored"):
        text_pairs(source="english")
    with pytest.raises(DataError, match=r"data.path: expected a file to train on"):
        text_lines(test_path="x")


def test_plain_texts_are_cut_whole_and_split_in_their_order(tmp_path: Path) -> None:
    text = "".join(chr(0x4E00 + i) for i in range(1003))
    (tmp_path / "b.txt").write_text(text[500:], encoding="utf-16")
    (tmp_path / "a.txt").write_text(text[:500], encoding="utf-8")
    examples = text_lines(str(tmp_path), num_characters=100)
    assert "".join(examples.inputs) == text
    parts = time(examples, validation_fraction=0.2, test_fraction=0.2)
    ends = [part.max() for part in (parts["train"], parts["validation"], parts["test"])]
    assert ends == sorted(ends)
    assert [parts["validation"].min(), parts["test"].min()] == [ends[0] + 1, ends[1] + 1]


def test_a_file_of_two_splits_is_refused(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("a text " * 200)
    path = str(tmp_path / "book.txt")
    for train in (path, str(tmp_path)):
        with pytest.raises(DataError, match=r"book.txt is in data.path and in data.test_path"):
            text_lines(train, test_path=path)


def test_plain_texts_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(DataError, match=r"data.path=.*empty.txt has no text"):
        text_lines(str(tmp_path / "empty.txt"))
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"data.path: the folder .* has no file .txt"):
        text_lines(str(tmp_path / "none"))


def test_a_split_by_time_needs_a_column_where_examples_have_no_order(project: Path) -> None:
    with pytest.raises(ConfigError, match=r"split.column: the examples of digits have no order"):
        make_data(compose(["data=digits", "split=time"]).config)


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 11), st.integers(0, 2**40)
)
def test_a_window_is_a_part_of_its_text(tokens: list[int], length: int, seed: int) -> None:
    padded = [*tokens, *[0] * (12 - len(tokens))]
    seeds = tf.constant([[seed, 1]], tf.int64)
    found, _ = window(tf.constant([padded]), {}, seeds, length=length)
    part = found.numpy()[0].tolist()
    assert len(part) == min(12, length + 1)
    starts = range(max(1, len(tokens) - length))
    assert any(part == (padded + [0] * 12)[start : start + len(part)] for start in starts)


def test_windows_begin_at_each_place_alike() -> None:
    texts = tf.tile(tf.range(1, 21)[None], [4000, 1])
    seeds = tf.stack([tf.zeros(4000, tf.int64), tf.range(4000, dtype=tf.int64)], axis=1)
    starts = window(texts, {}, seeds, length=15)[0].numpy()[:, 0]
    shares = np.bincount(starts, minlength=6)[1:] / 4000
    np.testing.assert_allclose(shares, 0.2, atol=0.03)


def test_a_window_of_what_is_no_text_is_refused(project: Path) -> None:
    with pytest.raises(ConfigError, match=r"augment=window takes a part of each text"):
        kx.train("data=digits", "+augment.window._target_=kx.data.augment.texts.window.window",
                 *NONE, quiet=True)  # fmt: skip


# --- training


def test_batches_of_two_texts_are_trimmed_and_the_loss_stays(project: Path) -> None:
    config = compose(["data=text_pairs", "split.limit=60", "model.units=8", "model.num_layers=1",
                      "model.num_heads=2", "model.dropout=0"]).config  # fmt: skip
    from kx.fit.model.assemble import assemble
    from kx.tasks.make import make_task

    data = make_data(config)
    task = make_task(config.task, data.inputs, data.targets, data.facts)
    built = assemble(config, data, task)
    assert built.feed is not None
    raws = [next(iter(data.train.skip(i))) for i in range(4)]
    inputs = tf.stack([data.prepare(raw) for raw, _ in raws])
    targets = tf.stack([data.prepare_target(raw, target) for raw, target in raws])
    whole = task.encode(inputs, targets)  # type: ignore[misc]
    short, after = built.feed(*whole)
    longest = int(tf.math.count_nonzero(whole[1], axis=1).numpy().max())
    assert short["target"].shape[1] == after.shape[1] == longest < whole[1].shape[1]
    losses = [float(task.loss(y, built.model(x))) for x, y in (whole, (short, after))]  # type: ignore[operator]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert trimmer(compose(["data=text_pairs", "jit_compile=true", "deterministic=false"]).config,
                   data, task, built.model) is None  # fmt: skip


def test_scores_of_a_text_do_not_depend_on_what_follows() -> None:
    from kx.contracts.specs import Outputs, Spec
    from kx.models.text.seq2seq import seq2seq_lstm, seq2seq_transformer
    from kx.models.text.transformer import gpt

    spec, outputs = Spec((8,), "int32", vocabulary_size=9), Outputs(9, axes=(None,))
    generator = np.random.default_rng(0)
    source = generator.integers(1, 9, (2, 8))
    tokens = generator.integers(1, 9, (2, 8))
    changed = tokens.copy()
    changed[:, 5:] = 1 + changed[:, 5:] % 8
    both = {"source": spec, "target": spec}
    model = gpt(spec, outputs, units=8, num_layers=2, num_heads=2)
    asked: list[Callable[[Any], Any]] = [model]
    builders: list[Any] = [partial(seq2seq_transformer, num_heads=2), seq2seq_lstm]
    builders.append(partial(seq2seq_lstm, attention="bahdanau"))
    for builder in builders:
        made = builder(both, outputs, units=8)
        asked.append(lambda one, made=made: made({"source": source, "target": one}))
    for ask in asked:
        one, other = np.asarray(ask(tokens)), np.asarray(ask(changed))
        np.testing.assert_allclose(one[:, :5], other[:, :5], atol=1e-5)
        assert np.abs(one[:, 5:] - other[:, 5:]).max() > 1e-4


def test_a_run_translates_and_says_how_sure_it_is(
    at_home: Path, trained: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained("translation")
    assert main(["predict", run.id, "twenty-five", "five hundred", "--json"]) == 0
    printed = capsys.readouterr().out
    answers = json.loads(printed[printed.index("[") :])
    assert [set(one) for one in answers] == [{"input", "translation", "confidence"}] * 2
    assert all(0 < one["confidence"] <= 1 for one in answers)
    assert {"test/bleu", "test/chrf", "test/exact_match", "test/perplexity"} <= set(run.metrics)


def test_other_pairs_are_judged_with_the_runs_vocabulary(
    at_home: Path, trained: Callable[[str], Any], tmp_path: Path
) -> None:
    run = trained("translation")
    path = pairs_file(tmp_path, "p.tsv", [(in_english(i), in_chinese(i)) for i in range(7, 27)])
    words = [f"data.path={path}", "data.source=en", "data.target=zh"]
    assert main(["evaluate", run.id, *words, "--out", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["judged"].startswith("20 examples") and "chrf" in report["metrics"]


# --- reports


class Asked:
    """Answers of a model that repeats what it is told."""

    def __init__(self, raw: list[tuple[str, str]]) -> None:
        self.raw = [(one.encode(), other.encode()) for one, other in raw]
        self.inputs = np.arange(len(raw))[:, None]
        self.model, self.targets = None, np.zeros((len(raw), 3))


def test_scores_are_those_of_sacrebleu_with_all_references_of_a_source() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    raw = [("a", "the cat sat on the mat"), ("b", "a dog"), ("a", "a cat was on the mat"),
           ("c", "it rains today")]  # fmt: skip
    said = np.array(["the cat sat on a mat", "a dog", "(not asked)", "it rains"], dtype=object)

    def answer(model: Any, batch: Any) -> dict[str, Any]:
        texts = tf.gather(tf.constant(said.tolist()), batch[:, 0])
        return {"translation": texts, "confidence": tf.ones(tf.shape(batch)[0])}

    asked: Any = Asked(raw)
    findings = translation_findings(asked, answer, None, None, ReportOptions(50))
    hypotheses = ["the cat sat on a mat", "a dog", "it rains"]
    references = [
        ["the cat sat on the mat", "a dog", "it rains today"],
        ["a cat was on the mat", None, None],
    ]
    expected = {
        "bleu": sacrebleu.BLEU().corpus_score(hypotheses, references).score,
        "chrf": sacrebleu.CHRF().corpus_score(hypotheses, references).score,
        "exact_match": 1 / 3,
    }
    assert findings.metrics == pytest.approx(expected)
    for name, (low, high) in findings.intervals.items():
        assert low <= expected[name] <= high
    assert findings.worst[0] == 3 and findings.predictions["position"].tolist() == [0, 1, 3]


def test_a_language_model_counts_each_token_of_the_test_split(
    at_home: Path, trained: Callable[[str], Any]
) -> None:
    run = trained("language")
    metrics = run.metrics
    assert metrics["test/nats_per_token"] == pytest.approx(metrics["test/loss"], rel=0.02)
    assert metrics["test/perplexity"] == pytest.approx(
        np.exp(metrics["test/nats_per_token"]), rel=1e-4
    )
    [one] = run.predict(["the food was"])
    assert len(one["continuation"]) == 5  # task.num_tokens


def test_real_pairs_are_read_whole() -> None:
    folder = needs_shared("tatoeba_en_zh")
    examples = text_pairs(
        str(folder / "train.tsv"), source="english", target="chinese", quotes=False,
        validation_path=str(folder / "validation.tsv"), test_path=str(folder / "test.tsv"),
    )  # fmt: skip
    counts = {part: len(at) for part, at in examples.own_splits.items()}
    lines = {p: len((folder / f"{p}.tsv").read_text().splitlines()) - 1 for p in counts}
    assert counts == lines


@pytest.mark.usefixtures("graphs")
@pytest.mark.parametrize("attention", ["luong", "bahdanau"])
def test_lstms_learn_to_translate(project: Path, attention: str) -> None:
    small = ["model=seq2seq_lstm", "model.units=16", "model.embedding_units=8", "epochs=2"]
    run = kx.train("data=text_pairs", "split.limit=100", f"model.attention={attention}", *small,
                   "report.num_bootstrap_samples=10", "batch_size=16", quiet=True)  # fmt: skip
    first, last = run.history["train/loss"]
    assert last < first < 8
    # The loss of a batch is the mean over its tokens: as its perplexity has it, without smoothing.
    plain = kx.train("data=text_pairs", "split.limit=100", f"model.attention={attention}", *small,
                     "model.dropout=0", "task.label_smoothing=0", *NONE, quiet=True)  # fmt: skip
    of_loss = np.exp(plain.metrics["test/loss"])
    assert plain.metrics["test/perplexity"] == pytest.approx(of_loss, rel=0.1)


def test_each_text_of_a_pair_begins_with_its_vectors(project: Path) -> None:
    for name, token in (("source", "five"), ("target", "五")):
        (project / f"{name}.txt").write_text(f"{token} 1 2 3 4\n", encoding="utf-8")
    words = [f"tokenizer.{name}.vectors={project / name}.txt" for name in ("source", "target")]
    words += [f"tokenizer.{name}.freeze_vectors=true" for name in ("source", "target")]
    given = ["data=text_pairs", "split.limit=80", "model=seq2seq_lstm", "model.units=4", *words]
    with pytest.raises(ConfigError, match=r"tokenizer.source.vectors: the vectors have 4 numbers"):
        kx.train(*given, *NONE, quiet=True)
    run = kx.train(*given, "model.embedding_units=4", *NONE, quiet=True)
    model = run.model()
    for place, token in (("encoder", "five"), ("decoder", "五")):
        [layer] = [x for x in model.get_layer(place).layers if hasattr(x, "embeddings")]
        assert [1, 2, 3, 4] in np.asarray(layer.embeddings).tolist(), token


def test_weights_of_texts_that_are_written_are_refused(project: Path) -> None:
    data = text_lines(num_characters=64)
    data.weights = np.ones(data.num_examples, "float32")
    with pytest.raises(ConfigError, match="counts each token of a text alike"):
        kx.train("task=language_model", "tokenizer=characters", "model=gpt", "split.limit=50",
                 "split=time", *NONE, data=data, quiet=True)  # fmt: skip


def test_a_text_that_is_cut_is_told_of(
    at_home: Path, trained: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained("language")
    run.predict(["the food was good " * 9])
    assert "1 of 1 texts have all the 64 tokens" in capsys.readouterr().err
    run.predict(["the food"])
    assert "tokens that the model reads" not in capsys.readouterr().err


# --- what a user may get wrong


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tokenizer@tokenizer.trget=words"], "no place 'tokenizer.trget'.*'tokenizer.target'"),
        (["tokenizer@tokenizer.target=none"], r"target.*tokenizer@tokenizer.target=words"),
        (["model=textcnn"], r"model \(.*textcnn\) takes one value.*fields source, target"),
        (["task.max_length=900"], "task.max_length: expected"),
        (["task=regression", "model=textcnn"], "targets of the data are texts: task=translation"),
        (["task=classification", "model=textcnn"], "targets of the data are texts"),
    ],
)
def test_a_mistake_of_a_translation_is_told(project: Path, words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s){said}"):
        kx.train("data=text_pairs", "split.limit=60", *words, *NONE, quiet=True)


def test_targets_of_unknown_words_are_told(project: Path) -> None:
    config = compose(["data=text_pairs", "tokenizer=words", "split.limit=200"]).config
    told = " ".join(one.reason for one in make_data(config).issues)
    assert "of the tokens of validation targets are not in the vocabulary" in told
    fits = make_data(compose(["data=text_pairs", "split.limit=200"]).config)
    assert "not in the vocabulary" not in " ".join(one.reason for one in fits.issues)

"""Augmentations of the words of texts, held against slow, obvious rules."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import kx
from kx.contracts.specs import Spec
from kx.data.augment import Chain, check_fits
from kx.data.augment.texts.sentences import shuffle_sentences
from kx.data.augment.texts.synonyms import insert_words, replace_words, synonyms
from kx.data.augment.texts.words import delete_words, swap_words
from kx.data.random import example_seeds
from kx.errors import ConfigError, DataError, MissingExtraError
from kx.testing import check_augment

LENGTH = 12
TOKENS = ("", "[UNK]", "good", "great", "fine", "film", "movie", "a", ".", "the")
GROUPS = "good great fine\nfilm,movie\n"
texts_of = st.lists(st.integers(1, 9), max_size=LENGTH)


@pytest.fixture(scope="module")
def thesaurus(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("words") / "thesaurus.txt"
    path.write_text(GROUPS)
    return str(path)


def changed(function: Any, text: list[int], seed: int = 0, **options: Any) -> list[int]:
    """The tokens of a text after an augmentation; padding is after them alone."""
    ids = tf.constant([text + [0] * (LENGTH - len(text))], tf.int32)
    seeds = example_seeds(seed, tf.constant(0), tf.constant([3]))
    given_, _ = function(ids, (), seeds, probability=1.0, **options)
    found = given_.numpy()[0].tolist()
    num_words = len(found) - found.count(0)
    assert found[num_words:] == [0] * (LENGTH - num_words)
    return found[:num_words]


def is_part(part: list[int], whole: list[int]) -> bool:
    left = iter(whole)
    return all(any(one == other for other in left) for one in part)


@settings(max_examples=60, deadline=None)
@given(texts_of, st.integers(0, 99), st.floats(0, 1))
def test_deleted_words_leave_the_others_in_order(text: list[int], seed: int, rate: float) -> None:
    found = changed(delete_words, text, seed, rate=rate)
    assert is_part(found, text)
    assert len(found) >= min(1, len(text))
    assert found == text or rate > 0


@settings(max_examples=60, deadline=None)
@given(texts_of, st.integers(0, 99), st.floats(0, 1))
def test_swapped_words_are_the_same_words(text: list[int], seed: int, rate: float) -> None:
    found = changed(swap_words, text, seed, rate=rate)
    assert Counter(found) == Counter(text)
    moved = sum(one != other for one, other in zip(found, text, strict=True))
    assert moved <= 2 * max(1, round(rate * len(text)))
    if len(text) > 1 and len(set(text)) == len(text):
        assert moved >= 2


@settings(max_examples=60, deadline=None)
@given(text=texts_of, seed=st.integers(0, 99), rate=st.floats(0, 1))
def test_replaced_words_are_synonyms(
    thesaurus: str, text: list[int], seed: int, rate: float
) -> None:
    found = changed(replace_words, text, seed, rate=rate, tokens=TOKENS, thesaurus=thesaurus)
    groups = ({2, 3, 4}, {5, 6})
    for one, other in zip(found, text, strict=True):
        assert one == other or any({one, other} <= group for group in groups)
        if rate == 1:
            assert (one != other) == any(other in group for group in groups)


@settings(max_examples=60, deadline=None)
@given(text=texts_of, seed=st.integers(0, 99), rate=st.floats(0, 1))
def test_inserted_words_are_synonyms_of_words_of_the_text(
    thesaurus: str, text: list[int], seed: int, rate: float
) -> None:
    found = changed(insert_words, text, seed, rate=rate, tokens=TOKENS, thesaurus=thesaurus)
    with_synonyms = [one for one in text if 2 <= one <= 6]
    assert len(text) <= len(found) <= min(LENGTH, len(text) + len(with_synonyms))
    if len(found) < LENGTH:
        assert is_part(text, found)
        added = Counter(found) - Counter(text)
        assert all(any({one, other} <= group and one != other for other in text
                       for group in ({2, 3, 4}, {5, 6})) for one in added)  # fmt: skip
    if rate == 1:
        assert len(found) == min(LENGTH, len(text) + len(with_synonyms))


@settings(max_examples=60, deadline=None)
@given(texts_of, st.integers(0, 99))
def test_shuffled_sentences_stay_whole(text: list[int], seed: int) -> None:
    def sentences(ids: list[int]) -> list[tuple[int, ...]]:
        found: list[tuple[int, ...]] = [()]
        for one in ids:
            found[-1] += (one,)
            if one == 8:
                found.append(())
        return [one for one in found if one]

    found = changed(shuffle_sentences, text, seed, tokens=TOKENS)
    whole = sentences(text)
    if not text or text[-1] == 8:  # else the last words join the sentence that comes after them
        assert Counter(sentences(found)) == Counter(whole)
    assert Counter(found) == Counter(text)


def test_sentences_and_words_do_change_and_each_epoch_otherwise(thesaurus: str) -> None:
    text = [7, 2, 5, 8, 9, 6, 8, 3, 8]
    options = {"tokens": TOKENS, "thesaurus": thesaurus, "rate": 0.5}
    for function, given_ in (
        (delete_words, {"rate": 0.5}), (swap_words, {"rate": 0.5}), (replace_words, options),
        (insert_words, options), (shuffle_sentences, {"tokens": TOKENS}),
    ):  # fmt: skip
        ways = {tuple(changed(function, text, seed, **given_)) for seed in range(12)}
        assert len(ways) >= 4, function.__name__
    ids = tf.ones((400, LENGTH), tf.int32) * tf.range(1, LENGTH + 1)
    seeds = example_seeds(0, tf.constant(0), tf.range(400))
    found, _ = swap_words(ids, (), seeds, rate=0.1, probability=0.5)
    share = np.mean(np.any(found.numpy() != ids.numpy(), axis=1))
    assert 0.4 < share < 0.6


@pytest.mark.parametrize("function", [delete_words, swap_words])
def test_the_contract_holds(function: Any) -> None:
    check_augment(function, (20,), texts=True)


# --- where synonyms come from


def test_synonyms_of_a_thesaurus_are_words_of_the_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "cilin.txt"
    path.write_text(
        "Aa01A01= 好 棒 不错\nAa01A02# 电影 音乐\nAa01A03@ 人\n好 优秀\n", encoding="utf-8"
    )
    table, counts = synonyms(("", "[UNK]", "好", "棒", "电影", "音乐", "优秀"), str(path))
    assert [set(row) - {0} for row in table.tolist()] == [
        set(), set(), {3, 6}, {2}, set(), set(), {2},
    ]  # fmt: skip
    assert counts.tolist() == [0, 0, 2, 1, 0, 0, 1]
    words = ("", "[UNK]", "好", "电影")
    with pytest.raises(ConfigError, match="no word of the vocabulary has a synonym"):
        synonyms(words, str(path))
    path.write_text("好 电影", encoding="utf-8")
    assert synonyms(words, str(path))[1].tolist() == [0, 0, 1, 1]  # what was read is not kept
    path.write_text("好 人", encoding="utf-8")
    os.utime(path, ns=(1, 1))
    with pytest.raises(ConfigError, match="no word of the vocabulary has a synonym"):
        synonyms(("", "[UNK]", "film"), str(path))
    with pytest.raises(DataError, match=r"thesaurus=nowhere\.txt cannot be read"):
        synonyms(("", "[UNK]", "film"), "nowhere.txt")


LEXICON = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE LexicalResource SYSTEM "http://globalwordnet.github.io/schemas/WN-LMF-1.0.dtd">
<LexicalResource>
  <Lexicon id="tiny" label="Tiny" language="en" email="a@b.c" license="CC0" version="1">
    <LexicalEntry id="e1"><Lemma writtenForm="film" partOfSpeech="n"/>
      <Sense id="s1" synset="tiny-1-n"/></LexicalEntry>
    <LexicalEntry id="e2"><Lemma writtenForm="movie" partOfSpeech="n"/>
      <Sense id="s2" synset="tiny-1-n"/></LexicalEntry>
    <Synset id="tiny-1-n" ili="i1" partOfSpeech="n" />
  </Lexicon>
</LexicalResource>
"""


def test_synonyms_of_a_wordnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wn = pytest.importorskip("wn", reason='wn is not installed: pip install "kx[synonyms]"')
    before = wn.config.data_directory
    wn.config.data_directory = str(tmp_path / "wn")
    try:
        (tmp_path / "tiny.xml").write_text(LEXICON)
        wn.add(tmp_path / "tiny.xml", progress_handler=None)
        table, _ = synonyms(("", "[UNK]", "film", "movie", "a"), "wordnet:tiny:1")
        assert table[:, 0].tolist() == [0, 0, 3, 2, 0]
        with pytest.raises(DataError, match="python -m wn download oewn:2024"):
            synonyms(("", "[UNK]", "film"), "wordnet:oewn:2024")
    finally:
        wn.config.data_directory = before
    monkeypatch.setitem(__import__("sys").modules, "wn", None)
    with pytest.raises(MissingExtraError, match=r'"kx\[synonyms\]"'):
        synonyms(("", "[UNK]", "cat"), "wordnet:tiny:1")


# --- in a run


def test_a_run_rewords_its_training_texts_alone_and_resumes(project: Path, thesaurus: str) -> None:
    words = [
        "data=reviews", "data.num_examples=120", "model=fasttext", "epochs=2", "report=none",
        "tokenizer=words_and_punctuation", "run_eagerly=true",
        "augment=[delete_words,swap_words,replace_words,insert_words]",
        f"augment.replace_words.thesaurus={thesaurus}",
        f"augment.insert_words.thesaurus={thesaurus}",
    ]  # fmt: skip
    (Path(thesaurus).parent / "thesaurus.txt").write_text(GROUPS + "food meal service\n")
    once, twice = (kx.train(*words, "tracking=none", quiet=True) for _ in range(2))
    assert once.history["train/loss"] == twice.history["train/loss"]
    plain = kx.train(*words[:7], "tracking=none", quiet=True)
    assert plain.history["train/loss"] != once.history["train/loss"]


def test_each_text_of_several_is_changed_by_itself() -> None:
    spec = Spec((LENGTH,), "int32", vocabulary_size=20, kind="tokens")
    fields = {"one": spec, "other": spec, "row": Spec((LENGTH,), "float32")}
    made = Chain(["swap_words"], [swap_words])
    seeds = example_seeds(0, tf.constant(0), tf.range(8))
    ids = tf.tile(tf.range(1, LENGTH + 1)[None], [8, 1])
    row = tf.ones((8, LENGTH))
    known = dict.fromkeys(("one", "other"), [str(number) for number in range(20)])
    found, _ = made.of(fields, {}, tokens=known)({"one": ids, "other": ids, "row": row}, (), seeds)
    assert not np.array_equal(found["one"], found["other"])
    np.testing.assert_array_equal(found["row"], row)
    assert not np.array_equal(found["one"], ids)


def test_what_has_no_words_is_refused(project: Path) -> None:
    for words, said in (
        (["data=digits", "augment=delete_words"], "texts as token ids"),
        (["data=reviews", "augment=shuffle_sentences"], "no token of the vocabulary ends"),
        (["data=reviews", "tokenizer.ngrams=2", "augment=replace_words",
          "augment.replace_words.thesaurus=x"], "does not tell"),
        (["data=reviews", "augment=replace_words", "augment.replace_words.thesaurus=x.txt"],
         "cannot be read"),
    ):  # fmt: skip
        with pytest.raises((ConfigError, DataError), match=said):
            kx.train(*words, "tracking=none", "epochs=1", "report=none", quiet=True)
    spec = Spec((LENGTH,), "int32", vocabulary_size=20, kind="tokens")
    with pytest.raises(ConfigError, match="needs to know what each token id stands for"):
        check_fits(Chain(["s"], [shuffle_sentences]), spec, {}, lambda x, y: (x, y))

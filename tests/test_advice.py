"""An advice that kx gives leads to what works: each is taken from the message, and followed."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest

import kx
from kx.config import build, compose
from kx.contracts.specs import Spec
from kx.data.augment import chain, check_fits
from kx.errors import ConfigError, KxError
from kx.export.readers.arrays import read_array
from kx.export.readers.texts import read_text
from kx.fit.batches import make_data
from kx.fit.own import optimizer_words

X, Y = np.arange(80, dtype="float32").reshape(40, 2), np.arange(40) % 2


def advised(error: KxError, pattern: str) -> list[str]:
    """The words that a message advises, as a shell reads them."""
    found = re.search(pattern, str(error))
    assert found, f"no advice in: {error}"
    return shlex.split(found[1])


def fails(words: list[str]) -> KxError:
    with pytest.raises(KxError) as caught:
        make_data(compose(words).config)
    return caught.value


def test_quotation_marks_as_letters(project: Path) -> None:
    lines = ["text\tlabel"] + [f'"words {i}\t{"ab"[i % 2]}' for i in range(40)]
    Path("odd.tsv").write_text("\n".join(lines))
    words = ["data=text_csv", "data.path=odd.tsv"]
    advice = advised(fails(words), r"as any other: (data\S+)")
    assert int(make_data(compose([*words, *advice]).config).train.cardinality()) > 20


def test_arrays_with_half_a_test_split_and_with_gaps(project: Path) -> None:
    np.savez("half.npz", x_train=X, y_train=Y, x_test=X)
    words = ["data=arrays", "data.path=half.npz"]
    advice = advised(fails(words), r"of its own out: (.+)$")
    assert make_data(compose([*words, *advice]).config).test is not None  # a fraction of it
    np.savez("gaps.npz", x_train=X, y_train=2 * Y)
    words = ["data=arrays", "data.path=gaps.npz"]
    key = advised(fails(words), r"(data\.class_names=)\[")[0]
    names = make_data(compose([*words, f"{key}[a,b,c]"]).config).targets.class_names
    assert names == ("a", "b", "c")


def test_a_vocabulary_with_a_place_for_a_word(project: Path) -> None:
    lines = ["text,label"] + [f"words {i},{'ab'[i % 2]}" for i in range(40)]
    Path("a.csv").write_text("\n".join(lines))
    words = ["data=text_csv", "data.path=a.csv"]
    number = advised(fails([*words, "tokenizer.max_tokens=2"]), r"expected (\d+) or more")[0]
    data = make_data(compose([*words, f"tokenizer.max_tokens={number}"]).config)
    assert data.inputs.vocabulary_size == 3


def test_one_of_several_arrays_and_the_text_of_a_file(project: Path) -> None:
    np.savez("two arrays.npz", a=X, b=X)
    with pytest.raises(KxError) as caught:
        read_array("two arrays.npz", (2,), "float32")
    [name] = advised(caught.value, r"Name one: (.+)$")
    assert len(read_array(name, (2,), "float32")) == 40
    Path("my notes.txt").write_text("lovely film\n")
    with pytest.raises(KxError) as caught:
        read_text("my notes.txt", "text")
    command = re.search(r"kx predict RUN (.+)$", str(caught.value))
    assert command
    word = subprocess.run(["bash", "-c", f"printf %s {command[1]}"], capture_output=True, text=True)
    assert read_text(word.stdout, "text") == [("lovely film", "lovely film")]


def test_an_argument_that_no_option_lists() -> None:
    given = keras.optimizers.Adam(use_ema=True, ema_overwrite_frequency=7)
    with pytest.raises(ConfigError) as caught:
        optimizer_words(given)
    advice = advised(caught.value, r"Add (.+)$")
    plain = optimizer_words(keras.optimizers.Adam(use_ema=True))
    made = build(compose([*plain, *advice]).config.optimizer, place="optimizer")
    assert made.ema_overwrite_frequency == 7 and made.use_ema


def test_masks_beside_pictures_whose_colours_change() -> None:
    pictures, masks = Spec((8, 8, 3), "uint8"), Spec((8, 8), "int32")
    flip = chain({"flip": {"_target_": "kx.data.augment.flip"}})
    with pytest.raises(ConfigError) as caught:
        check_fits(flip, pictures, masks, lambda inputs, targets: (inputs, targets))  # type: ignore[arg-type]
    names = re.search(r"colours alone \(([\w, ]+)", str(caught.value))
    assert names and len(names[1].split(", ")) == 3
    for name in names[1].split(", "):
        other = chain({name.strip(): {"_target_": f"kx.data.augment.{name.strip()}"}})
        check_fits(other, pictures, masks, lambda inputs, targets: (inputs, targets))  # type: ignore[arg-type]


def test_a_store_that_does_not_answer_and_a_batch_that_is_too_large(project: Path) -> None:
    words = ["data=wine", "model=linear", "epochs=1", "report=none"]
    with pytest.raises(KxError) as caught:
        kx.train(*words, "tracking.uri=http://127.0.0.1:9/", quiet=True)
    advice = advised(caught.value, r"train without: (\S+)\.")
    assert kx.train(*words, *advice, quiet=True).metrics["train/loss"] > 0
    large = [*words, *advice, "batch_size=512", "data.drop_remainder=true"]
    with pytest.raises(ConfigError) as caught:
        kx.train(*large, quiet=True)
    number = advised(caught.value, r"Choose (\d+) or less")[0]
    assert kx.train(*large, f"batch_size={number}", quiet=True).metrics["train/loss"] > 0

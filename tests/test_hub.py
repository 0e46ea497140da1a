"""Pretrained models of texts and their tokenizers, on tiny presets that are made on the spot."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import kx
from kx.cli import main
from kx.config import compose
from kx.contracts.specs import Outputs
from kx.data.sources.text.reviews import reviews
from kx.data.texts.detokenize import Detokenizer
from kx.data.tokenizers.hub import keras_hub as hub_tokenizer
from kx.data.tokenizers.subwords import sentencepiece, wordpiece
from kx.errors import ConfigError, DataError, MissingExtraError
from kx.models.text.bags import fasttext
from kx.models.text.hub import JoinTexts
from kx.models.text.hub import keras_hub as hub_model
from kx.testing import check_tokenizer
from kx.training import train
from kx.transfer import layer_decay

pytest.importorskip("tensorflow_text", reason='KerasHub is not installed: pip install "kx[hub]"')
keras_hub = pytest.importorskip("keras_hub")
# Its tokenizers are functions of TensorFlow whose loops become graphs.
pytestmark = pytest.mark.usefixtures("graphs")

WORDS = ["data=reviews", "data.num_examples=60", "model=keras_hub", "tokenizer=keras_hub"]


def ids(made: Any, text: str) -> list[int]:
    found: list[int] = made.prepare(tf.constant(text)).numpy().tolist()
    return found


def test_a_preset_s_tokenizer_encloses_a_text_and_pads_it_as_the_preset_does(presets: Path) -> None:
    bert = hub_tokenizer(["a film", "not good"], preset=str(presets / "bert"))
    assert ids(bert, "")[:2] == [2, 3] and ids(bert, "film")[0] == 2
    own = keras_hub.models.BertTextClassifierPreprocessor.from_preset(
        str(presets / "bert"), sequence_length=bert.inputs.shape[0]
    )
    text = "not a good film"
    assert ids(bert, text) == own(text)["token_ids"].numpy().tolist()
    roberta = hub_tokenizer(["in the film"], preset=str(presets / "roberta"), sequence_length=9)
    assert roberta.inputs.padding_value == 1
    assert ids(roberta, "in")[-1] == 1 and ids(roberta, "a" * 20)[-1] == 2
    own = keras_hub.models.RobertaTextClassifierPreprocessor.from_preset(
        str(presets / "roberta"), sequence_length=9
    )
    assert ids(roberta, "in the") == own("in the")["token_ids"].numpy().tolist()


def test_a_preset_s_tokenizer_keeps_the_contract(presets: Path) -> None:
    check_tokenizer(partial(hub_tokenizer, preset=str(presets / "bert")))


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_the_model_scores_as_keras_hub_s_classifier_does(presets: Path, kind: str) -> None:
    made = hub_tokenizer(["a good film"], preset=str(presets / kind), sequence_length=24)
    model = hub_model(made.inputs, Outputs(3), preset=str(presets / kind))
    given = tf.stack([made.prepare(tf.constant(text)) for text in ("a good film", "bad")])
    [classifier] = [layer for layer in model.layers if hasattr(layer, "backbone")]
    known = {"token_ids": given, "padding_mask": given != made.inputs.padding_value}
    if kind == "bert":
        known["segment_ids"] = tf.zeros_like(given)
    np.testing.assert_allclose(model(given), classifier(known), atol=1e-6)
    kept = keras_hub.models.Backbone.from_preset(str(presets / kind))
    found = classifier.backbone
    assert found.name == "base"
    for one, other in zip(kept.get_weights(), found.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    random = hub_model(made.inputs, Outputs(3), preset=str(presets / kind), load_weights=False)
    assert not np.allclose(random.get_weights()[0], model.get_weights()[0])


def test_two_texts_are_joined_as_keras_hub_packs_them(presets: Path) -> None:
    preset = str(presets / "bert")
    one = hub_tokenizer(["a good film"], preset=preset, sequence_length=8)
    pairs = [("a good film", "not bad"), ("", "film"), ("bad", "")]
    joined = JoinTexts()(
        [tf.stack([one.prepare(tf.constant(pair[i])) for pair in pairs]) for i in (0, 1)]
    )
    pack = keras_hub.models.BertTextClassifierPreprocessor.from_preset(preset, sequence_length=15)
    firsts, seconds = (tf.constant(list(each)) for each in zip(*pairs, strict=True))
    own = pack(x=(firsts, seconds))
    for name in ("token_ids", "segment_ids", "padding_mask"):
        np.testing.assert_array_equal(joined[name], own[name], err_msg=name)


def test_a_run_of_a_preset_resumes_answers_and_is_exported(
    project: Path, presets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        *WORDS,
        f"model.preset={presets / 'bert'}",
        "report=none",
        "model.lora_rank=2",
        "run_eagerly=true",
    ]
    straight = kx.train(*words, "epochs=2", quiet=True)
    stopped = [*words, "epochs=2", "tracking.run_name=stopped"]
    train(compose(stopped), stop_after=1, evaluate=False, quiet=True)
    run = kx.train(*stopped, "resume=auto", quiet=True)
    assert straight.history["val/loss"] == run.history["val/loss"]
    for one, other in zip(straight.model().weights, run.model().weights, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other), err_msg=one.path)
    [answer] = run.predict(["a good film"])
    assert main(["export", run.id, "--out", "exported"]) == 0
    assert "after `import tensorflow_text`" in capsys.readouterr().out
    loaded = tf.saved_model.load("exported/saved_model")
    found = loaded.signatures["serving_default"](inputs=tf.constant(["a good film"]))
    assert found["confidence"].numpy()[0] == pytest.approx(answer["confidence"], abs=1e-5)
    kept = keras_hub.models.Backbone.from_preset(str(presets / "bert"))
    tuned = next(one for one in run.model().layers if hasattr(one, "backbone")).backbone
    # LoRA trains matrices beside the encoder's own, which stay as they are.
    np.testing.assert_array_equal(tuned.token_embedding.embeddings, kept.token_embedding.embeddings)
    given = hub_tokenizer(["a"], preset=str(presets / "bert")).inputs
    model = hub_model(given, Outputs(2), preset=str(presets / "bert"), lora_rank=2)
    trained = [w.path for w in model.trainable_weights]
    assert trained and all("lora" in path or "logits" in path for path in trained), trained
    with pytest.raises(ConfigError, match="Choose one of both"):
        hub_model(given, Outputs(2), preset=str(presets / "bert"), lora_rank=2, trainable=False)
    with pytest.raises(ConfigError, match="would train all of a base"):
        kx.train(*words, "transfer=fine_tune", "epochs=2", "tracking=none", quiet=True)
    with pytest.raises(ConfigError, match=r"kept with merged weights: set model\.lora_rank=null"):
        kx.train(*words, f"init_from={run.id}", "epochs=1", quiet=True)
    frozen = [*words[:-2], "model.trainable=false", "transfer=layer_decay", "tracking=none"]
    with pytest.raises(ConfigError, match="has no effect: nothing of the base 'base' is trained"):
        kx.train(*frozen, "epochs=1", quiet=True)


def test_a_preset_is_tuned_in_two_phases_on_pairs_of_texts(project: Path, presets: Path) -> None:
    rows = [f"{a} film,{b} film,{a == b}" for a in ("good", "bad") for b in ("good", "bad")]
    (project / "pairs.csv").write_text("\n".join(["one,other,same", *rows * 10]))
    run = kx.train(
        "data=text_csv", "data.path=pairs.csv", "data.text=[one,other]", "data.label=same",
        "model=keras_hub", "tokenizer=keras_hub", f"model.preset={presets / 'bert'}",
        "transfer=fine_tune", "transfer.frozen_epochs=1", "epochs=2", "report=none",
        "tracking=none", "optimizer.learning_rate=1e-3", "run_eagerly=true", quiet=True,
    )  # fmt: skip
    assert len(run.history["val/loss"]) == 2
    assert {one.name for one in run.model().inputs} == {"one", "other"}


def test_the_blocks_of_an_encoder_learn_at_rates_of_their_own(presets: Path) -> None:
    given = hub_tokenizer(["a"], preset=str(presets / "bert")).inputs
    model = hub_model(given, Outputs(2), preset=str(presets / "bert"))
    [phase] = layer_decay(3, decay=0.5)
    assert phase.rates is not None
    rates = phase.rates(model)
    assert {r for path, r in rates.items() if "_embedding" in path} == {0.125}
    assert {r for path, r in rates.items() if "transformer_layer_0" in path} == {0.25}
    assert {r for path, r in rates.items() if "transformer_layer_1" in path} == {0.5}
    assert not any("logits" in path for path in rates)


@pytest.mark.parametrize("make", [wordpiece, sentencepiece])
def test_parts_of_words_become_texts_again(make: Any) -> None:
    texts = [*map(str, reviews(num_examples=100).inputs), "很好吃，送得快"]
    made = make(texts, max_tokens=150, lower=True)
    assert made.inputs.vocabulary_size <= 150
    written = Detokenizer.read(made.detokenize)
    for text in texts[:20]:
        [found] = written(made.prepare(tf.constant(text))[None]).numpy()
        assert found.decode() == text.lower(), ids(made, text)
    assert ids(made, "")[0] == 0 and 1 in ids(made, "☃")


def test_what_cannot_be_loaded_is_refused_with_the_ways_out(
    project: Path, presets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bert, roberta = str(presets / "bert"), str(presets / "roberta")
    with pytest.raises(ConfigError, match="tokenizer=keras_hub needs a preset"):
        kx.train("data=reviews", "tokenizer=keras_hub", "tracking=none", quiet=True)
    with pytest.raises(ConfigError, match=r"no folder .*nowhere.*hf://USER/NAME"):
        hub_tokenizer(["a"], preset="nowhere")
    with pytest.raises(ConfigError, match="bert_base_en_uncased"):
        hub_tokenizer(["a"], preset="bert_base_en_uncase")
    with pytest.raises(ConfigError, match="expected 3 or more"):
        hub_tokenizer(["a"], preset=bert, sequence_length=2)
    given = hub_tokenizer(["a"], preset=bert).inputs
    with pytest.raises(ConfigError, match=r"is another one.*tokenizer=keras_hub"):
        hub_model(given, Outputs(2), preset=roberta)
    other = replace(given, vocabulary="another")
    with pytest.raises(ConfigError, match=r"is another one.*tokenizer=keras_hub"):
        hub_model(other, Outputs(2), preset=bert)
    with pytest.raises(ConfigError, match="does not tell"):
        kx.train(*WORDS, f"model.preset={bert}", "augment=delete_words", "tracking=none",
                 "epochs=1", quiet=True)  # fmt: skip
    with pytest.raises(ConfigError, match=r"up to 64 tokens.*sequence_length=64 or less"):
        hub_model(replace(given, shape=(65,)), Outputs(2), preset=bert)
    with pytest.raises(ConfigError, match="one text or two"):
        hub_model(dict.fromkeys("abc", given), Outputs(2), preset=bert)
    with pytest.raises(ConfigError, match=r"takes token 0 for padding.*by token 1"):
        fasttext(hub_tokenizer(["a"], preset=roberta).inputs, Outputs(2))
    with pytest.raises(DataError, match="vocabulary is empty"):
        sentencepiece(["", " "])
    with pytest.raises(DataError, match="vocabulary is empty"):
        wordpiece(["", " "])
    with pytest.raises(ConfigError, match=r"max_tokens=3: SentencePiece cannot"):
        sentencepiece(["a good film"], max_tokens=3)
    from requests.exceptions import ConnectionError as NoNetworkError

    def fail(*_: Any, **__: Any) -> None:
        raise NoNetworkError("Failed to resolve a name")

    monkeypatch.setattr(keras_hub.tokenizers.Tokenizer, "from_preset", fail)
    with pytest.raises(ConfigError, match=r"cannot be downloaded.*tokenizer.preset=FOLDER"):
        hub_tokenizer(["a"], preset="bert_base_zh")
    monkeypatch.setitem(sys.modules, "tensorflow_text", None)
    with pytest.raises(MissingExtraError, match=r'tokenizer=wordpiece needs.*"kx\[hub\]"'):
        wordpiece(["a"])

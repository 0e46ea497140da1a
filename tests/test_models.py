"""The contract of a model option, over every shipped one, and what the papers say of sizes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kx.config import CONF_DIR, build, compose
from kx.data import Outputs, Spec
from kx.data.sources.images.pixels import normalization
from kx.errors import ConfigError
from kx.models.images.applications import EXPECTED_NORMALIZATIONS, application
from kx.models.images.convolutional import cnn, mnist_cnn
from kx.models.images.residual import resnet
from kx.models.images.vision_transformer import vit
from kx.models.images.wide_residual import wide_resnet
from kx.models.tables.dense import linear, mlp
from kx.models.text.bags import bow_mlp
from kx.models.text.convolutional import textcnn
from kx.models.text.recurrent import lstm, recurrent
from kx.models.text.transformer import transformer
from kx.testing import check_model

IMAGE = Spec((32, 32, 3), "float32")
ROW = Spec((13,), "float32")
TEXT = Spec((12,), "int32", vocabulary_size=50)
TEXT_MODELS = (
    "lstm",
    "gru",
    "rnn",
    "lstm_attention",
    "textcnn",
    "fasttext",
    "bow_mlp",
    "transformer",
)
WRITERS = ("gpt", "seq2seq_transformer", "seq2seq_lstm")
INPUTS = {
    "cnn": IMAGE, "mnist_cnn": IMAGE, "resnet": IMAGE, "wide_resnet": IMAGE, "vit": IMAGE,
    "linear": ROW, "mlp": ROW, "fusion": {"image": IMAGE, "text": TEXT, "row": ROW},
    **dict.fromkeys(TEXT_MODELS, TEXT),
    "gpt": TEXT, **dict.fromkeys(WRITERS[1:], {"source": TEXT, "target": TEXT}),
    **dict.fromkeys(["unet", "autoencoder", "vae"], Spec((20, 12, 3), "float32")),
    "q_table": Spec((), "int32", sizes=(5,)), "q_network": ROW, "policy_network": ROW, "dcgan": ROW,
    **dict.fromkeys(["mobilenet", "efficientnet", "convnext", "resnet50", "densenet"], IMAGE),
}  # fmt: skip
# That of keras_hub needs a preset: test_hub.
MODELS = sorted({path.stem for path in (CONF_DIR / "model").glob("*.yaml")} - {"keras_hub"})
LARGE = [pytest.param(name, marks=pytest.mark.slow) for name in MODELS if name in (
    "efficientnet", "convnext", "resnet50", "densenet", "mobilenet")]  # fmt: skip
# A builder of many equal parts is built of few.
FEW = {
    "vit": ["model.num_layers=1"], "transformer": ["model.num_layers=1"],
    "resnet": ["model.depth=8"], "gpt": ["model.num_layers=1"],
    "seq2seq_transformer": ["model.num_layers=1"],
    "wide_resnet": ["model.depth=10", "model.width=1"], "unet": ["model.filters=4"],
}  # fmt: skip
SMALL = [name for name in MODELS if name not in [large.values[0] for large in LARGE]]


def example(inputs: Spec, count: int = 2) -> np.ndarray:
    generator = np.random.default_rng(0)
    if inputs.vocabulary_size:
        return generator.integers(0, inputs.vocabulary_size, (count, *inputs.shape))
    return generator.normal(size=(count, *inputs.shape)).astype("float32")


FAMILIES = ("MobileNetV2", "MobileNetV3Small", "NASNetMobile", "InceptionV3", "Xception",
            "ResNet50V2", "VGG16", "EfficientNetB0", "EfficientNetV2B0",
            "ConvNeXtTiny")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("architecture", FAMILIES)
def test_each_family_is_built_and_answers_the_same_from_a_file(
    architecture: str, tmp_path: Path
) -> None:
    words = {
        "architecture": architecture,
        "input_normalization": EXPECTED_NORMALIZATIONS[architecture],
    }
    inputs, outputs = Spec((96, 96, 3), "float32"), Outputs(3, ("a", "b", "c"))
    model = application(inputs, outputs, **words)
    pixels = 100 + 50 * example(inputs, 1)
    assert model(pixels).shape == (1, 3)
    expected = np.asarray(model.get_layer("base")(pixels, training=False))
    model.save(tmp_path / "whole.keras")
    model.get_layer("base").save_weights(tmp_path / "base.weights.h5")
    for name in ("whole.keras", "base.weights.h5"):
        again = application(inputs, outputs, weights=str(tmp_path / name), **words)
        given = again.get_layer("base")(pixels, training=False)
        np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-5 * abs(expected).max())


@pytest.mark.parametrize("name", [*SMALL, *LARGE])
def test_a_builder_gives_an_uncompiled_model_of_raw_scores(project: Path, name: str) -> None:
    config = compose([f"model={name}", *FEW.get(name, [])]).config.model
    # A fresh BatchNorm's unused shift may stay, and the bias of attention's keys has no effect.
    unused = 0.0 if name in ("cnn", "mnist_cnn", "linear", "mlp", "lstm") else 0.9
    axes = (20, 12) if name in ("unet", "autoencoder", "vae", "dcgan") else ()
    outputs: Any = Outputs(4, axes=axes)
    if name == "policy_network":
        outputs = {"action": Outputs(4), "value": Outputs(1)}
    if name in WRITERS:
        outputs = Outputs(50, axes=(None,), along="" if name == "gpt" else "target")
    check_model(partial(build, config), INPUTS[name], outputs, unused=unused)


@pytest.mark.parametrize(
    "name", [name for name in TEXT_MODELS if name not in ("textcnn", "bow_mlp")]
)
def test_padding_says_nothing(project: Path, name: str) -> None:
    """The embedding of padding may be anything; that of a word may not."""
    config = compose([f"model={name}", *FEW.get(name, [])]).config.model
    model = build(config, TEXT, Outputs(3))
    texts = example(TEXT, 3)
    texts[texts == 0] = 1
    texts[0, 5:] = texts[1, 1:] = 0
    expected = np.asarray(model(texts))
    embedding = next(one for one in model.layers if isinstance(one, keras.layers.Embedding))
    table = embedding.get_weights()[0]
    table[0] = 7.0
    embedding.set_weights([table])
    np.testing.assert_allclose(np.asarray(model(texts)), expected, atol=1e-6)
    table[texts[0, 0]] += 1.0
    embedding.set_weights([table])
    assert np.abs(np.asarray(model(texts))[0] - expected[0]).max() > 1e-4


@pytest.mark.parametrize("name", [*TEXT_MODELS, "fusion"])
def test_an_empty_text_is_an_answer_and_no_danger(project: Path, name: str) -> None:
    inputs: Any = {"a": TEXT, "b": TEXT} if name == "fusion" else TEXT
    model = build(compose([f"model={name}", *FEW.get(name, [])]).config.model, inputs, Outputs(3))
    texts = example(TEXT, 4)
    texts[0] = 0
    given = {"a": texts, "b": texts} if name == "fusion" else texts
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(given, np.arange(4) % 3, verbose=0)
    assert np.isfinite(np.asarray(model(given))).all()


def test_filters_see_no_padding() -> None:
    short, long = (textcnn(replace(TEXT, shape=(n,)), Outputs(3)) for n in (12, 40))
    long.set_weights(short.get_weights())
    texts = np.zeros((2, 40), "int32")
    texts[:, :5] = 3 + np.arange(5)
    np.testing.assert_allclose(short(texts[:, :12]), long(texts), atol=1e-6)


def test_attention_weighs_the_words_alone_and_sums_to_one() -> None:
    model = recurrent(TEXT, Outputs(3), cell="lstm", attention_units=8)
    weights = keras.Model(model.input, model.get_layer("attention_weights").output)
    texts = np.full((2, *TEXT.shape), 2)
    texts[0, 3:] = 0
    found = np.asarray(weights(texts))
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-6)
    assert (found[0, 3:] == 0).all() and (found[1] > 0).all()


def test_a_bag_of_words_knows_no_order_and_no_padding() -> None:
    once, twice = np.zeros((2, 1, *TEXT.shape), "int32")
    once[0, :3], twice[0, 2:8] = [3, 4, 5], [5, 5, 3, 4, 3, 3]
    for counts, alike in ((False, True), (True, False)):
        model = bow_mlp(TEXT, Outputs(3), counts=counts)
        assert np.allclose(model(once), model(twice)) == alike
        assert model.layers[1].num_tokens == TEXT.vocabulary_size


def test_positions_are_the_papers() -> None:
    model = transformer(TEXT, Outputs(2), units=4, num_heads=2, num_layers=1)
    [table] = model.get_layer("positions").get_weights()
    for place in range(3):  # Vaswani et al. 2017, section 3.5
        expected = [np.sin(place), np.cos(place), np.sin(place / 100), np.cos(place / 100)]
        np.testing.assert_allclose(table[place], expected, atol=1e-6)
    assert not model.get_layer("positions").trainable
    with pytest.raises(ConfigError, match="sinusoidal, learned or none"):
        transformer(TEXT, Outputs(2), positions="learnt")
    with pytest.raises(ConfigError, match="divisor of model.units=64"):
        transformer(TEXT, Outputs(2), num_heads=5)


def test_cnn_has_the_stated_parameters() -> None:
    assert cnn(IMAGE, Outputs(10)).count_params() == 1_147_466


def test_mnist_cnn_has_the_stated_parameters() -> None:
    assert mnist_cnn(Spec((28, 28, 1), "float32"), Outputs(10)).count_params() == 1_199_882


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (56, 0.85)])
def test_resnet_has_the_papers_parameters(depth: int, millions: float) -> None:
    """He et al. 2015, table 6."""
    weights = resnet(IMAGE, Outputs(10), depth=depth).trainable_variables
    assert round(sum(int(np.prod(w.shape)) for w in weights) / 1e6, 2) == millions


@pytest.mark.parametrize(
    ("depth", "width", "millions"), [(40, 1, 0.6), (16, 8, 11.0), (28, 10, 36.5)]
)
def test_wide_resnet_has_the_papers_parameters(depth: int, width: int, millions: float) -> None:
    """Zagoruyko & Komodakis 2016, tables 4 and 5."""
    weights = wide_resnet(IMAGE, Outputs(10), depth=depth, width=width).trainable_variables
    assert round(sum(int(np.prod(w.shape)) for w in weights) / 1e6, 1) == millions


def test_vit_sees_where_a_patch_is_and_that_it_is_whole() -> None:
    model = vit(IMAGE, Outputs(4), num_layers=1)
    image = example(IMAGE, 1)
    moved = np.roll(image, 4, axis=1)  # by one patch: the same patches at other places
    assert not np.allclose(model(image), model(moved), atol=1e-6)
    patches = keras.Model(model.inputs, model.get_layer("patches").input)(image)
    np.testing.assert_array_equal(patches[0, 9], image[0, 4:8, 4:8].ravel())
    with pytest.raises(ConfigError, match="divisor of 30 and 32"):
        vit(Spec((30, 32, 3), "float32"), Outputs(4))
    with pytest.raises(ConfigError, match="divisor of model.units=128"):
        vit(IMAGE, Outputs(4), num_heads=3)
    with pytest.raises(ConfigError, match="6n \\+ 4"):
        wide_resnet(IMAGE, Outputs(4), depth=20)


@pytest.mark.parametrize("name", ["mobilenet", "efficientnet", "convnext", "resnet50", "densenet"])
def test_data_is_normalized_as_the_architecture_expects(project: Path, name: str) -> None:
    config = compose([f"model={name}", "data=digits"]).config
    wanted = EXPECTED_NORMALIZATIONS[config.model.architecture]
    assert config.model.input_normalization == wanted == config.data.normalize
    assert compose(["model=cnn", "data=digits"]).config.data.normalize == "unit"


def test_pixels_reach_each_kind_of_base_as_keras_prepares_them() -> None:
    """By the first layer of the data, and what the builder adds."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype("float32")
    for module, kind in [
        (keras.applications.mobilenet_v2, "symmetric"), (keras.applications.densenet, "imagenet"),
        (keras.applications.resnet, "caffe"),
    ]:  # fmt: skip
        layer = normalization(kind)
        assert layer is not None
        ours = np.asarray(layer(pixels))
        ours = ours[..., ::-1] if kind == "caffe" else ours
        np.testing.assert_allclose(ours, module.preprocess_input(pixels.copy()), atol=1e-4)


SMALL_NET = {"arguments": {"alpha": 0.35}}


def test_a_base_takes_weights_of_a_file_and_stays_if_it_is_frozen(tmp_path: Path) -> None:
    first = application(IMAGE, Outputs(4), **SMALL_NET)
    first.save(tmp_path / "whole.keras")
    first.get_layer("base").save_weights(tmp_path / "base.weights.h5")
    for file in ("whole.keras", "base.weights.h5"):
        model = application(
            IMAGE, Outputs(7), weights=str(tmp_path / file), trainable=False, dropout=0.0,
            **SMALL_NET,
        )  # fmt: skip
        base = model.get_layer("base")
        before = base.get_weights()
        for mine, theirs in zip(before, first.get_layer("base").get_weights(), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert len(model.trainable_variables) == 2
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(example(IMAGE, 8), np.arange(8) % 7, verbose=0)
    for mine, theirs in zip(before, base.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(ConfigError, match="does not fit .* parameters"):
        application(IMAGE, Outputs(4), weights=str(tmp_path / "base.weights.h5"))
    with pytest.raises(ConfigError, match="built with another depth"):
        application(IMAGE, Outputs(4), weights=str(tmp_path / "whole.keras"))
    with pytest.raises(ConfigError, match="no file"):
        application(IMAGE, Outputs(4), weights=str(tmp_path / "none.keras"))


@pytest.mark.slow
def test_a_file_of_efficientnets_weights_answers_as_imagenets_do(tmp_path: Path) -> None:
    """Keras gives it one more layer, a scale of the pixels, with ImageNet's weights alone."""
    words = {"architecture": "EfficientNetB0", "input_normalization": "none"}
    plain = keras.applications.EfficientNetB0(
        weights=None, include_top=False, input_shape=IMAGE.shape
    )
    [normalization] = [x for x in plain.layers if isinstance(x, keras.layers.Normalization)]
    normalization.set_weights(
        [np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225)), np.array(0)]
    )
    file = str(tmp_path / "notop.weights.h5")
    plain.save_weights(file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras.src.utils.file_utils.get_file", lambda *_, **__: file)
        known = application(IMAGE, Outputs(4), weights="imagenet", **words)
    known.save(tmp_path / "known.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (2, *IMAGE.shape)).astype("float32")
    expected = np.asarray(known.get_layer("base")(pixels, training=False))
    again = tmp_path / "again.keras"
    for given in (tmp_path / "known.keras", file, again):
        model = application(IMAGE, Outputs(4), weights=str(given), **words)
        found = np.asarray(model.get_layer("base")(pixels, training=False))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * abs(expected).max())
        model.save(again)
    with pytest.raises(ConfigError, match="of another architecture|built with another"):
        application(IMAGE, Outputs(4), weights=str(again))


def test_grey_pictures_are_shown_to_weights_of_colours(tmp_path: Path) -> None:
    application(IMAGE, Outputs(4), **SMALL_NET).save(tmp_path / "whole.keras")
    grey = Spec((32, 32, 1), "float32")
    model = application(grey, Outputs(4), weights=str(tmp_path / "whole.keras"), **SMALL_NET)
    assert model.input_shape == (None, 32, 32, 1)
    own = application(grey, Outputs(4), **SMALL_NET).get_layer("base")
    own.save_weights(tmp_path / "grey.weights.h5")
    model = application(grey, Outputs(4), weights=str(tmp_path / "grey.weights.h5"), **SMALL_NET)
    assert model.get_layer("base").input_shape == (None, 32, 32, 1)


def test_imagenets_weights_offline_are_an_error_with_ways_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise Exception("URL fetch failure on https://…: None -- no network")  # as Keras does

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", offline)
    with pytest.raises(ConfigError) as caught:
        application(IMAGE, Outputs(4), weights="imagenet")
    for word in ("not on this machine", "no network", "model.weights=FILE", "model.weights=null"):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"architecture": "MobileNetV9"}, "Did you mean 'MobileNetV2'"),
        ({"architecture": "ResNet50"}, "ResNet50 expects 'caffe'"),
        ({"architecture": "Xception"}, "cannot be built for images of 32x32"),
        ({"arguments": {"alhpa": 1}}, "no argument 'alhpa'. Did you mean 'alpha'"),
        ({"arguments": {"pooling": "avg"}}, "model.arguments.pooling is set by"),
    ],
)
def test_what_an_application_cannot_be_is_said(words: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        application(IMAGE, Outputs(4), **words)


def test_what_people_tune_is_an_argument() -> None:
    small = cnn(IMAGE, Outputs(10), filters=[8], dense_units=16, batch_normalization=True, l2=0.1)
    assert small.count_params() < 50_000
    assert any(isinstance(layer, keras.layers.BatchNormalization) for layer in small.layers)
    assert small.losses
    skips = mlp(ROW, Outputs(3), hidden_units=[8, 8], residual=True)
    assert sum(isinstance(layer, keras.layers.Add) for layer in skips.layers) == 2
    assert linear(ROW, Outputs(3)).count_params() == 13 * 3 + 3


def test_padding_does_not_change_a_texts_scores() -> None:
    model = lstm(TEXT, Outputs(2))
    longer = lstm(Spec((20,), "int32", vocabulary_size=50), Outputs(2))
    longer.set_weights(model.get_weights())
    tokens = np.array([[3, 4, 5] + [0] * 9])
    padded = np.array([[3, 4, 5] + [0] * 17])
    np.testing.assert_allclose(model(tokens), longer(padded), atol=1e-6)


@pytest.mark.parametrize(
    ("builder", "inputs", "said"),
    [
        (cnn, ROW, "model=mlp"),
        (cnn, Spec((4, 4, 1), "float32"), "at least 8 pixels"),
        (mnist_cnn, Spec((4, 4, 1), "float32"), "at least 6 pixels"),
        (lstm, IMAGE, "token ids"),
        (mlp, TEXT, "model=lstm"),
    ],
)
def test_unfitting_input_is_refused_with_what_fits(builder, inputs: Spec, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=said):
        builder(inputs, Outputs(3))


def test_resnet_refuses_a_depth_that_does_not_exist() -> None:
    with pytest.raises(ConfigError, match="20, 32, 44, 56"):
        resnet(IMAGE, Outputs(10), depth=21)

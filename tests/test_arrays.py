"""Arrays of NumPy, idx files and CIFAR-10's binary batches: read exactly, or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from conftest import GENERATOR, as_data, idx_bytes, images_of, needs_shared, record
from matplotlib.figure import Figure

import kx
from kx.cli import main
from kx.data import Data
from kx.data.sources.arrays import files
from kx.data.sources.images import binary
from kx.data.sources.images.binary import read_idx
from kx.errors import ConfigError, DataError

arrays, idx = as_data(files.arrays), as_data(binary.idx)
cifar10_binary = as_data(binary.cifar10_binary)


def decoded(data: Data, split: str) -> tuple[np.ndarray, np.ndarray]:
    pairs = list(data.splits[split])
    return (
        np.stack([data.prepare(raw) for raw, _ in pairs]),
        np.stack([label for _, label in pairs]),
    )


def test_idx_files_are_read_exactly(mnist_files: Path) -> None:
    data = idx(str(mnist_files))
    assert {k: int(v.cardinality()) for k, v in data.splits.items()} == {
        "train": 54, "validation": 6, "test": 20,
    }  # fmt: skip
    assert data.inputs.shape == (8, 8, 1) and data.targets.class_names == tuple("0123456789")
    images, labels = decoded(data, "test")
    np.testing.assert_array_equal(
        images[..., 0], read_idx(mnist_files / "t10k-images-idx3-ubyte.gz")
    )
    np.testing.assert_array_equal(labels, np.arange(20) % 10)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "float64"])
def test_each_type_of_idx_comes_back(tmp_path: Path, dtype: str) -> None:
    values = GENERATOR.integers(0, 99, (3, 4, 5)).astype(dtype)
    (tmp_path / "x").write_bytes(idx_bytes(values))
    read = read_idx(tmp_path / "x")
    np.testing.assert_array_equal(read, values)
    assert read.dtype == values.dtype


@pytest.mark.slow
def test_real_mnist_and_cifar10_are_what_they_are_known_to_be() -> None:
    mnist = idx(str(needs_shared("mnist")), limit=100)
    assert {k: int(v.cardinality()) for k, v in mnist.splits.items()}["test"] == 100
    images = read_idx(needs_shared("mnist") / "train-images-idx3-ubyte.gz")
    assert images.shape == (60000, 28, 28)
    assert images.mean() / 255 == pytest.approx(0.1307, abs=1e-4)
    assert images.std() / 255 == pytest.approx(0.3081, abs=1e-4)
    cifar10 = cifar10_binary(str(needs_shared("cifar10_5k")))
    assert {k: int(v.cardinality()) for k, v in cifar10.splits.items()} == {
        "train": 4500, "validation": 500, "test": 1000,
    }  # fmt: skip
    assert cifar10.class_counts["test"] == (100,) * 10


def test_the_channels_of_cifar10_are_in_their_places(cifar_files: Path) -> None:
    pixels = np.zeros((32, 32, 3), "uint8")
    pixels[:8, :, 0] = 200  # red above
    (cifar_files / "test_batch.bin").write_bytes(record(3, pixels) * 10)
    data = cifar10_binary(str(cifar_files))
    images, labels = decoded(data, "test")
    np.testing.assert_array_equal(images[0], pixels)
    assert set(labels) == {3} and data.targets.class_names[3] == "cat"  # type: ignore[index]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def overwritten(content: bytes, at: int = 0) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        whole = bytearray(path.read_bytes())
        whole[at : at + len(content)] = content
        path.write_bytes(bytes(whole))

    return write


@pytest.mark.parametrize(
    ("name", "harm", "said"),
    [
        ("train-images-idx3-ubyte", cut, "it is cut"),
        ("train-images-idx3-ubyte", overwritten(b"\x00\x01\x08\x03"), "Received: 00 01 08 03"),
        ("train-labels-idx1-ubyte", overwritten(b"<htm"), "expected an idx file"),
        ("train-labels-idx1-ubyte", lambda p: p.write_bytes(b""), "an empty file"),
        ("train-images-idx3-ubyte", lambda p: p.write_bytes(p.read_bytes()[:6]), "it is cut"),
        ("train-images-idx3-ubyte", overwritten(b"\t", 3), "axes, 1 to 4. Received: 00 00 08 09"),
        (
            "train-labels-idx1-ubyte",
            overwritten(b"\x4d", 8 + 2),
            "train-labels-idx1-ubyte: example 2",
        ),
        ("t10k-labels-idx1-ubyte", overwritten(b"\x4d", 8 + 1), "t10k-labels.*: example 1"),
        ("t10k-images-idx3-ubyte.gz", cut, "cannot be read"),
        ("t10k-labels-idx1-ubyte", lambda p: p.unlink(), "no file t10k-labels"),
        ("t10k-labels-idx1-ubyte", overwritten(b"\0\0\0\x13", 4), "longer than it says"),
    ],
)
def test_a_harmed_idx_file_is_named(
    mnist_files: Path, name: str, harm: Callable[[Path], None], said: str
) -> None:
    harm(mnist_files / name)
    with pytest.raises(DataError, match=said) as caught:
        idx(str(mnist_files))
    assert name.split("-idx")[0] in str(caught.value)


@pytest.mark.parametrize(
    ("name", "harm", "said"),
    [
        ("data_batch_2.bin", cut, "it is cut"),
        ("data_batch_1.bin", overwritten(b"\x0b", 3073 * 7), "record 7 has the class 11"),
        ("data_batch_2.bin", lambda p: p.write_bytes(b""), "the file is empty"),
        ("test_batch.bin", lambda p: p.unlink(), "expected data_batch_1.bin"),
    ],
)
def test_a_harmed_batch_of_cifar10_is_named(
    cifar_files: Path, name: str, harm: Callable[[Path], None], said: str
) -> None:
    harm(cifar_files / name)
    with pytest.raises(DataError, match=said) as caught:
        cifar10_binary(str(cifar_files))
    assert name in str(caught.value)


def saved(folder: Path, **named: np.ndarray) -> str:
    path = folder / "set.npz"
    np.savez(path, **named)  # type: ignore[arg-type]
    return str(path)


def test_arrays_of_images_rows_and_numbers(tmp_path: Path) -> None:
    labels = np.arange(50) % 5
    path = saved(
        tmp_path, x_train=images_of(50, (8, 8, 3)), y_train=labels[:, None],
        x_test=images_of(10, (8, 8, 3)), y_test=labels[:10, None],
    )  # fmt: skip
    data = arrays(path, class_names=list("abcde"))
    assert data.kind == "image" and data.targets.class_names == tuple("abcde")
    assert decoded(data, "test")[0].shape == (10, 8, 8, 3)
    path = saved(tmp_path, x_train=GENERATOR.normal(size=(50, 6)), y_train=labels)
    data = arrays(path)
    assert data.kind == "array" and int(data.test.cardinality()) == 10  # type: ignore[union-attr]
    path = saved(tmp_path, x_train=GENERATOR.normal(size=(50, 6)), y_train=labels * 0.5)
    data = arrays(path)
    assert data.targets.class_names is None and data.targets.mean is not None
    for name in ("x", "y"):
        values = images_of(50, (8, 8)) if name == "x" else labels
        np.save(tmp_path / f"{name}.npy", values)
    data = arrays(str(tmp_path), inputs="x", targets="y")
    assert data.inputs.shape == (8, 8, 1)


def test_a_run_on_arrays_of_floats_predicts(project: Path) -> None:
    labels = np.arange(60) % 3
    inputs = GENERATOR.normal(size=(60, 6)) + labels[:, None]
    path = saved(project, x_train=inputs, y_train=labels)
    run = kx.train("data=arrays", f"data.path={path}", "model=mlp", "epochs=2", "report=none",
                   quiet=True)  # fmt: skip
    assert {"label", "confidence"} <= set(run.predict([inputs[0].astype("float32")])[0])


def test_what_may_be_meant_otherwise_is_told(tmp_path: Path) -> None:
    labels = np.arange(50) % 5
    wide = images_of(50, (8, 8, 3)).astype("int64")
    for x, y, said in [
        (wide, labels, "int64 from 0 to 255 are taken as numbers"),
        (images_of(50, (3, 8, 8)), labels, "channels first?"),
        (wide / 255, labels.astype("float64"), "float64 of 5 values are numbers to predict"),
        (wide / 255, labels, None),
        (wide / 255, labels * 0.5, None),
    ]:
        found = arrays(saved(tmp_path, x_train=x, y_train=y)).issues
        assert [said in issue.reason for issue in found] == ([True] if said else [])


def test_arrays_are_shown_as_they_are_changed(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sorted by class, of floats, two of them mixed, into a folder that is not there yet."""
    levels = np.repeat(np.linspace(0, 255, 4), 20)
    inputs = np.tile(levels[:, None, None, None], (1, 8, 8, 3)).astype("float32")
    labels = np.repeat(np.arange(4), 20)
    path = saved(project, x_train=inputs, y_train=labels)
    drawn: dict = {}

    def keep(pictures: list, captions: list, title: str) -> Figure:
        drawn.update(pictures=pictures, captions=captions)
        return Figure()

    monkeypatch.setattr("kx.commands.data_show.picture_grid", keep)
    words = ["data", "show", "data=arrays", f"data.path={path}"]
    assert main([*words, "augment=mixup", "augment.mixup.alpha=1", "--out", "new/grid.png"]) == 0
    assert (project / "new" / "grid.png").is_file()
    assert "56" not in drawn["captions"][0] and len(set(drawn["captions"][:10])) > 1
    mixed = [caption for caption in drawn["captions"][10:] if "%, " in caption]
    assert mixed and all(caption.endswith("%, augmented") for caption in mixed)
    brightest = {name: int(one.max()) for one, name in zip(*drawn.values(), strict=True)}
    assert brightest["3"] > brightest["1"] > brightest["0"], "on one scale"
    path = saved(project, x_train=inputs / 255, y_train=labels)
    assert main([*words, "augment=color"]) == 1
    assert "counts pixels from 0 to 255" in capsys.readouterr().err


def test_what_is_wrong_with_arrays_is_said(tmp_path: Path) -> None:
    x, y = GENERATOR.normal(size=(50, 6)), np.arange(50) % 5
    bad = x.copy()
    bad[3, 4] = np.nan
    for named, words, said in [
        ({"x_train": bad, "y_train": y}, {}, r"x_train: 1 values are NaN.* at \(3, 4\)"),
        ({"x": x, "y_train": y}, {}, "no array 'x_train'. Did you mean"),
        ({"x_train": x, "y_train": y[:9]}, {}, "has 50 examples, and y_train 9"),
        (
            {"x_train": x, "y_train": y - 1},
            {},
            "y_train: example 0 has the class -1. Expected 0 to 3; 10 of 50",
        ),
        (
            {"x_train": x, "y_train": y * 9},
            {},
            "y_train: example 4 has the class 36.* 32 have .* train on: 1, 2, 3",
        ),
        (
            {"x_train": x, "y_train": y, "x_test": x, "y_test": y + 2},
            {},
            "y_test: example 4 has the class 6.* 2 have no example",
        ),
        (
            {"x_train": x, "y_train": y},
            {"class_names": ["a", "b"]},
            "y_train: example 2 has the class 2. Expected 0 to 1",
        ),
        ({"x_train": x, "y_train": np.array(list("ab") * 25)}, {}, "expected numbers"),
        ({"x_train": x, "y_train": np.zeros((50, 2))}, {}, "one target for each"),
        ({"x_train": x, "y_train": y, "x_test": x[:, 1:], "y_test": y}, {}, "of shape"),
        (
            {"x_train": (x + 9).astype("uint8"), "y_train": y, "x_test": x, "y_test": y},
            {},
            "and x_",
        ),
        ({"x_train": x, "y_train": y * 0}, {}, "two classes or more"),
        ({"x_train": x, "y_train": y * 10**12}, {}, "has the class 4000000000000, .*: 1, 2, 3"),
        ({"x_train": np.array(1.0), "y_train": y}, {}, "x_train is a single number"),
        ({"x_train": x[:, :0], "y_train": y}, {}, "x_train: it is empty"),
        ({"x_train": x * 1e300, "y_train": y}, {}, "infinite .in float32"),
    ]:
        with pytest.raises(DataError, match=said):
            arrays(saved(tmp_path, **named), **words)  # type: ignore[arg-type]
    path = Path(saved(tmp_path, x_train=x, y_train=y))
    with pytest.raises(ConfigError, match="standardize, or none"):
        arrays(str(path), normalize="unit")
    with pytest.raises(ConfigError, match="expected a list of names"):
        arrays(str(path), class_names="abcde")
    cut(path)
    with pytest.raises(DataError, match="set.npz"):
        arrays(str(path))
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="set.npz"):
        arrays(str(path))
    with pytest.raises(DataError, match="there is no file"):
        arrays(str(tmp_path / "none.npz"))
    objects = tmp_path / "objects.npz"
    np.savez(objects, x_train=np.array([{}, []], dtype=object), y_train=y[:2])
    with pytest.raises(DataError, match="holds Python objects"):
        arrays(str(objects))
    np.savez(objects, x_train=x, y_train=y, names=np.array([{}, []], dtype=object))
    assert arrays(str(objects)).kind == "array", "what is not asked for is not read"


def test_a_raw_example_is_a_png_of_the_very_pixels(mnist_files: Path) -> None:
    data = idx(str(mnist_files))
    raw, _ = next(iter(data.test))  # type: ignore[arg-type]
    assert raw.dtype == tf.string and raw.numpy().startswith(b"\x89PNG")


def test_names_of_a_test_split_that_are_not_there_and_arrays_that_nobody_names(
    tmp_path: Path,
) -> None:
    inputs, targets = np.arange(80.0).reshape(40, 2), np.arange(40) % 2
    path = tmp_path / "a.npz"
    np.savez(path, x_train=inputs, y_train=targets, x_val=inputs[:5], y_val=targets[:5])
    found = arrays(str(path)).issues
    assert [(one.file, one.what) for one in found] == [("x_val, y_val", "left out")]
    for keys in ({"test_inputs": "x_tset"}, {"test_inputs": "x_tset", "test_targets": "y_tset"}):
        with pytest.raises(DataError, match="no array 'x_tset'"):
            arrays(str(path), **keys)
    with pytest.raises(DataError, match="Received twice: a"):
        arrays(str(path), class_names=["a", "a"])

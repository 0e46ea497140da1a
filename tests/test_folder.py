"""`data=image_folder`: any folder of pictures, whatever lies in it; nothing is lost unsaid."""

from __future__ import annotations

import io
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from conftest import as_data, needs_shared, parts_of
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import kx
from kx.cli import main
from kx.contracts.specs import Data
from kx.data.examples import prepared_examples
from kx.data.issues import class_lines
from kx.data.sources.images.folder import images as folder
from kx.data.sources.images.folder import scan as scanning
from kx.data.sources.images.folder.formats import check_image, converted
from kx.data.sources.images.pixels import decode_image, normalization
from kx.data.store import store
from kx.errors import ConfigError, DataError

image_folder = as_data(folder.image_folder, validation_fraction=1 / 9, test_fraction=0.1)

SIZE = {"image_size": (16, 16)}


def picture(seed: int = 0, height: int = 20, width: int = 24) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype="uint8")
    return Image.fromarray(pixels)


def file_of(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def write(folder: Path, name: str, content: bytes | None = None, seed: int = 0) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file_of(picture(seed), "PNG") if content is None else content)
    return path


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A folder of two classes of ten pictures, all different."""
    root = tmp_path / "two"
    for number in range(20):
        write(root, f"{'ab'[number % 2]}/{number}.png", seed=number)
    return root


def found(data: Data) -> dict[str, tuple[str, str]]:
    return {item.file: (item.what, item.reason) for item in data.issues}


def num_examples(data: Data) -> dict[str, int]:
    return {name: int(split.cardinality()) for name, split in data.splits.items()}


# --- what is in a file


def test_what_is_no_whole_picture_is_told_with_the_reason() -> None:
    whole = file_of(picture(), "JPEG", quality=95)
    assert check_image(whole).problem == "" == check_image(whole).convert
    reasons = {
        b"": "empty",
        b"\0" * 900: "all zeros",
        b"<html>404 Not Found</html>": "no image: it begins with b'<html>",
        whole[: len(whole) // 2]: "damaged",
        whole[:-40]: "damaged",
        b"\xff" * 400: "no image",
        file_of(picture(), "PNG")[:300]: "damaged",
        file_of(picture(), "TIFF")[:200]: "damaged",
        b"II*\0" + b"\0" * 30: "",
    }
    for content, reason in reasons.items():
        problem = check_image(content).problem
        assert problem and reason in problem, (content[:20], problem)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"]),
    at=st.floats(0, 1), length=st.integers(1, 60), seed=st.integers(0, 9),
)  # fmt: skip
def test_what_is_taken_can_be_prepared_whatever_was_done_to_it(
    kind: str, at: float, length: int, seed: int
) -> None:
    """Overwritten at any place: it is refused, or the graph decodes it."""
    content = bytearray(file_of(picture(), kind))
    start = int(at * (len(content) - 1))
    noise = np.random.default_rng(seed).bytes(length)
    content[start : start + length] = noise
    checked = check_image(bytes(content))
    if not checked.problem:
        ready = converted(bytes(content)) if checked.convert else bytes(content)
        assert decode_image((8, 8, 3))(tf.constant(ready)).shape == (8, 8, 3)


def test_what_the_graph_does_not_decode_is_converted_to_the_same_picture() -> None:
    image = picture()
    pixels = np.asarray(image)

    def seen(content: bytes, channels: int = 3) -> np.ndarray:
        assert check_image(content).convert
        return tf.io.decode_png(converted(content), channels=channels).numpy()

    np.testing.assert_array_equal(seen(file_of(image, "TIFF")), pixels)
    np.testing.assert_array_equal(seen(file_of(image, "TIFF", compression="tiff_lzw")), pixels)
    np.testing.assert_array_equal(seen(file_of(image, "PPM")), pixels)
    gray = image.convert("L")
    np.testing.assert_array_equal(seen(file_of(gray, "TIFF"), 1)[..., 0], np.asarray(gray))
    deep = Image.fromarray((np.asarray(gray).astype("uint16") << 8) + 77)
    np.testing.assert_array_equal(seen(file_of(deep, "TIFF"), 1)[..., 0], np.asarray(gray))
    smooth = Image.new("RGB", (16, 16), (200, 30, 60))
    cmyk = seen(file_of(smooth.convert("CMYK"), "JPEG", quality=100))
    assert abs(cmyk.astype(int) - (200, 30, 60)).max() <= 3
    # Turned a quarter by EXIF, as telephones write it.
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = file_of(image, "PNG", exif=exif)
    np.testing.assert_array_equal(seen(turned), np.rot90(pixels, -1))
    photograph = seen_jpeg = file_of(image.resize((64, 48)), "JPEG", quality=95, exif=exif)
    assert check_image(photograph).convert == "turned by EXIF"
    kept = converted(seen_jpeg)
    assert kept.startswith(b"\xff\xd8") and len(kept) < 3 * len(photograph)
    expected = np.rot90(tf.io.decode_jpeg(photograph, channels=3).numpy().astype(int), -1)
    assert abs(tf.io.decode_jpeg(kept).numpy() - expected).mean() < 3
    # A sticker: what lies under the transparent part is black, and nobody sees it.
    clear = np.zeros((20, 20, 4), "uint8")
    clear[5:15, 5:15, 0], clear[5:15, 5:15, 3] = 200, 255
    for kind in ("PNG", "WEBP"):
        sticker = seen(file_of(Image.fromarray(clear), kind, lossless=True))
        assert sticker[0, 0].tolist() == [255] * 3 and sticker[9, 9].tolist() == [200, 0, 0]
    opaque = file_of(Image.fromarray(clear | np.array([0, 0, 0, 255], "uint8")), "PNG")
    assert check_image(opaque).convert == ""
    several = file_of(image, "TIFF", save_all=True, append_images=[picture(1)])
    np.testing.assert_array_equal(seen(several), pixels)


def test_numbers_of_no_known_range_are_told() -> None:
    deep = np.arange(400, dtype="uint16").reshape(20, 20) * 10
    for kind in ("TIFF", "PNG"):
        assert (
            "its lightest pixel 3990: dark"
            in check_image(file_of(Image.fromarray(deep), kind)).convert
        )
    below = Image.fromarray(deep.astype("int32") - 50)
    assert "from -50 to 3940, of no known range" in check_image(file_of(below, "TIFF")).problem
    assert "floats" in check_image(file_of(Image.fromarray(deep / 4e3), "TIFF")).problem


def test_the_pixels_of_a_picture_are_limited(two: Path) -> None:
    out = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(out, "PNG")
    write(two, "a/huge.png", out.getvalue())
    data = image_folder(str(two), **SIZE)
    what, reason = found(data)["a/huge.png"]
    assert what == "left out" and "data.max_megapixels" in reason
    assert re.match(r"too large: .*\d+ megapixels; at most 100 ", reason)
    assert sum(num_examples(data).values()) == 20


# --- what is in a folder


def test_odd_files_are_left_out_or_converted_and_nothing_is_lost(two: Path) -> None:
    image = picture(99)
    write(two, "a/empty.jpg", b"")
    write(two, "a/page.jpg", b"<html>")
    write(two, "b/cut.jpg", file_of(image, "JPEG")[:-200])
    write(two, "b/scan.tiff", file_of(image, "TIFF"))
    write(two, "b/.DS_Store", b"hidden")
    write(two, "b/with space \u82b1.png", seed=50)
    write(two, "b/line\nbreak.png", seed=51)
    (two / "c").mkdir()
    write(two, "d/none.txt", b"no picture")
    write(two, "LICENSE", b"text")
    data = image_folder(str(two), **SIZE)
    assert sum(num_examples(data).values()) == 23
    assert data.targets.class_names == ("a", "b")
    told = found(data)
    assert {name for name, (what, _) in told.items() if what == "left out"} == {
        "a/empty.jpg", "a/page.jpg", "b/cut.jpg", "c", "d", "d/none.txt",
    }  # fmt: skip
    assert told["b/scan.tiff"] == ("converted", "TIFF")
    labels = {}
    for split in data.splits.values():
        for content, label in split.as_numpy_iterator():
            labels[content] = int(label)
    for name in ("with space \u82b1.png", "line\nbreak.png"):
        assert labels[(two / "b" / name).read_bytes()] == 1


def test_the_ten_odd_flowers() -> None:
    root = needs_shared("flowers300")
    data = image_folder(str(root), **SIZE)
    whats = [what for what, _ in found(data).values()]
    assert whats.count("left out") == 5 and sum(num_examples(data).values()) == 305
    assert {name for name, (what, _) in found(data).items() if what == "left out"} == {
        "daisy/bad_half.jpg", "daisy/bad_truncated_2000.jpg", "dandelion/bad_empty.jpg",
        "dandelion/bad_text.jpg", "roses/bad_magic.jpg",
    }  # fmt: skip
    for split in data.splits.values():
        for raw, _ in split:
            assert data.prepare(raw).shape == (16, 16, 3)


def test_links_are_followed_and_circles_are_not(two: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere, "x.png", seed=70)
    (two / "a" / "more").symlink_to(elsewhere)
    (two / "a" / "again").symlink_to(two / "a")
    (two / "b" / "up").symlink_to(two)
    (two / "b" / "nowhere.png").symlink_to(two / "none")
    os.mkfifo(two / "b" / "pipe.png")
    scanned_before = "a link to a folder that is above it, or was seen already"
    data = image_folder(str(two), **SIZE)
    counts = [sum(data.class_counts[part][i] for part in data.splits) for i in range(2)]
    assert counts == [11, 10], "a link to a folder above brings no picture of another class"
    for name in ("a/again", "b/up"):
        assert found(data)[name] == ("left out", scanned_before)
    assert found(data)["b/nowhere.png"] == ("left out", "the file is gone")
    assert found(data)["b/pipe.png"] == ("left out", "no regular file")
    with pytest.raises(DataError, match="data.root is empty"):
        image_folder(" ", **SIZE)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "expected a folder for each class"),
        (["a/1.png", "a/2.png"], "expected two classes or more. Received: a \\(2 images\\)"),
        (["1.png", "2.png"], "Received: no folder"),
    ],
)
def test_a_folder_without_two_classes_is_refused(
    tmp_path: Path, names: list[str], said: str
) -> None:
    for number, name in enumerate(names):
        write(tmp_path, f"root/{name}", seed=number)
    (tmp_path / "root").mkdir(exist_ok=True)
    with pytest.raises(DataError, match=said):
        image_folder(str(tmp_path / "root"), **SIZE)
    with pytest.raises(DataError, match="there is no folder"):
        image_folder(str(tmp_path / "root" / "none"), **SIZE)


def test_if_all_of_a_class_is_damaged_its_files_are_named(tmp_path: Path) -> None:
    write(tmp_path, "a/1.png")
    write(tmp_path, "b/broken.png", b"nothing")
    with pytest.raises(DataError, match=r"b \(0 images\).*b/broken.png: no image"):
        image_folder(str(tmp_path), **SIZE)


def test_a_picture_of_no_class_and_a_line_that_comes_twice_are_told(two: Path) -> None:
    write(two, "stray.png", file_of(picture(77), "PNG"))
    assert "of no class" in found(image_folder(str(two), **SIZE))["stray.png"][1]
    lines = [f"{path.relative_to(two)},{path.parent.name}" for path in sorted(two.glob("*/*.png"))]
    (two / "list.csv").write_text("\n".join(["file,label", *lines, lines[0]]))
    data = image_folder(str(two), manifest="list.csv", **SIZE)
    assert found(data)["a/0.png"] == ("copy", "it is listed twice")


def test_classes_without_an_example_to_train_on_are_told(two: Path) -> None:
    write(two, "c/x.png", file_of(picture(300), "PNG"))
    data = image_folder(str(two), limit=2, validation_fraction=0.0, test_fraction=0.0, **SIZE)
    assert class_lines(data)[0] == "1 of 3 classes have no training example: c"


def test_uneven_classes_are_told_beside_an_absent_one(two: Path) -> None:
    for number in range(40):
        write(two, f"a/more{number}.png", seed=500 + number)
    write(two, "c/x.png", seed=300)
    lines = class_lines(image_folder(str(two), **SIZE))
    assert lines[0].startswith("1 of 3 classes have no validation example")
    assert "40 of a, 1 of c" in lines[1]


def test_a_file_that_changes_after_the_look_is_named(two: Path) -> None:
    data = image_folder(str(two), **SIZE)
    name = data.example_name("train", 3)
    (two / name).write_bytes((two / name).read_bytes()[:60])
    with pytest.raises(DataError, match=f"{name} cannot be prepared"):
        store(data, ["train"])
    (two / name).unlink()
    with pytest.raises(DataError, match=f"{name} cannot be prepared"):
        store(data, ["train"])


def test_the_images_of_a_report_are_those_that_the_model_has_seen(two: Path) -> None:
    data = image_folder(str(two), **SIZE)
    for cache in ("memory", "disk"):
        stored = store(data, ["train"], two.with_name(f"cache {cache}"), cache)["train"]
        before = [data.prepare(raw).numpy() for raw, _ in data.train.take(6)]
        after = prepared_examples(stored, np.array([4, 0, 5]))
        assert all((image == before[i]).all() for image, i in zip(after, (4, 0, 5), strict=True))
    for index in (0, 4):
        (two / data.example_name("train", index)).unlink()
    again = prepared_examples(stored, np.array([4, 0, 5]))
    assert all((image == other).all() for image, other in zip(again, after, strict=True))


@pytest.mark.slow
def test_a_training_ends_well_though_all_its_files_go(two: Path, project: Path) -> None:
    """The report's pictures are of them; the model and the rest of the report are not."""
    aside = two.with_name("aside")
    (project / "going.py").write_text(
        "import os, keras\nclass Go(keras.callbacks.Callback):\n"
        f"    def on_epoch_end(self, epoch, logs=None): os.rename({str(two)!r}, {str(aside)!r})\n"
    )
    words = ["data=image_folder", f"data.root={two}", "data.image_size=[16,16]", "model=linear"]
    words += ["epochs=1", "batch_size=4", "+callbacks.go._target_=going.Go"]
    run = kx.train(*words, quiet=True)
    assert run.metrics["test/loss"] > 0
    assert run.artifact("report/test/report.html").is_file()
    aside.rename(two)
    assert run.predict([(two / "a" / "0.png").read_bytes()])


def test_a_copy_in_another_split_is_told_once(two: Path) -> None:
    for part, seeds in {"train": (1, 2), "test": (1, 3)}.items():
        for label in "ab":
            for seed in seeds:
                write(two, f"set/{part}/{label}/{seed}.png", seed=seed + 40 * (label == "a"))
    data = image_folder(str(two / "set"), validation_fraction=0.0, **SIZE)
    told = [(item.file, item.what) for item in data.issues]
    assert told == [("train/a/1.png", "left out"), ("train/b/1.png", "left out")]


def test_a_folder_too_high_up_is_told_where_the_classes_are(two: Path) -> None:
    with pytest.raises(DataError, match=f"data.root={two}"):
        image_folder(str(two.parent), **SIZE)


def test_a_class_with_a_single_image_trains_on_it(two: Path) -> None:
    write(two, "c/only.png", seed=80)
    data = image_folder(str(two), **SIZE)
    assert data.class_counts["train"][2] == 1
    assert "a single image" in found(data)["c"][1]


def test_what_was_to_be_converted_and_has_changed_is_named(
    two: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(shade: int) -> None:
        Image.new("CMYK", (20, 20), (shade, 0, 0, 0)).save(two / "a" / "cmyk.jpg")

    save(10)
    look = folder.scan

    def and_then_it_changes(paths: list[str], limit: float) -> list[object]:
        seen = look(paths, limit)
        save(200)
        return seen

    with monkeypatch.context() as patched:
        patched.setattr(folder, "scan", and_then_it_changes)
        with pytest.raises(DataError, match=r"cmyk.jpg: the file is not what it was"):
            image_folder(str(two), **SIZE)
    image_folder(str(two), **SIZE)  # looks again


def test_a_damaged_cache_costs_time_alone(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KX_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "images.db").write_bytes(b"no database" * 100)
    data = image_folder(str(two), **SIZE)
    assert sum(data.class_counts["train"]) > 0
    assert "images.db cannot be used" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("file,label\n花.png,\u7ea2".encode("gbk"), "line 2: this is not UTF-8"),
        (b"", "is empty. Expected a header line"),
        (b"file,label\na/0.png,x\na,1.png,y\n", "line 3: 3 cells, and the header has 2"),
        (b"file,label\na/\0.png,x\na/1.png,y\n", "line 2: a NUL character"),
    ],
)
def test_a_manifest_that_is_no_table_is_refused(two: Path, content: bytes, said: str) -> None:
    (two / "list.csv").write_bytes(content)
    with pytest.raises(DataError, match=said):
        image_folder(str(two), manifest="list.csv", **SIZE)


def test_a_class_whose_name_is_of_another_encoding_is_refused(two: Path) -> None:
    os.mkdir(os.fsencode(two) + b"/\xba\xec")
    with pytest.raises(DataError, match="is not UTF-8"):
        image_folder(str(two), **SIZE)


def test_a_file_that_goes_or_changes_meanwhile_is_told(
    two: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path.read_bytes

    def changing(path: Path) -> bytes:
        content = whole(path)
        if path.name == "0.png":
            path.unlink()
        if path.name == "2.png":
            path.write_bytes(content + b"more")
            os.utime(path, ns=(1, len(content)))
        if path.name == "4.png":
            path.write_bytes(content + b"x")
        return content

    monkeypatch.setattr(Path, "read_bytes", changing)
    data = image_folder(str(two), **SIZE)
    told = found(data)
    assert told["a/0.png"] == ("left out", "the file is gone")
    assert "changes while it is read" in told["a/4.png"][1]
    monkeypatch.undo()
    with pytest.raises(DataError, match=r"b/\d.png"):
        gone = image_folder(str(two), **SIZE)
        for path in (two / "b").iterdir():
            path.unlink()
        from kx.data.store import store

        store(gone, ["train"])


# --- splits


def test_the_shares_of_each_class_are_exact_and_of_content_alone(two: Path, tmp_path: Path) -> None:
    data = image_folder(str(two), **SIZE, validation_fraction=2 / 7, test_fraction=0.3)
    assert data.class_counts == {"train": (5, 5), "validation": (2, 2), "test": (3, 3)}
    other = tmp_path / "other"
    shutil.copytree(two, other)
    for path in sorted((other / "a").iterdir()):
        path.rename(path.with_name(f"renamed {path.name}"))
    moved = image_folder(str(other), **SIZE, validation_fraction=2 / 7, test_fraction=0.3)
    for part in ("train", "validation", "test"):
        contents = [
            {raw for raw, _ in one.splits[part].as_numpy_iterator()} for one in (data, moved)
        ]
        assert contents[0] == contents[1]
    first = [int(label) for _, label in data.train.take(5)]
    assert len(set(first)) == 2, "the classes come mixed"


@pytest.mark.parametrize(
    ("sizes", "fractions", "expected"),
    [
        ([60] * 5, (0.1, 0.3), (30, 90)),
        ([4] * 10, (0.1, 0.1), (4, 4)),
        ([44, *[4] * 11], (0.1, 0.1), (9, 9)),
        ([1, 1, 2], (0.3, 0.3), (0, 1)),
    ],
)
def test_shares_of_small_classes_add_up_and_leave_some_to_train_on(
    sizes: list[int], fractions: tuple[float, float], expected: tuple[int, int]
) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    parts = parts_of(
        labels,
        contents=[str(i) for i in range(len(labels))],
        test_fraction=fractions[1],
        validation_fraction=fractions[0] / (1 - fractions[1]),
    )
    counts = [len(parts.get(part, ())) for part in ("validation", "test")]
    assert tuple(counts) == expected
    assert np.bincount(labels[parts["train"]], minlength=len(sizes)).min() >= 1
    for part, fraction in zip(("validation", "test"), fractions, strict=True):
        of_each = np.bincount(labels[parts.get(part, labels[:0])], minlength=len(sizes))
        assert (np.abs(of_each - np.array(sizes) * fraction) < 1).all(), "within one of its share"


contents_of_files = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40)), min_size=3)


@settings(max_examples=100, deadline=None)
@given(contents_of_files, contents_of_files, st.integers(0, 3))
def test_another_file_moves_no_other_where_each_goes_by_its_hash(
    files: list[tuple[int, int]], more: list[tuple[int, int]], seed: int
) -> None:
    def parts(given_files: list[tuple[int, int]]) -> dict[int, str]:
        labels = np.array([label for label, _ in given_files])
        names = [str(content) for _, content in given_files]
        try:
            found_parts = parts_of(labels, "by_hash", contents=names, seed=seed)
        except DataError:  # of so few, none may be left to train on
            return {}
        return {int(i): part for part, places in found_parts.items() for i in places}

    before, after = parts(files), parts(files + more)
    assert not after or all(after[place] == part for place, part in before.items())


@settings(max_examples=100, deadline=None)
@given(contents_of_files, st.sampled_from(["stratified", "random", "by_hash"]), st.integers(0, 3))
def test_copies_are_in_one_split_and_each_file_in_exactly_one(
    files: list[tuple[int, int]], split: str, seed: int
) -> None:
    labels = np.array([label for label, _ in files])
    names = [str(content) for _, content in files]
    try:
        parts = parts_of(labels, split, contents=names, seed=seed)
    except DataError as error:  # all that is left is copies of one content, which are tested on
        assert "no example is left to train on" in str(error)
        assert len(set(names)) < 10
        return
    assert sorted(np.concatenate(list(parts.values()))) == list(range(len(files)))
    where = [{names[place] for place in places} for places in parts.values()]
    assert sum(map(len, where)) == len(set(names))


def test_copies_are_told_and_those_of_two_classes_named_a_mistake(two: Path) -> None:
    shutil.copy(two / "a" / "0.png", two / "a" / "copy.png")
    shutil.copy(two / "a" / "2.png", two / "b" / "wrong.png")
    told = found(image_folder(str(two), **SIZE))
    assert told["a/copy.png"] == ("copy", "the same content as a/0.png")
    assert "one of the two labels is wrong" in told["b/wrong.png"][1]


def test_folders_that_are_splits_are_these_and_share_no_content(tmp_path: Path) -> None:
    for number in range(24):
        part = ["train", "Val", "test"][number % 3]
        write(tmp_path, f"{part}/{'ab'[number % 2]}/{number}.png", seed=number)
    shutil.copy(tmp_path / "test" / "a" / "2.png", tmp_path / "train" / "a" / "leak.png")
    data = image_folder(str(tmp_path), **SIZE)
    assert num_examples(data) == {"train": 8, "validation": 8, "test": 8}
    assert found(data)["train/a/leak.png"] == ("left out", "its content is in test, too")
    shutil.rmtree(tmp_path / "Val")
    data = image_folder(str(tmp_path), **SIZE, validation_fraction=0.25)
    assert num_examples(data) == {"train": 6, "validation": 2, "test": 8}
    write(tmp_path, "test/c/30.png", seed=30)
    with pytest.raises(DataError, match="no image of the class 'c' is to train on"):
        image_folder(str(tmp_path), **SIZE)


def test_a_table_of_files_takes_the_place_of_folders(two: Path) -> None:
    lines = ["file,label"] + [f"{path.relative_to(two)},{'yes' if i % 2 else 'no'}"
                              for i, path in enumerate(sorted(two.glob("*/*.png")))]  # fmt: skip
    table = two / "labels.csv"
    table.write_text("\n".join([*lines, "a/none.png,yes"]))
    data = image_folder(str(two), manifest="labels.csv", **SIZE)
    assert data.targets.class_names == ("no", "yes") and sum(num_examples(data).values()) == 20
    assert found(data)["a/none.png"] == ("left out", "the file is gone")
    table.write_text(
        "\ufefffile; label\n" + "\n".join(f"{x.replace(',', ' ; ')} " for x in lines[1:])
    )
    spreadsheet = image_folder(str(two), manifest="labels.csv", **SIZE)
    assert spreadsheet.targets.class_names == ("no", "yes")
    assert spreadsheet.fingerprint == data.fingerprint
    table.write_text("file,label,split\na/0.png,x,train\na/2.png,y,train\nb/1.png,x,test\n")
    data = image_folder(str(two), manifest=str(table), validation_fraction=0.0, **SIZE)
    assert num_examples(data) == {"train": 2, "test": 1}
    for text, said in {
        "name,label\na/0.png,x": "no column 'file'",
        "file,label\na/0.png,": "line 2: the label of 'a/0.png' is empty",
        "file,label,split\na/0.png,x,trian": "Did you mean 'train'",
        "file,label,split\na/0.png,x,train\na/2.png,y,": "some lines have a split",
        "file,label": "no row",
    }.items():
        table.write_text(text)
        with pytest.raises(DataError, match=said):
            image_folder(str(two), manifest=str(table), **SIZE)


def test_a_fold_keeps_copies_together_and_covers_all(two: Path) -> None:
    shutil.copy(two / "a" / "0.png", two / "a" / "copy.png")
    judged: list[bytes] = []
    for number in (1, 2, 3):
        fold = {"number": number, "of": 3, "split": "test"}
        data = image_folder(str(two), fold=fold, test_fraction=0.0, **SIZE)
        assert data.test is not None
        judged += [raw for raw, _ in data.test.as_numpy_iterator()]
    assert len(judged) == 21 and len(set(judged)) == 20


# --- to one size


def test_each_way_to_one_size_is_what_it_says() -> None:
    wide = np.zeros((20, 40, 3), "uint8")
    wide[:, 10:30] = 200  # the middle square
    encoded = tf.io.encode_png(wide)
    cut = decode_image((10, 10, 3), resize="crop")(encoded).numpy()
    assert (cut == 200).all()
    padded = decode_image((10, 10, 3), resize="pad")(encoded).numpy()
    assert (padded[:2] == 0).all() and (padded[-2:] == 0).all() and padded[5, 5, 0] == 200
    stretched = decode_image((10, 10, 3), resize="stretch")(encoded).numpy()
    assert stretched[5, 0, 0] == 0 and stretched[5, 5, 0] == 200
    # 256 pixels of the shorter side, of which the middle 224: as Keras's layers do it.
    big = np.random.default_rng(0).integers(0, 256, (512, 640, 3), dtype="uint8")
    ours = decode_image((224, 224, 3), crop_fraction=0.875, resize="crop")(tf.io.encode_png(big))
    left, top = (640 - 448) // 2, (512 - 448) // 2
    middle = big[top : top + 448, left : left + 448]
    other = tf.image.resize(middle, (224, 224), antialias=True)
    np.testing.assert_allclose(ours, other, atol=0.51)
    with pytest.raises(ConfigError, match="Did you mean 'stretch'"):
        decode_image((10, 10, 3), resize="strech")


def test_normalization_by_name() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3)).astype("float32")
    torch = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    for kind, expected in {
        "unit": pixels / 255, "symmetric": pixels / 127.5 - 1, "imagenet": torch,
        "mnist": (pixels / 255 - 0.1307) / 0.3081,
    }.items():  # fmt: skip
        layer = normalization(kind)
        assert layer is not None
        np.testing.assert_allclose(layer(pixels), expected, rtol=1e-4, atol=1e-5)
        again = layer.__class__.from_config(layer.get_config())
        np.testing.assert_allclose(again(pixels), expected, rtol=1e-4, atol=1e-5)
    assert normalization("none") is None
    with pytest.raises(ConfigError, match="Did you mean 'imagenet'"):
        normalization("imagnet")
    with pytest.raises(ConfigError, match="these images are grey"):
        normalization("caffe", channels=1)


# --- once


def test_a_content_is_known_by_any_name(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_folder(str(two), **SIZE)
    shutil.copytree(two, tmp_path / "copy")
    monkeypatch.setattr(scanning, "check_image", None)
    assert num_examples(image_folder(str(tmp_path / "copy"), **SIZE))


def test_a_large_file_that_is_no_picture_is_not_read(
    two: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "_LARGE_BYTES", 1_000)
    write(two, "a/film.mp4", b"\0\0\0 ftypisom" * 1_000)
    write(two, "a/large.bmp", file_of(picture(400), "BMP"))
    data = image_folder(str(two), **SIZE)
    assert found(data)["a/film.mp4"] == ("left out", "no image, and large")
    assert sum(num_examples(data).values()) == 21


def test_a_full_disk_is_told_and_leaves_nothing(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(two, "a/scan.tiff", file_of(picture(200), "TIFF"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scanning.os, "replace", full)
    with pytest.raises(DataError, match="scan.tiff: its conversion .* No space left.*KX_CACHE_DIR"):
        image_folder(str(two), **SIZE)
    assert not [path for path in scanning.cache_dir().rglob("*.part")]


def test_a_content_is_looked_at_once(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(two, "a/scan.tiff", file_of(picture(200), "TIFF"))
    first = image_folder(str(two), **SIZE)

    def never(*_: object) -> None:
        raise AssertionError("it was looked at again")

    monkeypatch.setattr(scanning, "check_image", never)
    monkeypatch.setattr(scanning, "converted", never)
    again = image_folder(str(two), **SIZE)
    assert again.fingerprint == first.fingerprint and again.issues == first.issues
    write(two, "a/0.png", seed=987)
    with pytest.raises(AssertionError, match="again"):
        image_folder(str(two), **SIZE)


def test_a_cache_that_cannot_be_written_is_none(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("KX_CACHE_DIR", str(tmp_path / "file" / "below"))
    write(two, "a/scan.tiff", file_of(picture(200), "TIFF"))
    assert sum(num_examples(image_folder(str(two), **SIZE)).values()) == 21


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"image_size": (16,)}, "expected .height, width."),
        ({"image_size": (16, 0)}, "expected .height, width."),
        ({"channels": 4}, "1 for grey"),
        ({"resize": "padd"}, "Did you mean 'pad'"),
        ({"crop_fraction": 0.0}, "more than 0"),
        ({"crop_fraction": 0.875, "resize": "pad"}, "is of data.resize=crop"),
    ],
)
def test_options_that_cannot_be_are_refused(two: Path, words: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        image_folder(str(two), **{**SIZE, **words})


# --- a run


def test_a_run_counts_what_was_left_out_and_answers_what_it_converts(
    project: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    shutil.copytree(pictures, root)
    write(root, "red/broken.jpg", b"nothing")
    words = [f"data.root={root}", "data.image_size=[16,16]", "model=cnn", "model.filters=[8]"]
    assert main(["run", "data=image_folder", *words, "epochs=3", "report=none"]) == 0
    said = capsys.readouterr().out
    assert "red/broken.jpg" in said and "1 left out" in said
    run = kx.load_run("latest")
    assert "red/broken.jpg,left out" in run.artifact("data/issues.csv").read_text()
    from mlflow import MlflowClient

    assert MlflowClient(run.uri).get_run(run.id).data.tags["kx.data.left_out"] == "1"
    image = Image.fromarray(np.full((30, 20, 3), (200, 60, 60), "uint8"))
    png, tiff = write(project, "x.png", file_of(image, "PNG")), project / "x.tiff"
    tiff.write_bytes(file_of(image, "TIFF"))
    answers = run.predict([png, tiff])
    assert answers[0]["probabilities"] == answers[1]["probabilities"]
    broken = root / "red" / "broken.jpg"
    with pytest.raises(DataError, match=r"broken.jpg: no image.*Expected a picture"):
        run.predict([broken])
    capsys.readouterr()
    other = png.rename(project / "two\nlines [red].png")
    assert main(["predict", "latest", str(other), str(broken), str(project / "no"), str(tiff)]) == 1
    printed = capsys.readouterr()
    assert r"two\nlines [red].png" in printed.out and "x.tiff" in printed.out
    assert "broken.jpg: no image" in printed.err and "There is no file" in printed.err
    look = ["data", "show", "data=image_folder", *words[:2], "augment=[randaugment,mixup,cutmix]"]
    assert main(look) == 0
    shown = capsys.readouterr().out
    assert "red/broken.jpg" in shown and "validation" in shown
    run.export(project / "exported")


def test_pictures_of_every_kind_that_the_graph_reads_are_trained_on_and_kept(
    project: Path, tmp_path: Path
) -> None:
    """Their bytes may end in zeros, which the examples of the bundle must keep."""
    generator = np.random.default_rng(0)
    for label, colour in enumerate(("red", "blue")):
        folder = tmp_path / "kinds" / colour
        folder.mkdir(parents=True)
        for number in range(24):
            kind = ("webp", "bmp", "png", "gif", "jpg")[number % 5]
            pixels = generator.integers(0, 60, (10, 10, 3), dtype="uint8")
            pixels[..., 2 * label] += 190
            Image.fromarray(pixels).save(folder / f"{number}.{kind}")
    words = ["data=image_folder", f"data.root={tmp_path}/kinds", "data.image_size=[10,10]"]
    run = kx.train(*words, "model=linear", epochs=12, report="none", quiet=True)
    raw, _ = run.bundle().examples()
    assert {bytes(one)[:2] for one in raw.numpy()} > {b"RI", b"BM"}
    files = sorted((tmp_path / "kinds" / "red").iterdir())
    answers = [answer["label"] for answer in run.predict(files)]
    assert answers.count("red") > 20

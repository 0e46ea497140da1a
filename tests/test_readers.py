"""What `kx predict` takes, by the kind of the examples; nothing is trained here."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from kx.commands.listing import show_answers
from kx.errors import DataError, first_line
from kx.export.readers.arrays import read_array
from kx.export.readers.images import read_image
from kx.export.readers.rows import read_row
from kx.export.readers.texts import read_text

COLUMNS = ("a", "b", "c")


def test_columns_of_a_table_are_found_by_their_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("c,a,other,b\n3,1,x,2\n\n6,4,y,5\n")
    rows = [(f"{path}:2", "1.0,2.0,3.0"), (f"{path}:4", "4.0,5.0,6.0")]
    assert read_row(str(path), COLUMNS) == rows
    assert "not used: other" in capsys.readouterr().err
    upper = path.with_suffix(".CSV")
    upper.write_text("1,2,4\n4,5,6\n")  # numbers alone: in the model's own order, which is told
    assert [raw for _, raw in read_row(upper, COLUMNS)] == ["1.0,2.0,4.0", "4.0,5.0,6.0"]
    assert "its columns are a, b, c" in capsys.readouterr().err
    numbered = tmp_path / "numbered.csv"
    numbered.write_text("1,0\n10,20\n")  # names that are numbers
    assert read_row(str(numbered), ("0", "1")) == [(f"{numbered}:2", "20.0,10.0")]
    for name, mark in (("rows.tsv", "\t"), ("rows.csv", ";"), ("rows.csv", "\t")):
        other = tmp_path / name
        other.write_text("b,a,c\n2,1,3\n".replace(",", mark))
        assert read_row(str(other), COLUMNS)[0][1] == "1.0,2.0,3.0"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n1,2\n", "no column 'c'"),
        ("a,b,d\n1,2,3\n", "no column 'c'"),
        ("a,b,c\n1,,3\n", "line 2: b: expected a finite number. Received: ''"),
        ("a,b,c\n1,nan,3\n", "Received: 'nan'"),
        ("a,b,c\n1,2,3\n1,2,1e39\n", "line 3: c: expected a finite number"),
        ("a,b,c\n1,two,3\n", "Received: 'two'"),
        ("a,b,c\n1,1_0,3\n", "Received: '1_0'"),
        ("1,5\n3,4\n", "line 1: 2 cells, and the header has 3"),
        ("0,1,2\n5,6,7\n", "may be a row, or numbers in place of names"),
        ("1,2,3\n5,6,7\n", "may be a row, or numbers in place of names"),
    ],
)
def test_a_table_that_is_not_sure_has_no_answer(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        read_row(str(path), COLUMNS)
    assert said in str(caught.value)


def test_a_line_is_numbers_and_a_name_of_a_file_is_none(tmp_path: Path) -> None:
    assert read_row(" -1, 2.5,3e2", COLUMNS)[0][1] == "-1.0,2.5,300.0"
    assert read_row([1, 2.5, np.float32(3)], COLUMNS)[0][1] == "1.0,2.5,3.0"
    (tmp_path / "rows.xlsx").write_bytes(b"PK")
    for item, said in (
        ("1,2", "2 cells. Expected a line of 3 numbers"),
        ("nowhere.csv", "There is no file nowhere.csv"),
        ("w" * 5000, "no row of numbers, and no file"),
        (str(tmp_path / "rows.xlsx"), "expected a .csv or .tsv file"),
        ([1, 2, float("nan")], "expected a finite number"),
        ("1,2\n3,4", "Expected one line"),
        (5, "5: this run's model takes"),
        ({"a": 1, "b": 2}, "A row has no 'c'. It has: a, b."),
        ("~nobody/rows.csv", "There is no file"),
    ):
        with pytest.raises(DataError) as caught:
            read_row(item, COLUMNS)
        assert said in str(caught.value)


def test_texts_of_a_file_are_those_of_its_column(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text('\ufeffreview,label\n"great, really",pos\ndull,neg\n', encoding="utf-8")
    assert [raw for _, raw in read_text(str(path), "review")] == ["great, really", "dull"]
    alone = tmp_path / "alone.tsv"
    alone.write_text("words\nlovely\n")
    assert read_text(alone, "review") == [("lovely", "lovely")]
    spaced = tmp_path / "my reviews.csv"
    spaced.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    assert len(read_text(str(spaced), "review")) == 2
    (tmp_path / "reviews").write_text("review\nlovely\n")
    with pytest.raises(DataError, match="is a file"):
        read_text(str(tmp_path / "reviews"), "review")
    for text in ("a film, read from notes.csv", "", "中文", "dull.", "w" * 9000, "~hello you"):
        assert read_text(text, "review") == [(text, text)]
    (tmp_path / "notes.txt").write_text("lovely")
    for item, said in (
        (str(path.with_name("nowhere.csv")), "There is no file"),
        (str(tmp_path / "notes.txt"), "is a file"),
    ):
        with pytest.raises(DataError, match=said):
            read_text(item, "review")
    with pytest.raises(DataError, match="no column 'text'"):
        read_text(str(path), "text")


def test_arrays_come_as_files_as_json_and_as_objects(tmp_path: Path) -> None:
    values = np.arange(6, dtype="float32").reshape(2, 3)
    np.save(tmp_path / "two.npy", values)
    np.savez(tmp_path / "one.npz", x=values)
    np.savez(tmp_path / "both.npz", x=values, y=values[0] + 1)
    (tmp_path / "two.json").write_text(json.dumps(values.tolist()))
    for item in (
        str(tmp_path / "two.npy"), tmp_path / "one.npz", f"{tmp_path}/both.npz:x",
        str(tmp_path / "two.json"), "[[0, 1, 2], [3, 4, 5]]", values, values.astype("int64"),
    ):  # fmt: skip
        found = read_array(item, (3,), "float32")
        np.testing.assert_array_equal(np.stack([raw for _, raw in found]), values)
        assert found[0][1].dtype == np.float32
    assert len(read_array(values[0], (3,), "float32")) == 1
    assert read_array([[0, 255]], (2,), "uint8")[0][1].dtype == np.uint8


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("[1, 2]", "expected one example of shape (3,)"),
        ("[1, 2, NaN]", "finite numbers"),
        ("[[1, 2, 3], [1, 2]]", "lists of one length"),
        ("nowhere.npy", "no file, and no JSON"),
        ('["a", "b", "c"]', "expected numbers"),
        (np.array([0.5, 1, 2]), "that uint8 can hold"),
        (np.array([0, 1, 256]), "that uint8 can hold"),
        ("[1e300, 1, 1]", "that uint8 can hold"),
    ],
)
def test_an_array_of_another_kind_is_refused(item: object, said: str) -> None:
    with pytest.raises(DataError) as caught:
        read_array(item, (3,), "uint8")
    assert said in str(caught.value)


def test_a_number_that_float32_cannot_hold_has_no_answer() -> None:
    with pytest.raises(DataError, match="float32 can hold"):
        read_array("[1e300, 1]", (2,), "float32")


def test_images_come_as_arrays_too_and_long_names_are_no_files() -> None:
    [(_, encoded)] = read_image(np.zeros((4, 5), "uint8"), 1.0)
    assert encoded.startswith(b"\x89PNG")
    with pytest.raises(DataError, match="uint8 of shape"):
        read_image(np.zeros((4, 5)), 1.0)
    with pytest.raises(DataError, match="There is no file"):
        read_image("w" * 5000, 1.0)


def test_any_answer_is_shown_and_json_is_valid(capsys: pytest.CaptureFixture[str]) -> None:
    answers = [
        {"input": "a\udcff", "value": float("nan"), "mask": [[0, 1], [1, 0]], "words": ["x"]},
        {"input": "b", "value": 2.0, "mask": [[1, 1], [1, 1]], "words": ["y"]},
    ]
    show_answers(answers, as_json=True)
    read = json.loads(capsys.readouterr().out, parse_constant=lambda word: pytest.fail(word))
    assert read[0]["value"] is None and read[1]["mask"] == [[1, 1], [1, 1]]
    show_answers(answers, as_json=False)
    shown = capsys.readouterr().out
    assert "mask" in shown and "words" in shown and "2.0" in shown


def test_a_row_with_names_is_read_by_them() -> None:
    pandas = pytest.importorskip("pandas")
    for row in ({"c": 3, "a": 1, "b": 2}, pandas.Series({"c": 3, "a": 1, "b": 2})):
        assert read_row(row, COLUMNS)[0][1] == "1.0,2.0,3.0"
    for row in (pandas.Series([5, 6, 7]), {0: 5, 1: 6, 2: 7}):  # counted, and not named
        assert read_row(row, COLUMNS)[0][1] == "5.0,6.0,7.0"


def test_what_is_no_picture_and_no_array_is_told(tmp_path: Path) -> None:
    from PIL import Image

    for item in (Image.new("L", (4, 4)), [[1, 2], [3, 4]], None):
        with pytest.raises(DataError, match="expected an image file, its bytes, or an array"):
            read_image(item, 100)
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as packed:
        packed.writestr("x", "no array")
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as packed:
        packed.writestr("a.json", "{}")
        packed.writestr("b.json", "{}")
    np.save(tmp_path / "number.npy", np.uint8(3))
    np.save(tmp_path / "line.npy", np.arange(3, dtype="uint8"))
    for name in ("number.npy", "line.npy"):
        with pytest.raises(DataError, match="expected one image, or several"):
            read_image(tmp_path / name, 100)
    for name, said in (("text.npz", "x is no array"), ("model.keras", "expected an .npy, .npz")):
        with pytest.raises(DataError, match=said):
            read_array(str(tmp_path / name), (3,), "float32")


def test_rows_and_images_are_read_from_files_of_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.array([[1.0, 2, 3], [4, 5, 6]]))
    np.save(tmp_path / "row.npy", np.array([1.0, 2, 3]))
    path = str(tmp_path / "rows.npy")
    assert read_row(path, COLUMNS) == [
        (f"{path}[0]", "1.0,2.0,3.0"), (f"{path}[1]", "4.0,5.0,6.0"),
    ]  # fmt: skip
    assert read_row(tmp_path / "row.npy", COLUMNS)[0][1] == "1.0,2.0,3.0"
    pixels = np.arange(2 * 8 * 8 * 3, dtype="uint8").reshape(2, 8, 8, 3)
    np.savez(tmp_path / "images.npz", x=pixels, y=np.arange(2))
    named = f"{tmp_path / 'images.npz'}:x"
    found = read_image(named, 100)
    assert [name for name, _ in found] == [f"{named}[0]", f"{named}[1]"]
    for (_, encoded), one in zip(found, pixels, strict=True):
        assert np.array_equal(tf.io.decode_png(encoded).numpy(), one)


@pytest.mark.usefixtures("graphs")
def test_the_reason_of_an_error_in_a_graph_is_its_last_line() -> None:
    @tf.function
    def number(text: tf.Tensor) -> tf.Tensor:
        return tf.strings.to_number(text)

    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        number(tf.constant("hello"))
    assert "could not correctly convert string: hello" in first_line(caught.value)
    assert first_line(ValueError("one\ntwo")) == "one"

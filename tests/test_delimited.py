"""CSV and TSV: read as Python's csv reads them, or refused with file and line."""

from __future__ import annotations

import csv
import gzip
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from conftest import as_data

from kx.data.sources.delimited import read_rows
from kx.data.sources.text import text_csv as texts
from kx.data.tokenizers.words import words
from kx.errors import ConfigError, DataError

text_csv = as_data(texts.text_csv)


def written(folder: Path, name: str, content: str | bytes) -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def rows_of(count: int, separator: str = ",", more: str = "") -> list[str]:
    labels = ("neg", "pos")
    return [f"some words {i}{separator}{labels[i % 2]}{more}" for i in range(count)]


@pytest.mark.parametrize(
    ("name", "content", "cells"),
    [
        ("a.csv", "text,label\na,x\nb,y\n", [["a", "x"], ["b", "y"]]),
        ("a.csv", "text,label\r\na,x\r\n\r\nb,y", [["a", "x"], ["b", "y"]]),
        ("a.csv", 'text,label\n"a, ""b""\nc",x\n', [['a, "b"\nc', "x"]]),
        ("a.csv", "text,label,\na,x,\nb,y,\n", [["a", "x", ""], ["b", "y", ""]]),
        ("a.csv", "text,label\na,x,\nb,y,,\n", [["a", "x"], ["b", "y"]]),  # an empty cell is none
        ("a.csv", "\ufefftext;label\na,1;x\n", [["a,1", "x"]]),
        ("a.csv", "text\tlabel\na\tx\n", [["a", "x"]]),
        ("a.tsv", "text\tlabel\na, b;c\tx\n", [["a, b;c", "x"]]),
        ("a.csv", "text,label\na,x\n".encode("utf-16"), [["a", "x"]]),
        ("a.csv.gz", gzip.compress(b"text,label\na,x\n"), [["a", "x"]]),
        ("a.csv", f"text,label\n{'w' * 200_000},x\n", [["w" * 200_000, "x"]]),
        ("a.tsv.notes.csv", "text,label\na\tb,x\n", [["a\tb", "x"]]),
        ("a.csv", 'text;"a\nb";label\na;1,2;x\n', [["a", "1,2", "x"]]),
    ],
    ids=range(13),
)
def test_rows_are_those_of_the_file(tmp_path: Path, name: str, content, cells) -> None:  # type: ignore[no-untyped-def]
    path = written(tmp_path, name, content)
    assert read_rows(path, {"text": "data.text", "label": "data.label"}).cells == cells


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "text,label\na,x\nb, c,y\n", "line 3: 3 cells, and the header has 2"),
        ("a.csv", "text,label,more\na,x,1\nb,y\n", "line 3: 2 cells, and the header has 3"),
        ("a.csv", 'text,label\na,x\n"b,y\nc,x\n', "line 3: a quotation mark opens a cell"),
        ("a.tsv", 'text\tlabel\n"a\tx\nb"\ty\n', "line 2: a quotation mark opens a cell that ends"),
        ("a.tsv", 'text\tlabel\n"a" b\tx\n', "line 2: letters after the quotation mark"),
        ("a.csv", b"text,label\na,x\n\xc4\xe3,y\n", "line 3: this is not UTF-8"),
        ("a.csv", "text,label\na\0,x\n", "line 2: a NUL character"),
        ("a.csv", "", "is empty"),
        ("a.csv", "text,label\n", "no row"),
        ("a.csv", "text,text,label\na,b,x\n", "has 2 columns 'text'"),
        ("a.csv.gz", b"no gzip", "cannot be read"),
    ],
    ids=range(11),
)
def test_what_is_not_sure_is_refused_with_its_line(tmp_path: Path, name: str, content, said: str):  # type: ignore[no-untyped-def]
    path = written(tmp_path, name, content)
    with pytest.raises(DataError) as caught:
        read_rows(path, {"text": "data.text", "label": "data.label"})
    assert said in str(caught.value) and "a.csv" in str(caught.value).replace("a.tsv", "a.csv")


def test_quotation_marks_may_be_letters(tmp_path: Path) -> None:
    lines = ["text\tlabel", *rows_of(40, "\t")]
    lines[12] = '"' + lines[12]
    lines[30] = '"so" it goes\tpos'
    path = written(tmp_path, "odd.tsv", "\n".join(lines))
    with pytest.raises(DataError, match=r"data\.quotes=false"):
        text_csv(path)
    data = text_csv(path, quotes=False)
    assert sum(int(part.cardinality()) for part in data.splits.values()) == 40


def test_a_comma_at_each_end_shifts_no_column(tmp_path: Path) -> None:
    lines = ["label,stars,text,source"]
    lines += [f'{"pos" if i % 2 else "neg"},{i % 5 + 1},"a film, {i}",web,' for i in range(40)]
    data = text_csv(written(tmp_path, "films.csv", "\n".join(lines)))
    assert data.targets.class_names == ("neg", "pos")
    texts = {raw.decode() for raw, _ in data.train.as_numpy_iterator()}
    assert texts < {f"a film, {i}" for i in range(40)}


def test_spaces_about_a_label_are_none_of_it_and_like_names_are_told(tmp_path: Path) -> None:
    labels = ["pos ", " neg", "\u3000pos", "neg\t"]
    lines = ["text, label"] + [f'words {i},"{labels[i % 4]}"' for i in range(40)]
    data = text_csv(written(tmp_path, "a.csv", "\n".join(lines)))
    assert data.targets.class_names == ("neg", "pos") and not data.issues
    names = ["Pos", "pos", "neg", "neg\u200b"]
    lines = ["text,label"] + [f"words {i},{names[i % 4]}" for i in range(40)]
    data = text_csv(written(tmp_path, "b.csv", "\n".join(lines)))
    told = [issue.reason for issue in data.issues]
    assert len(told) == 2 and all("two classes with like names" in text for text in told)


def test_the_order_of_classes_depends_on_no_hash_and_no_nan(tmp_path: Path) -> None:
    names = ["nan", "2", "0.5", "inf", "1", "b"]
    lines = ["text,label"] + [f"words {i},{names[i % 6]}" for i in range(60)]
    path = written(tmp_path, "a.csv", "\n".join(lines))
    assert text_csv(path).targets.class_names == ("0.5", "1", "2", "b", "inf", "nan")
    ask = (
        "from kx.data.sources.labels import natural;"
        f"print(sorted({set(names)!r}, key=natural))"
    )  # fmt: skip
    said = {
        subprocess.run(
            [sys.executable, "-c", ask], env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(said) == 1


def test_an_empty_vocabulary_is_refused_whatever_the_reason(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "\n".join(["text,label", *rows_of(40)]))
    with pytest.raises(ConfigError, match="3 or more"):
        text_csv(path, tokenizer=partial(words, max_tokens=2))
    assert text_csv(path, tokenizer=partial(words, max_tokens=3)).inputs.vocabulary_size == 3
    for content in ('"  "', "!!!"):
        lines = ["text,label"] + [f"{content},{'ab'[i % 2]}" for i in range(40)]
        with pytest.raises(DataError, match="vocabulary is empty"):
            text_csv(written(tmp_path, "b.csv", "\n".join(lines)))


def test_empty_texts_and_long_cells_are_told(tmp_path: Path) -> None:
    lines = ["text,label", *rows_of(40)]
    lines[3], lines[5] = ",pos", '"two\nlines\nor three",neg'
    data = text_csv(written(tmp_path, "a.csv", "\n".join(lines)))
    [empty] = [one for one in data.issues if "empty texts" in one.reason]
    [several] = [one for one in data.issues if "several lines" in one.reason]
    assert "1 empty texts, the first in" in empty.reason and "line 4" in empty.reason
    assert "the longest has 3 lines, from line 6 on" in several.reason


def test_a_file_that_python_reads_is_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [["text", "label"], ['a "b" c', "x"], ["d,e\r\nf", "y"], ["", "z"], ["ü中", "x"]]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    assert read_rows(path).cells == rows[1:]


def test_a_row_of_one_column_may_be_empty(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", 'text\na\n""\n " "\n \n\nb\n')
    assert [row[0].strip(' "') for row in read_rows(path).cells] == ["a", "", "", "", "b"]
    both = written(tmp_path, "b.csv", 'text,label\na,x\n""\nb,y\n')
    with pytest.raises(DataError, match="line 3: 1 cells, and the header has 2"):
        read_rows(both)


def test_a_text_file_is_not_tested_by_itself(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "\n".join(["text,label", *rows_of(40)]))
    with pytest.raises(DataError, match=r"data\.test_path is the file of data\.path"):
        text_csv(path, test_path=str(tmp_path / "." / "a.csv"))
    with pytest.raises(DataError, match="are one column, 'label'"):
        text_csv(path, text="label")


def test_a_label_that_reads_as_missing_is_told(tmp_path: Path) -> None:
    lines = [line.replace("neg", "NaN") for line in rows_of(40)]
    path = written(tmp_path, "a.csv", "\n".join(["text,label", *lines]))
    [reason] = [issue.reason for issue in text_csv(path).issues]
    assert reason == "a class 'NaN' (20 examples): missing labels?"

"""Sources of texts: read as they are meant, or refused with file and row."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import needs_shared
from hypothesis import given, settings
from hypothesis import strategies as st

import kx
from kx.config import compose
from kx.data.sources.encodings import decoded
from kx.data.sources.text.jsonl import jsonl
from kx.data.sources.text.labelled import plain_hash
from kx.data.sources.text.reviews import reviews
from kx.data.sources.text.text_csv import text_csv
from kx.data.sources.text.text_folder import text_folder
from kx.data.sources.text.tfds_texts import sst2
from kx.data.split.divided import divided
from kx.data.split.rules import stratified
from kx.errors import ConfigError, DataError
from kx.fit.batches import make_data

CHINESE = "很好吃，送得快，下次还会来。味道不错"
SOURCES = {"csv": text_csv, "folder": text_folder, "jsonl": jsonl}


def written(folder: Path, kind: str, rows: list[tuple[str, str]], encoding: str = "utf-8") -> str:
    """Writes texts with labels in the form of a source, and returns their path."""
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "folder":
        for number, (text, label) in enumerate(rows):
            (folder / label).mkdir(exist_ok=True)
            (folder / label / f"{number:04}.txt").write_bytes(text.encode(encoding))
        return str(folder)
    if kind == "csv":
        lines = ["text,label", *(f'"{text}",{label}' for text, label in rows)]
    else:
        lines = [
            json.dumps({"text": text, "label": label}, ensure_ascii=False) for text, label in rows
        ]
    path = folder / f"a.{kind}"
    path.write_bytes("\n".join(lines).encode(encoding))
    return str(path)


ROWS = [(f"{CHINESE} {i}", "ab"[i % 2]) for i in range(40)]


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_texts_of_each_encoding_are_read_alike(tmp_path: Path, kind: str, encoding: str) -> None:
    examples = SOURCES[kind](written(tmp_path / "x", kind, ROWS, encoding))
    pairs = zip(examples.inputs, examples.targets, strict=True)
    assert {(text, "ab"[label]) for text, label in pairs} == set(ROWS)
    told = [issue.reason for issue in examples.issues]
    assert ["GB18030" in one for one in told] == ([True] if encoding == "gb18030" else [])


@pytest.mark.parametrize("kind", SOURCES)
def test_another_encoding_is_stated(tmp_path: Path, kind: str) -> None:
    rows = [(f"這家餐廳的味道非常好，服務也很親切 {i}", label) for i, (_, label) in enumerate(ROWS)]
    path = written(tmp_path / "x", kind, rows, "big5")
    with pytest.raises(DataError, match="State its encoding, data.encoding=gb18030"):
        SOURCES[kind](path)
    assert set(SOURCES[kind](path, encoding="big5").inputs) == {text for text, _ in rows}


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x24F), min_size=1))
@settings(max_examples=200, deadline=None)
def test_western_letters_are_not_taken_for_chinese(text: str) -> None:
    content = text.encode("latin-1", errors="ignore")
    try:
        right = content.decode("utf-8")
    except UnicodeDecodeError:
        with pytest.raises(DataError, match="not UTF-8"):
            decoded(content, Path("a.txt"))
        try:
            found, issues = decoded(content, Path("a.txt"), "auto")
        except DataError:
            return
        # What reads as the most common Chinese characters alone is taken for it, and said.
        assert issues and found == content.decode("gb18030")
    else:
        assert decoded(content, Path("a.txt"), "auto") == (right, ())


@pytest.mark.parametrize(
    "word", ["détaillé, très élégant", "schöne Grüße aus Köln, für München", "señor, mañana será"]
)
def test_french_german_and_spanish_are_refused(word: str) -> None:
    with pytest.raises(DataError, match="State its encoding"):
        decoded((word * 5).encode("latin-1"), Path("a.txt"), "auto")
    assert decoded(word.encode("latin-1"), Path("a.txt"), "latin-1")[0] == word
    with pytest.raises(DataError) as caught:  # of a file that is no data, such as a manifest
        decoded(word.encode("latin-1"), Path("a.txt"))
    assert "data.encoding" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf8x", "hex"])
def test_an_encoding_that_there_is_not(tmp_path: Path, encoding: str) -> None:
    path = written(tmp_path, "csv", ROWS)
    with pytest.raises(ConfigError, match=f"data.encoding={encoding}: Python knows no such"):
        text_csv(path, encoding=encoding)


def test_classes_are_chosen_among_single_ones_alone(tmp_path: Path) -> None:
    path = written(tmp_path, "csv", [("x", "a|b"), ("y", "a")] * 20)
    with pytest.raises(DataError, match="several labels, not one class"):
        text_csv(path, label_separator="|", classes=["a"])


def test_json_lines_are_not_judged_by_their_own_file_or_text(tmp_path: Path) -> None:
    path = written(tmp_path, "jsonl", ROWS)
    with pytest.raises(DataError, match=r"data\.test_path is the file of data\.path"):
        jsonl(path, test_path=path)
    with pytest.raises(DataError, match="are one column"):
        jsonl(path, text="label")


# --- folders and lines


def test_folders_of_splits_and_of_classes_that_are_chosen(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for label in ("neg", "pos", "unsup"):
            folder = tmp_path / split / label
            folder.mkdir(parents=True)
            for number in range(6):
                (folder / f"{number}.txt").write_text(f"{split} {label} {number}\n")
    (tmp_path / "README").write_text("of the data set")
    (tmp_path / "train" / "pos" / "picture.png").write_bytes(b"x")
    examples = text_folder(str(tmp_path), classes=["neg", "pos"])
    assert examples.target_spec.class_names == ("neg", "pos")  # type: ignore[union-attr]
    parts = stratified(examples, validation_fraction=0.25)
    assert {examples.inputs[i].split()[0] for i in parts["test"]} == {"test"}
    assert {examples.inputs[i].split()[0] for i in parts["train"]} == {"train"}
    told = {(issue.file, issue.what) for issue in examples.issues}
    assert {("README", "left out"), ("pos/picture.png", "left out"), ("train: unsup", "left out"),
            ("test: unsup", "left out")} == told  # fmt: skip
    with pytest.raises(DataError, match="no text of the train split has the class happy"):
        text_folder(str(tmp_path), classes=["neg", "happy"])
    with pytest.raises(DataError, match="there is no folder"):
        text_folder(str(tmp_path / "nowhere"))
    (tmp_path / "train" / ".ipynb_checkpoints").mkdir()
    (tmp_path / "train" / ".ipynb_checkpoints" / "0.txt").write_text("x")
    (tmp_path / "train" / "pos" / ".cache").mkdir()
    (tmp_path / "train" / "pos" / ".cache" / "0.txt").write_text("x")
    again = text_folder(str(tmp_path), classes=["neg", "pos"])
    assert again.num_examples == examples.num_examples
    assert ".ipynb_checkpoints" in {issue.file for issue in again.issues}
    for name in ("train", "test"):
        (tmp_path / name).rename(tmp_path / f"{name}_set")
    with pytest.raises(DataError, match="Are they splits"):
        text_folder(str(tmp_path))
    for name in ("train", "test"):
        (tmp_path / f"{name}_set").rename(tmp_path / name)
    (tmp_path / "testing").mkdir()
    with pytest.raises(DataError, match="two folders are one split"):
        text_folder(str(tmp_path))


def test_words_numbers_and_lists_are_labels_of_json_lines(tmp_path: Path) -> None:
    def read(*labels: object) -> kx.Examples:
        lines = [
            json.dumps({"text": f"text {i}", "label": labels[i % len(labels)]}) for i in range(12)
        ]
        (tmp_path / "a.jsonl").write_text("\n\n".join(lines))
        return jsonl(str(tmp_path / "a.jsonl"))

    assert read(5, 10, 9).target_spec.class_names == ("5", "9", "10")  # type: ignore[union-attr]
    assert read(True, False).target_spec.class_names == ("false", "true")  # type: ignore[union-attr]
    several = read(["a", "b"], [], ["b, c"])
    assert several.target_spec.class_names == ("a", "b", "b, c")  # type: ignore[union-attr]
    np.testing.assert_array_equal(several.targets[:3], [[1, 1, 0], [0, 0, 0], [0, 0, 1]])
    for labels, said in (
        ((["a"], "b"), r"a\.jsonl, line 3: 'label' \(data\.label\): expected a list of words"),
        (({"a": 1},), "line 1: 'label'.*expected a word"),
        (("a", ""), r"line 3: 'label' \(data.label\) is empty"),
    ):
        with pytest.raises(DataError, match=said):
            read(*labels)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: this is no JSON"),
        ("[1]", "line 2: expected an object"),
        ('{"txet": "a", "label": 1}', r"no 'text' \(data.text\). Did you mean 'txet'"),
        ('{"text": 3, "label": 1}', "'text' is no text"),
        ('{"text": "a\\u0000", "label": 1}', None),
    ],
)
def test_a_line_that_is_no_example_is_named(tmp_path: Path, line: str, said: str | None) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "label": 1}\n' + line)
    if said is None:
        assert len(jsonl(str(path)).inputs) == 2
        return
    with pytest.raises(DataError, match=said):
        jsonl(str(path))


# --- copies


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("It's  GOOD!", "its good", True), ("ＯＫ 好", "ok好。", True), ("not good", "good", False),
        ("!!!", "???", False), ("", "", True), ("C++ is fun", "C is fun", False),
        ("1.5 stars", "15 stars", False), ("good 😀", "good 😡", False), ("में", "मैं", False),
        ("well, yes.", "Well yes", True), ("-5 degrees", "5 degrees", False),
    ],
)  # fmt: skip
def test_copies_differ_in_case_spaces_and_punctuation_alone(
    one: str, other: str, same: bool
) -> None:
    assert (plain_hash(one) == plain_hash(other)) is same


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_copies_in_several_splits_are_told_and_left_out_on_request(
    tmp_path: Path, kind: str
) -> None:
    train = [(f"text {i}", "ab"[i % 2]) for i in range(20)]
    path = written(tmp_path / "train", kind, train)
    other = written(tmp_path / "test", kind, [("Text 3!", "b"), ("text 4", "a"), ("new", "b")])
    read = partial(SOURCES[kind], path, test_path=other)
    [told] = divided(read(), stratified(read())).issues
    assert (told.file, told.what) == (
        "train",
        "copy",
    ) and "2 of 18 texts are in test" in told.reason
    parts = stratified(read())
    assert sum(map(len, parts.values())) == 23
    alone = read(copies="one_split")
    [told] = alone.issues
    assert told.what == "left out"
    parts = stratified(alone)
    kept = {alone.inputs[i] for name in ("train", "validation") for i in parts[name]}
    assert len(kept) == 18 and not {"text 3", "text 4"} & kept
    alone = SOURCES[kind](written(tmp_path / "own", kind, [*train, *train]))
    data = divided(alone, stratified(alone))
    assert any(one.what == "copy" and one.file == "train" for one in data.issues)
    same = [("twice", "a"), ("Twice!", "a"), *train]
    for seed in range(8):
        examples = SOURCES[kind](written(tmp_path / "same", kind, same), copies="one_split")
        of = [
            part
            for part, places in stratified(examples, seed=seed).items()
            for i in places
            if i < 2
        ]
        assert len(set(of)) == 1


# --- TensorFlow Datasets, and what needs no download


def test_sst2_is_read_from_its_files_and_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="stsa.binary.train, .dev and .test"):
        sst2(str(tmp_path))
    for name in ("train", "dev", "test"):
        (tmp_path / f"stsa.binary.{name}").write_text(f"1 a {name} film\n0 a bad {name}\n" * 3)
    examples = sst2(str(tmp_path))
    assert {name: len(part) for name, part in examples.own_splits.items()} == {
        "train": 6, "validation": 6, "test": 6,
    }  # fmt: skip
    assert examples.target_spec.class_names == ("negative", "positive")  # type: ignore[union-attr]
    (tmp_path / "stsa.binary.dev").write_text("2 a film\n")
    with pytest.raises(DataError, match=r"dev, line 1: expected 0 or 1, a space and a sentence"):
        sst2(str(tmp_path))


def test_the_published_sentences(project: Path) -> None:
    folder = needs_shared("sst2")
    data = make_data(compose(["data=sst2", f"data.root={folder}"]).config)
    sizes = {name: int(split.cardinality()) for name, split in data.splits.items()}
    assert sizes == {"train": 6920, "validation": 872, "test": 1821}


def test_a_set_without_such_features_and_labels_that_are_not_published(
    project: Path, tfds_folder: Path
) -> None:
    words = ["data=imdb_reviews", f"data.data_dir={tfds_folder}"]
    with pytest.raises(DataError, match=r"expected the features data\.text=review"):
        make_data(compose([*words, "data.text=review"]).config)
    with pytest.raises(DataError, match="has no split 'unsupervised'"):
        make_data(compose([*words, "data.train_split=unsupervised"]).config)
    data = make_data(compose(["data=sst2", f"data.data_dir={tfds_folder}"]).config)
    assert data.source.startswith("tfds:glue/sst2")


@pytest.mark.usefixtures("graphs")
@pytest.mark.parametrize("language", ["en", pytest.param("zh", marks=pytest.mark.slow)])
def test_reviews_need_the_order_of_words(language: str, project: Path) -> None:
    examples = reviews(language, 600)  # type: ignore[arg-type]
    assert len(set(examples.inputs)) == 600 and examples.targets.mean() == 0.5
    assert list(examples.inputs) == list(reviews(language, 600).inputs)  # type: ignore[arg-type]
    run = kx.train(
        "data=reviews", f"data.language={language}", "epochs=8",
        f"tokenizer={'words' if language == 'en' else 'characters'}", "report.splits=[test]",
        quiet=True,
    )  # fmt: skip
    assert run.metrics["test/accuracy"] > 0.93
    assert "better than TF-IDF" in " ".join(run.compared)
    with pytest.raises(DataError, match="expected 100,000 or less"):
        reviews("en", 10**6)


# --- several texts, and numbers


def pairs_with(label: str, values: list[str], folder: Path) -> str:
    lines = [f"premise,hypothesis,{label}"]
    lines += [f"a man {i % 7} runs,a man {'runs' if i % 2 else 'sleeps'},{values[i % len(values)]}"
              for i in range(80)]  # fmt: skip
    (folder / "pairs.csv").write_text("\n".join(lines), encoding="utf-8")
    return f"data.path={folder / 'pairs.csv'}"


def test_two_texts_are_fields_with_a_vocabulary_each(project: Path) -> None:
    words = ["data=text_csv", pairs_with("label", ["no", "yes"], project), "model=fusion",
             "data.text=[premise,hypothesis]"]  # fmt: skip
    run = kx.train(*words, "epochs=4", "report.splits=[test]", quiet=True)
    [answer] = run.predict([{"premise": "a man runs", "hypothesis": "a man sleeps"}])
    assert set(answer["probabilities"]) == {"no", "yes"}
    assert any("TF-IDF" in one for one in run.compared)
    file = project / "apart.csv"
    file.write_text("a,b,label\nx y,z,1\nx,y z,0\nX y,z!,1\n" + "k,l,0\n" * 9)
    apart = text_csv(str(file), text=["a", "b"])
    assert apart.copies[0] == apart.copies[2] != apart.copies[1]  # type: ignore[index]
    with pytest.raises(DataError, match=r"has no column 'hypotesis'.*Did you mean 'hypothesis'"):
        kx.train(*words[:3], "data.text=[premise,hypotesis]", quiet=True)
    with pytest.raises(DataError, match="data.text and data.label are one column, 'label'"):
        kx.train(*words[:3], "data.text=[premise,label]", quiet=True)


def test_a_number_of_a_text_is_predicted_in_its_unit(project: Path) -> None:
    words = ["data=text_csv", pairs_with("stars", ["1.5", "4.5"], project), "data.text=hypothesis",
             "data.label=stars", "data.numeric=true", "task=regression"]  # fmt: skip
    run = kx.train(
        *words, "model=fasttext", "epochs=10", "optimizer.learning_rate=0.05", quiet=True
    )
    [answer] = run.predict(["a man sleeps"])
    assert answer["value"] == pytest.approx(1.5, abs=0.8)
    assert any("ridge" in one for one in run.compared)
    pairs_with("stars", ["1.5", "many"], project)
    with pytest.raises(DataError, match=r"line 3: data.numeric=true: expected a number.*'many'"):
        kx.train(*words, quiet=True)


def test_json_lines_have_several_texts_and_numbers_too(tmp_path: Path) -> None:
    rows = [{"a": f"x {i}", "b": "y", "score": i / 2} for i in range(9)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = jsonl(str(tmp_path / "t.jsonl"), text=["a", "b"], label="score", numeric=True)
    assert found.inputs["a"][3] == "x 3" and set(found.inputs["b"]) == {"y"}
    assert found.targets.tolist() == [i / 2 for i in range(9)]
    assert found.target_spec.column_names == ("score",)

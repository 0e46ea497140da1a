"""One division for every source: at random, by class, content, group and time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from conftest import parts_of
from hypothesis import given, settings
from hypothesis import strategies as st

import kx
from kx.config import add_project_to_path, compose
from kx.data import Examples, Spec
from kx.data.split import rules
from kx.data.split.divided import divided
from kx.errors import ConfigError, DataError
from kx.fit.batches import make_data

fractions = st.sampled_from([0.0, 0.1, 0.25, 0.4])
sets = st.lists(st.integers(0, 3), min_size=30, max_size=90)


def examples_of(labels: Any, **more: Any) -> Examples:
    labels = np.asarray(labels)
    names = tuple(map(str, range(4)))
    raw = [f"text {place}" for place in range(len(labels))]
    return Examples(
        raw, labels, Spec((), "string"), Spec((), "int32", class_names=names), name="set", **more
    )


@settings(max_examples=80, deadline=None)
@given(
    sets,
    st.sampled_from(["stratified", "random", "by_hash", "group", "time"]),
    fractions,
    fractions,
    st.sampled_from([None, 1, 25]),
    st.sampled_from([None, {"number": 2, "of": 3}, {"number": 1, "of": 3, "split": "test"}]),
)
def test_no_example_is_in_two_splits_and_none_is_lost(
    labels: list[int], rule: str, validation: float, test: float, limit: int | None, fold: Any
) -> None:
    examples = examples_of(labels, columns=lambda name: [place // 3 for place in range(90)])
    examples.columns = lambda name: [place // 3 for place in range(len(labels))]
    column = {"column": "block"} if rule in ("group", "time") else {}
    words = {"validation_fraction": validation, "test_fraction": test, "limit": limit, "fold": fold}
    try:
        parts = getattr(rules, rule)(examples, **column, **words)
    except DataError as error:
        assert limit == 1 or rule == "by_hash", str(error)
        return
    together = np.concatenate(list(parts.values())).tolist()
    assert len(together) == len(set(together)) and set(together) <= set(range(len(labels)))
    if limit is None and fold is None and rule != "time":
        assert len(together) == len(labels)
    if limit is not None:
        for_test = len(parts.get("test", ()))
        if fold is None or fold.get("split") != "test":
            assert for_test <= limit and len(together) - for_test <= limit
    if rule in ("group", "time"):
        blocks = [{place // 3 for place in part.tolist()} for part in parts.values()]
        assert sum(map(len, blocks)) == len(set.union(*blocks)), "a block is in one split"
    if rule == "time":
        latest = -1
        for name in ("train", "validation", "test"):
            part = parts.get(name)
            if part is not None and not (fold and limit):
                assert part.min() > latest and (np.diff(part) > 0).all()
                latest = part.max()


def test_a_split_of_the_source_is_kept_and_what_is_missing_is_taken_from_train() -> None:
    places = np.arange(40)
    own = {"train": places[:20], "test": places[30:]}
    parts = rules.stratified(examples_of(places % 4, own_splits=own), validation_fraction=0.2)
    assert parts["test"].tolist() == list(range(30, 40))
    assert len(parts["validation"]) == 4 and len(parts["train"]) == 16
    assert set(parts["train"]) | set(parts["validation"]) == set(range(20))
    none = {"train": places[:20], "validation": places[20:30], "test": places[:0]}
    parts = rules.stratified(examples_of(places % 4, own_splits=none), test_fraction=0.5)
    assert list(parts) == ["train", "validation"] and parts["train"].tolist() == list(range(20))
    fold = {"number": 1, "of": 3, "split": "test"}
    parts = rules.stratified(examples_of(places % 4, own_splits=none), fold=fold)
    assert len(parts["test"]) == 10 and sum(map(len, parts.values())) == 30
    half = rules.stratified(examples_of(places % 4, own_splits=none), limit=15)
    assert [len(part) for part in half.values()] == [10, 5], "both keep their shares"


def test_classes_keep_their_shares_where_there_are_classes() -> None:
    labels = np.repeat([0, 1, 2, 3], [80, 40, 40, 40])
    parts = parts_of(labels, test_fraction=0.25, validation_fraction=0.2)
    assert np.bincount(labels[parts["test"]]).tolist() == [20, 10, 10, 10]
    assert np.bincount(labels[parts["validation"]]).tolist() == [12, 6, 6, 6]
    rare = np.array([0] * 99 + [1])  # too few of a class: a plain random choice
    assert sum(map(len, parts_of(rare).values())) == 100
    some = [np.bincount(labels[parts_of(labels, "random", seed=s)["test"]]) for s in range(5)]
    assert len({tuple(counts.tolist()) for counts in some}) > 1, "random looks at no class"


def test_another_example_moves_none_where_each_goes_by_its_hash() -> None:
    few, more = (examples_of(np.arange(count) % 4) for count in (60, 200))
    before, after = rules.by_hash(few), rules.by_hash(more)
    for name, part in before.items():
        assert set(part) == {place for place in after[name].tolist() if place < 60}
    folds = [
        rules.by_hash(one, test_fraction=0, fold={"number": 2, "of": 3})["validation"]
        for one in (few, more)
    ]
    assert set(folds[0]) == {place for place in folds[1].tolist() if place < 60}


def test_folds_by_time_are_judged_by_what_came_before() -> None:
    days = [f"2026-01-{1 + place // 4:02}" for place in range(80)]
    examples = examples_of(np.arange(80) % 4, columns=lambda name: days)
    for number in (1, 2, 3):
        parts = rules.time(examples, column="day", fold={"number": number, "of": 3})
        assert parts["train"].max() < parts["validation"].min() <= parts["validation"].max()
        assert parts["validation"].max() < parts["test"].min()
    sizes = [
        len(rules.time(examples, column="day", fold={"number": n, "of": 3})["train"])
        for n in (1, 2, 3)
    ]
    assert sizes == sorted(sizes) and sizes[0] < sizes[2], "each fold is trained on more"
    parts = rules.time(examples, column="day", validation_from="2026-01-11", test_from="2026-01-16")
    assert [len(part) for part in parts.values()] == [40, 20, 20]
    latest = rules.time(examples, column="day", limit=10)
    assert latest["validation"].max() + 1 == latest["test"].min() - 6
    with pytest.raises(ConfigError, match="repeat=2"):
        rules.time(examples, column="day", fold={"number": 1, "of": 3, "repeat": 2})
    with pytest.raises(DataError, match="of 20 times cannot be divided into 20 folds"):
        rules.time(examples, column="day", test_fraction=0, fold={"number": 1, "of": 20})


@pytest.mark.parametrize(
    ("times", "words", "said"),
    [
        (["2026-01-31", "31.01.2026", "x"], {}, "Received: '31.01.2026'"),
        (["1", "2", ""], {}, "expected numbers, or dates"),
        (["1", "2", "3"], {"test_from": "2026-01-01"}, "split.test_from: expected a time like 1.0"),
        (["1", "2", "3"], {"test_from": 7}, "would have 0 of 3 examples"),
        (["1", "1", "1"], {}, "would have 3 of 3 examples"),
    ],
)
def test_times_that_cannot_divide_are_refused(
    times: list[str], words: dict[str, Any], said: str
) -> None:
    examples = examples_of([0, 1, 0], columns=lambda name: times)
    with pytest.raises((ConfigError, DataError), match=said):
        rules.time(examples, column="day", **words)


def test_data_without_columns_says_so(project: Path) -> None:
    own = Examples(
        np.zeros((4, 1)), np.arange(4) % 2, Spec((1,), "float32"),
        Spec((), "int32", class_names=("a", "b")), columns={"person": [1, 1, 2, 2]}.__getitem__,
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"split.column=persn: .*Did you mean 'person'"):
        rules.group(own, column="persn")
    with pytest.raises(ConfigError, match="split.column=who: the data set digits has no columns"):
        make_data(compose(["split=group", "split.column=who"]).config)


def test_a_table_is_divided_by_its_own_columns(project: Path) -> None:
    lines = [f"{'good' if i % 2 else 'bad'} {i},{i % 2},2026-01-{1 + i // 4:02}" for i in range(80)]
    Path("days.csv").write_text("\n".join(["text,label,day", *lines]))
    words = ["data=text_csv", "data.path=days.csv", "split=time", "split.column=day"]
    data = make_data(compose(words).config)
    assert data.positions["train"].max() < data.positions["validation"].min()
    assert data.positions["test"].tolist() == list(range(64, 80))
    run = kx.train(
        *words, "model.units=4", "tokenizer.sequence_length=4", epochs=1, report="none",
        tracking="none", quiet=True,
    )  # fmt: skip
    assert "test/accuracy" in run.metrics
    with pytest.raises(DataError, match=r"no column 'dya' \(split.column\).*Did you mean 'day'"):
        make_data(compose([*words[:-1], "split.column=dya"]).config)


def test_own_examples_are_divided_too(project: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 3)).astype("float32")
    y = (x[:, 0] > 0).astype("int64")
    words = ["model=linear", "epochs=1", "report=none", "tracking=none"]
    run = kx.train(*words, "split.fold={number: 2, of: 3}", data=(x, y), quiet=True)
    assert run.config["split"]["fold"] == {"number": 2, "of": 3}
    assert not any(name.startswith("test/") for name in run.metrics), "no test split was given"


def test_a_source_of_a_users_own_is_one_function(project: Path) -> None:
    (project / "conf" / "data").mkdir(parents=True)
    (project / "conf" / "data" / "points.yaml").write_text("_target_: points.points\ncount: 90\n")
    (project / "points.py").write_text(
        "import kx, numpy as np\n\n"
        "def points(count):\n"
        "    x = np.random.default_rng(0).normal(size=(count, 2)).astype('float32')\n"
        "    y = (x[:, 0] > 0).astype('int32')\n"
        "    targets = kx.Spec((), 'int32', class_names=('left', 'right'))\n"
        "    return kx.Examples(x, y, kx.Spec((2,), 'float32'), targets, name='points')\n"
    )
    words = ["data=points", "model=linear", "optimizer.learning_rate=0.1"]
    words += ["report=none", "tracking=none"]
    run = kx.train(*words, "split.test_fraction=0.5", epochs=20, quiet=True)
    assert run.metrics["test/accuracy"] > 0.6
    with pytest.raises(ConfigError, match="expected kx.Examples, or kx.Data. Received: None"):
        (project / "points.py").write_text("def points(count):\n    return None\n")
        import importlib
        import sys

        importlib.reload(sys.modules["points"])
        kx.train(*words, epochs=1, quiet=True)


@pytest.mark.parametrize(
    ("word", "now"),
    [
        ("data.test_fraction=0.3", "split.test_fraction"),
        ("data.limit=100", "split.limit"),
        ("data.split_seed=1", "split.seed"),
        ("data.fold={number: 1, of: 2}", "split.fold"),
        ("data.split=hash", "split=hash"),
        ("data.group=author", "split=group split.column=COLUMN"),
    ],
)
def test_an_old_key_is_answered_with_the_new_one(project: Path, word: str, now: str) -> None:
    key = word.partition("=")[0]
    with pytest.raises(ConfigError) as caught:
        compose([word])
    assert f"There is no key '{key}'. It is {now}" in str(caught.value)


def _points(**more: Any) -> Examples:
    return examples_of(np.arange(12) % 4, **more)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"own_splits": {"train": np.arange(8), "val": np.arange(8, 12)}},
            "no split 'val'. Available: test, train",
        ),
        ({"own_splits": {"test": np.arange(8, 12)}}, "must have examples to train on"),
        ({"own_splits": {"train": np.arange(9), "test": np.arange(8, 12)}}, "Example 8 is in"),
        ({"own_splits": {"train": np.arange(13)}}, "positions must be 0 to 11. Got 0 to 12"),
        ({"contents": ["a"] * 11}, "expected 12 contents, as many as targets. Received: 11"),
    ],
)
def test_a_source_whose_parts_do_not_fit_is_refused(
    project: Path, more: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        make_data(compose([]).config, _points(**more))
    with pytest.raises(DataError, match="expected 11 inputs, as many as targets. Received: 12"):
        examples = _points()
        examples.targets = examples.targets[:11]
        make_data(compose([]).config, examples)


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("{'train': range(9), 'valid': range(9, 12)}", "Did you mean 'validation'"),
        ("{'validation': range(12)}", "must have examples to train on, in 'train'. Got validation"),
        ("{'train': range(9), 'test': range(8, 12)}", "Example 8 is in several"),
        ("{'train': [-1, 3]}", "positions must be 0 to 11"),
        ("None", "expected positions by split name. Received: None"),
    ],
)
def test_a_split_of_a_users_own_drops_nothing(project: Path, returned: str, said: str) -> None:
    name = f"own_split_{abs(hash(returned))}"
    (project / "conf" / "split").mkdir(parents=True)
    (project / "conf" / "split" / "own.yaml").write_text(f"_target_: {name}.own\n")
    (project / f"{name}.py").write_text(f"def own(examples):\n    return {returned}\n")
    add_project_to_path()
    with pytest.raises((ConfigError, DataError), match=said):
        make_data(compose(["split=own"]).config, _points())


def test_a_start_that_would_be_ignored_is_refused() -> None:
    own = {"train": np.arange(8), "test": np.arange(8, 12)}
    examples = _points(own_splits=own, columns=lambda name: list(range(12)))
    with pytest.raises(ConfigError, match="split.test_from=9 would be ignored: the test split"):
        rules.time(examples, column="t", test_from=9)
    fold = {"number": 1, "of": 3}
    with pytest.raises(ConfigError, match="split.validation_from=5 would be ignored: the fold"):
        rules.time(examples, column="t", validation_from=5, fold=fold)


def test_a_limit_of_which_nothing_is_left_to_train_on_is_refused() -> None:
    own = {"train": np.arange(8), "validation": np.arange(8, 12)}
    examples = _points(own_splits=own, columns=lambda name: list(range(12)))
    for rule, column in ((rules.time, {"column": "t"}), (rules.stratified, {})):
        with pytest.raises(DataError, match="no example is left to train on"):
            rule(examples, limit=1, **column)


def test_the_fingerprint_of_a_stream_is_that_of_its_contents() -> None:
    def fingerprint(texts: list[str]) -> str:
        def inputs(positions: np.ndarray) -> tf.data.Dataset:
            return tf.data.Dataset.from_tensor_slices([texts[place] for place in positions])

        spec = Spec((), "int32", class_names=("a", "b"))
        examples = Examples(inputs, np.arange(4) % 2, Spec((), "string"), spec)
        return divided(examples, {"train": np.arange(4)}).fingerprint

    assert fingerprint(["a", "b", "c", "d"]) == fingerprint(["a", "b", "c", "d"])
    assert fingerprint(["a", "b", "c", "d"]) != fingerprint(["a", "b", "c", "e"])


@pytest.mark.parametrize("largest", [10, 600])
def test_groups_divide_as_near_to_the_fractions_as_they_can(largest: int) -> None:
    groups = [f"author {i}" for i in range(7) for _ in range(10)] + ["prolific"] * largest
    labels = np.arange(len(groups)) % 2
    parts = parts_of(labels, groups=groups, test_fraction=0.25, validation_fraction=0.1)
    assert sum(map(len, parts.values())) == len(groups) and all(map(len, parts.values()))
    assert len(parts["test"]) <= max(20, 0.3 * len(groups))
    of = [{groups[i] for i in positions} for positions in parts.values()]
    assert sum(map(len, of)) == len(set().union(*of))


def test_copies_stay_in_one_split_also_by_group(capsys: pytest.CaptureFixture[str]) -> None:
    patients = [f"patient {i // 4}" for i in range(80)]
    contents = [f"image {i}" for i in range(80)]
    contents[79] = contents[0]  # of the last patient and of the first
    parts = parts_of(np.arange(80) % 2, groups=patients, contents=contents)
    [one] = [name for name, positions in parts.items() if 0 in positions]
    assert {*range(4), *range(76, 80)} <= set(parts[one].tolist())
    examples = Examples(
        np.arange(80), np.zeros(80), Spec((), "int64"), Spec((), "float32"),
        contents=np.array(contents, dtype=object), columns=lambda name: list(range(80)),
    )  # fmt: skip
    rules.time(examples, column="day")
    assert "copies of examples that are in another split, too: 1" in capsys.readouterr().out


def test_a_split_without_examples_to_train_on_is_refused() -> None:
    from kx.data.split.checks import check_parts

    with pytest.raises(DataError, match="examples to train on"):
        check_parts({"train": [], "test": [0, 1]}, 2, "split (mine)")

"""Cross-validation, searches judged by folds, and comparisons of runs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import family_overrides, parts_of
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient
from scipy import stats
from scripted import ScriptedEngine

import kx
from kx.cli import main
from kx.config import add_project_to_path, compose
from kx.data.split.fold import Fold
from kx.errors import ConfigError, DataError
from kx.evaluation.compare import compare_runs, mcnemar
from kx.fit.batches import make_data
from kx.launch.cross_validation import cross_validate
from kx.run import main as run_main
from kx.search.study import find_study
from kx.tracking.mlflow.run_list import GROUPS, list_runs
from kx.tracking.store import store_uri

QUICK = [
    "data=wine",
    "epochs=3",
    "tracking.system_metrics=false",
    "report.num_bootstrap_samples=50",
    "run_eagerly=true",  # a few steps: tracing would take longer
]


def fold_of(number: int, of: int, **more: object) -> dict[str, object]:
    return {"number": number, "of": of, **more}


# --- which examples are in which fold


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 6), st.integers(1, 3), st.integers(0, 3), st.booleans())
def test_each_example_tests_in_exactly_one_fold(
    of: int, repeat: int, seed: int, stratify: bool
) -> None:
    """What validates is a part of the other folds: no example chooses the epoch and judges it."""
    labels = np.arange(90) % 3
    parts = [
        parts_of(
            labels, validation_fraction=0.2, test_fraction=0.1, seed=seed,
            fold=fold_of(number, of, repeat=repeat, stratify=stratify, split="test"),
        )
        for number in range(1, of + 1)
    ]  # fmt: skip
    judged = np.concatenate([part["test"] for part in parts])
    assert len(judged) == len(set(judged)) == 81, "but the data's own test split, left out"
    for part in parts:
        sets = [set(part[name].tolist()) for name in ("train", "validation", "test")]
        assert set.union(*sets) == set(judged) and sum(map(len, sets)) == 81


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 6), st.integers(1, 3), st.integers(0, 3), st.booleans())
def test_each_example_validates_in_exactly_one_fold(
    of: int, repeat: int, seed: int, stratify: bool
) -> None:
    labels = np.arange(90) % 3
    parts = [
        parts_of(
            labels, validation_fraction=0.5, test_fraction=0.2, seed=seed,
            fold=fold_of(number, of, repeat=repeat, stratify=stratify),
        )
        for number in range(1, of + 1)
    ]  # fmt: skip
    tests = {tuple(part["test"]) for part in parts}
    assert len(tests) == 1, "the test split is the same in each fold"
    rest = set(range(90)) - set(parts[0]["test"].tolist())
    assert sorted(np.concatenate([part["validation"] for part in parts])) == sorted(rest)
    for part in parts:
        assert set(part["train"].tolist()) == rest - set(part["validation"].tolist())
        if stratify:
            counts = np.bincount(labels[part["validation"]], minlength=3)
            assert counts.max() - counts.min() <= 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 11), min_size=60, max_size=90), st.booleans(), st.integers(0, 2))
def test_a_group_is_never_in_two_splits(of_each: list[int], stratify: bool, seed: int) -> None:
    groups = np.array([*range(12), *of_each])  # each of them is there
    labels = groups % 2
    for fold in (None, fold_of(2, 3)):
        parts = parts_of(
            labels, validation_fraction=0.25, test_fraction=0.25, seed=seed,
            stratify=stratify, fold=fold, groups=groups,
        )  # fmt: skip
        found = [set(groups[part].tolist()) for part in parts.values()]
        assert len(found) == 3 and sum(map(len, found)) == len(set.union(*found))


def test_each_repeat_divides_anew_and_the_same_words_divide_alike() -> None:
    labels = np.arange(60) % 3

    def validation(**more: object) -> list[int]:
        parts = parts_of(labels, test_fraction=0.0, fold=fold_of(1, 3, **more))
        return parts["validation"].tolist()

    assert validation() == validation(repeat=1) != validation(repeat=2)


@pytest.mark.parametrize(
    ("given_fold", "match"),
    [
        ({"number": 1}, "'of' is missing"),
        ({"numbr": 1, "of": 2}, "Did you mean 'number'"),
        ({"number": 4, "of": 3}, "1 <= number <= of"),
        ({"number": 1, "of": 1}, "of >= 2"),
        ({"number": 1, "of": 2, "split": "train"}, "validation, or test"),
    ],
)
def test_a_bad_fold_is_refused(given_fold: dict[str, object], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        Fold.read(given_fold)


def test_too_few_examples_for_the_folds_are_refused() -> None:
    with pytest.raises(DataError, match="3 examples cannot be divided into 5 folds"):
        parts_of(np.arange(3), test_fraction=0.0, fold=fold_of(1, 5))
    with pytest.raises(DataError, match="cannot be divided"):
        parts_of(
            np.zeros(9, int), test_fraction=0.0, stratify=False, fold=fold_of(1, 5),
            groups=np.arange(9) % 3,
        )  # fmt: skip
    with pytest.raises(DataError, match=r"too few groups \(1\)"):
        parts_of(np.arange(9), validation_fraction=0.2, groups=np.zeros(9))


def test_the_folds_of_every_data_option(project: Path, tfds_folder: Path, texts: Path) -> None:
    words = {
        "digits": [], "wine": [], "diabetes": [], "cifar10": [f"data.data_dir={tfds_folder}"],
        "text_csv": family_overrides("text", texts)[1:],
    }  # fmt: skip
    for option, more in words.items():
        common = [f"data={option}", *more, "split.test_fraction=0.2"]
        found = [
            make_data(compose([*common, f"split.fold={{number: {number}, of: 2}}"]).config)
            for number in (1, 2)
        ]
        halves = [set(data.positions["validation"].tolist()) for data in found]
        assert not halves[0] & halves[1]
        assert halves[0] == set(found[1].positions["train"].tolist())
        assert found[0].fingerprint != found[1].fingerprint
        fold = "split.fold={number: 1, of: 2, split: test}"
        found.append(make_data(compose([*common, fold]).config))
        assert set(found[2].positions["test"].tolist()) == halves[0]
        for data in found:
            for split, dataset in data.splits.items():
                assert int(dataset.cardinality()) == len(data.positions[split])


def test_a_validation_split_of_the_set_itself_joins_the_folds(
    project: Path, tfds_folder: Path
) -> None:
    words = ["data=cifar10", f"data.data_dir={tfds_folder}", "data.train_split='train[:200]'"]
    own = [*words, "data.validation_split='train[200:]'"]
    data = make_data(compose([*own, "split.fold={number: 1, of: 4}"]).config)
    assert len(data.positions["validation"]) == 100 and len(data.positions["train"]) == 300


def test_texts_of_one_author_stay_together(project: Path, tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    lines = [f"word{i % 8},{'good' if i % 2 else 'bad'},author{i % 8}" for i in range(80)]
    path.write_text("text,label,author\n" + "\n".join(lines), encoding="utf-8")
    words = ["data=text_csv", f"data.path={path}", "split=group", "split.column=author"]
    words.append("split.test_fraction=0.25")
    data = make_data(compose([*words, "split.fold={number: 1, of: 3}"]).config)
    seen = {
        split: {x.decode() for x, _ in part.as_numpy_iterator()}
        for split, part in data.splits.items()
    }
    assert not seen["train"] & seen["validation"] and not seen["train"] & seen["test"]
    # What the vocabulary knows comes from the other folds alone.
    assert set(data.assets[0].get_vocabulary()[2:]) == seen["train"]
    with pytest.raises(DataError, match="no column 'auther'.*Did you mean 'author'"):
        make_data(compose([*words, "split.column=auther"]).config)


# --- kx cross-validate


def test_a_cross_validation_judges_each_example_once_and_goes_on(
    project: Path, capsys: pytest.CaptureFixture[str], drawn: None
) -> None:
    words = [*QUICK, "folds=3", "split.test_fraction=0", "model=linear"]
    assert main(["cross-validate", *words]) == 0
    said = capsys.readouterr().out
    [folder] = (project / "runs").glob("cross-validation-*/report")
    with (folder / "out_of_fold.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sorted(int(row["position"]) for row in rows) == list(range(178))
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    right = np.mean([row["truth"] == row["label"] for row in rows])
    assert report["metrics"]["accuracy"] == pytest.approx(right)
    assert {row["fold"] for row in rows} == {"1", "2", "3"}
    for name in ("confusion_matrix.png", "report.html"):
        assert (folder / name).stat().st_size > 1000
    for row in rows:  # each is the answer of the run whose fold it was in
        chances = [float(row[f"probability_class_{i}"]) for i in range(3)]
        assert row["label"] == f"class_{int(np.argmax(chances))}"

    uri = store_uri(None)
    runs = {run.data.tags.get("kx.kind", "job"): run for run in list_runs(uri)}
    jobs = [run for run in list_runs(uri) if "kx.kind" not in run.data.tags]
    group = runs["cross-validation"]
    assert len(jobs) == 3
    assert {run.data.tags["mlflow.parentRunId"] for run in jobs} == {group.info.run_id}
    scores = [run.data.metrics["test/accuracy"] for run in jobs]
    kept = group.data.metrics
    assert kept["test/accuracy_mean"] == pytest.approx(np.mean(scores))
    assert kept["test/accuracy_spread"] == pytest.approx(np.std(scores, ddof=1))
    assert kept["out_of_fold/accuracy"] == pytest.approx(right)
    names = {
        f.path for f in MlflowClient(uri).list_artifacts(group.info.run_id, "cross-validation")
    }
    assert {"cross-validation/out_of_fold.csv", "cross-validation/report.html"} <= names

    # The interval, from the formula itself: 1/3 for the folds, 1/2 for what they share.
    [line] = [line for line in said.splitlines() if line.startswith("test/accuracy ")]
    wide = stats.t.ppf(0.975, 2) * np.std(scores, ddof=1) * np.sqrt(1 / 3 + 1 / 2)
    assert [float(word) for word in line.split()[1:] if word != "…"] == pytest.approx(
        [np.mean(scores), np.std(scores, ddof=1), np.mean(scores) - wide, np.mean(scores) + wide],
        abs=1e-4,
    )

    assert main(["cross-validate", *words, "resume=auto"]) == 0
    assert "0 of 3 jobs to run" in capsys.readouterr().out
    [group] = [r for r in list_runs(store_uri()) if r.data.tags.get("kx.kind") in GROUPS]
    assert main(["evaluate", group.info.run_id]) == 1
    assert "is a cross-validation, a group of runs" in capsys.readouterr().err


def test_numbers_of_folds_are_compared_in_their_own_unit(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each fold standardizes by its own mean: pooled scores must not mix these up."""
    words = [*QUICK, "data=diabetes", "model=linear", "tracking=none", "folds=2", "repeats=2"]
    assert cross_validate(words) == 0
    [folder] = (project / "runs").glob("cross-validation-*/report")
    with (folder / "out_of_fold.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {(row["repeat"], row["fold"]) for row in rows} == {
        (repeat, fold) for repeat in "12" for fold in "12"
    }
    error = np.mean([abs(float(row["truth"]) - float(row["value"])) for row in rows])
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert report["metrics"]["mae"] == pytest.approx(error, rel=1e-4)
    assert not report["confidence_intervals"], "an example that counts twice is no second example"


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["folds=1"], "folds: expected a whole number, 2 or more"),
        (["folds=five", "stratify=maybe"], "(?s)folds=five.*stratify: expected true or false"),
        (["folds=3", "split.fold={number: 1, of: 2}"], "Leave it out"),
        (["folds=3", "tuner=random"], "tuner.folds=5"),
        (["folds=3", "modl=cnn"], "Did you mean 'model'"),
        (["fold=3"], "Did you mean 'folds'"),
        (["folds=3", "resume=latest"], "Expected never, or auto"),
    ],
)
def test_what_cannot_be_cross_validated_is_refused(
    project: Path, words: list[str], match: str
) -> None:
    with pytest.raises(ConfigError, match=match):
        cross_validate(["data=wine", *words])
    assert not (project / "runs").exists()


def test_data_that_divides_itself_refuses_what_split_would_not_change(project: Path) -> None:
    conf = project / "conf" / "data"
    conf.mkdir(parents=True)
    (conf / "mine.yaml").write_text("_target_: divides_itself.load\n", encoding="utf-8")
    (project / "divides_itself.py").write_text(
        "import kx, numpy as np, tensorflow as tf\n\n"
        "def load():\n"
        "    rows = np.eye(4, dtype='float32')\n"
        "    part = tf.data.Dataset.from_tensor_slices((rows, np.arange(4) % 2))\n"
        "    spec = kx.Spec((), 'int32', class_names=('a', 'b'))\n"
        "    return kx.Data(part, None, None, kx.Spec((4,), 'float32'), spec, name='mine')\n",
        encoding="utf-8",
    )
    add_project_to_path()  # as the command does
    assert make_data(compose(["data=mine"]).config).name == "mine"
    for word in ("split.fold={number: 1, of: 2}", "split.seed=1", "split=hash", "split.limit=3"):
        with pytest.raises(ConfigError, match="a kx.Data, which divides itself: .*split"):
            make_data(compose(["data=mine", word]).config)


# --- tuner.folds


def test_a_trial_is_judged_by_the_mean_of_its_folds(
    project: Path, capsys: pytest.CaptureFixture[str], scripted: ScriptedEngine
) -> None:
    words = [
        *QUICK,
        "model=linear",
        "report=none",
        "tuner=random",
        "tuner.max_trials=2",
        "tuner.folds=2",
    ]
    assert run_main([*words, "tuner.study=mine"]) == 0
    study = find_study("mine")
    for trial in study.trials:
        runs = [kx.load_run(execution.run_id) for execution in trial.executions]
        assert [run.config["split"]["fold"]["number"] for run in runs] == [1, 2]
        assert {run.config["seed"] for run in runs} == {0}
        scores = [run.metrics["best/val_accuracy"] for run in runs]
        assert trial.score == pytest.approx(np.mean(scores))
    winner = kx.load_run("mine-winner")
    assert winner.config["split"]["fold"] is None, "the winner has the config's own split"
    assert "fold" not in (project / "experiments" / "mine_best.yaml").read_text(encoding="utf-8")


def test_the_mistakes_of_folds_in_a_search(project: Path) -> None:
    words = ["data=wine", "tuner=random", "tuner.folds=1", "tuner.winner=keep"]
    from kx.search.run import run_search

    with pytest.raises(ConfigError) as caught:
        run_search(compose([*words, "split.fold={number: 1, of: 2}"]))
    text = str(caught.value)
    assert "2 or more" in text and "Leave it out" in text and "tuner.winner=retrain" in text


# --- kx compare


def test_mcnemar_is_the_exact_test() -> None:
    correct = np.array([True] * 50 + [False] * 12)
    others = np.array([True] * 48 + [False] * 2 + [True] * 9 + [False] * 3)
    assert mcnemar(correct, others) == pytest.approx(stats.binomtest(2, 11).pvalue)
    assert mcnemar(correct, correct) == 1.0


def test_runs_are_compared_on_the_same_examples(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = kx.train(*QUICK, "model=linear", "epochs=15", "optimizer.learning_rate=0.1", quiet=True)
    poor = kx.train(*QUICK, "model=linear", "epochs=1", "optimizer.learning_rate=1e-6", quiet=True)
    other = kx.train(*QUICK, "model=linear", "split.seed=1", quiet=True)
    capsys.readouterr()
    assert main(["compare", poor.id, good.id, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    by_metric = {one["metric"]: one for one in found["differences"]}
    accuracy = by_metric["accuracy"]
    assert (accuracy["base"], accuracy["value"]) == pytest.approx(
        (poor.metrics["test/accuracy"], good.metrics["test/accuracy"])
    )
    assert accuracy["test"] == "McNemar" and accuracy["p_value"] < 0.001 and accuracy["low"] > 0
    assert by_metric["f1_macro"]["test"] == "bootstrap" and by_metric["f1_macro"]["low"] > 0
    assert main(["compare", good.id, good.id]) == 0
    said = capsys.readouterr().out
    assert "no difference shown" in said and "36 examples" in said
    assert main(["compare", good.id, other.id]) == 1
    assert "have not answered the same test examples" in capsys.readouterr().err
    assert main(["compare", good.id, poor.id, "--level", "95"]) == 1
    assert "expected a number in (0, 1)" in capsys.readouterr().err


def test_answers_that_no_report_kept_are_asked_for_again(project: Path) -> None:
    kept = kx.train(*QUICK, "model=linear", quiet=True)
    without = kx.train(*QUICK, "model=linear", "report=none", quiet=True)
    runs = [kx.load_run(kept.id), kx.load_run(without.id)]
    for one in compare_runs(runs).differences:  # the same config: the same answers
        assert one.base == one.value and one.low == one.high == 0.0


@pytest.mark.slow
def test_several_runs_are_corrected_for_their_number(project: Path) -> None:
    words = [*QUICK, "model=linear"]
    base, *others = (kx.train(*words, f"seed={seed}", quiet=True) for seed in (0, 1, 2))
    alone = [compare_runs([base, other]).differences for other in others]
    together = compare_runs([base, *others]).differences
    for metric in ("accuracy", "f1_macro"):
        single = sorted(d.p_value for found in alone for d in found if d.metric == metric)
        holm = sorted(d.p_value for d in together if d.metric == metric)
        first = min(1.0, 2 * single[0])
        assert holm == pytest.approx([first, max(first, single[1])])

"""Each report says whether its model is better than simple ones, by a paired test."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import needs_shared
from scipy.stats import binomtest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import kx
from kx.contracts.answers import Seen
from kx.contracts.specs import Spec
from kx.evaluation.baselines import Against
from kx.evaluation.evaluate_run import ask, evaluate_run
from kx.tasks.baselines import of_classes, of_numbers, of_two

TOKENS = Spec((8,), "int32", vocabulary_size=20, kind="tokens")


def seen(targets: Any, inputs: Any) -> Seen:
    return Seen(np.asarray(targets), lambda: inputs, lambda: np.asarray(inputs))


def test_the_most_frequent_class_is_that_of_the_training_split() -> None:
    train, test = seen([2, 2, 0, 2], np.zeros((4, 3))), seen([0, 1], np.zeros((2, 3)))
    scores = of_classes(None, 4)["majority"](train, test)
    assert scores.shape == (2, 4) and scores.argmax(axis=1).tolist() == [2, 2]
    shares = np.exp(scores[0]) / np.exp(scores[0]).sum()
    np.testing.assert_allclose(shares, [0.25, 0, 0.75, 0], atol=1e-5)


def test_numbers_are_told_apart_by_a_logistic_regression() -> None:
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(300, 5)).astype("float32")
    inputs[:, 4] = 7.0  # a constant
    targets = (inputs[:, 0] > 0).astype(int)
    baseline = of_two(Spec((5,), "float32"))["logistic regression"]
    scores = baseline(seen(targets[:200], inputs[:200]), seen(targets[200:], inputs[200:]))
    assert scores.shape == (100, 1)
    assert ((scores[:, 0] > 0) == targets[200:]).mean() > 0.95
    assert list(of_classes(Spec((4, 4, 1), "uint8", kind="image"), 2))[1].endswith("on pixels")


@pytest.mark.parametrize(
    ("good", "bad"), [("what a fine film", "a dull bore"), ("很好看的电影", "难看又无聊")]
)
def test_texts_are_told_apart_by_words_or_characters(good: str, bad: str) -> None:
    texts = [f"{good}" if i % 3 else f"{bad}" for i in range(60)]
    targets = [int(bool(i % 3)) for i in range(60)]
    baseline = of_classes(TOKENS, 2)["TF-IDF and logistic regression"]
    unseen = [good[:-1], bad[1:]]
    scores = baseline(seen(targets, texts), seen([1, 0], unseen))
    assert scores.argmax(axis=1).tolist() == [1, 0]


def test_a_class_that_the_training_has_not_is_a_score_of_its_own() -> None:
    baseline = of_classes(Spec((2,), "float32"), 3)["logistic regression"]
    scores = baseline(seen([0, 2, 0, 2], np.eye(2)[[0, 1, 0, 1]]), seen([1], np.ones((1, 2))))
    assert scores.shape == (1, 3) and np.isfinite(scores).all() and scores[0, 1] < scores[0].max()
    one = baseline(seen([2, 2], np.eye(2)), seen([1], np.ones((1, 2))))
    assert one.argmax() == 2


def test_a_ridge_regression_answers_in_the_models_unit() -> None:
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(200, 4))
    targets = 100 + 20 * inputs[:, 1]
    found = of_numbers(Spec((4,), "float32"), np.array([100.0]), np.array([20.0]))
    train, test = seen(targets[:150], inputs[:150]), seen(targets[150:], inputs[150:])
    np.testing.assert_allclose(found["mean"](train, test), 0.0)
    scores = found["ridge regression"](train, test)
    np.testing.assert_allclose(scores[:, 0] * 20 + 100, targets[150:], atol=0.5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("accuracy", 0.9, 0.8, 0.001), "better than x (accuracy 0.8) by 10.0 points, p = 0.001"),
        (("accuracy", 0.8, 0.9, 0.001), "WORSE than x (accuracy 0.9) by 10.0 points, p = 0.001"),
        (("accuracy", 0.9, 0.8, 0.2), "10.0 points ahead of x (accuracy 0.8), p = 0.2: may be"),
        (("mae", 40.0, 42.0, 0.01), "better than x (mae 42) by 2, p = 0.01"),
        (("mae", 42.0, 40.0, 0.5), "2 behind x (mae 40), p = 0.5: may be chance"),
        (("accuracy", 0.9, 0.9, 1.0), "equal to x (accuracy 0.9)"),
    ],
)
def test_the_sentence_says_who_is_ahead_and_whether_it_is_shown(given: Any, said: str) -> None:
    assert Against("x", *given).sentence.startswith(said)


def test_a_report_holds_the_model_against_the_baselines(
    at_home: Path, trained: Callable[[str], kx.Run]
) -> None:
    for family, names, metric in (
        ("image", ["majority", "logistic regression on pixels"], "accuracy"),
        ("number", ["mean", "ridge regression"], "mae"),
        ("text", ["majority", "TF-IDF and logistic regression"], "accuracy"),
    ):
        run = trained(family)
        evaluate_run(run)  # writes the report again, with the baselines
        report = json.loads(run.artifact("report/test/report.json").read_text("utf-8"))
        rows = report["tables"]["Baselines"]
        assert [row["baseline"] for row in rows] == names
        for row in rows:
            assert row[f"model's {metric}"] == pytest.approx(
                run.metrics[f"test/{metric}"], rel=1e-4
            )
            assert 0 <= row["p"] <= 1


def test_a_baseline_learns_from_the_training_split_and_is_tested_in_pairs(
    at_home: Path, trained: Callable[[str], kx.Run]
) -> None:
    run = trained("image")
    findings = evaluate_run(run)
    answers = ask(run, [], "test", baselines=True)
    assert answers.training is not None and findings.correct is not None
    known, asked = (np.asarray(one).reshape(len(one), -1) for one in
                    (answers.training.inputs, answers.inputs))  # fmt: skip
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    model.fit(known.astype("float32"), np.asarray(answers.training.targets))
    right = model.predict(asked.astype("float32")) == answers.targets
    row = findings.tables["Baselines"][1]
    assert row["baseline's accuracy"] == pytest.approx(right.mean()) and right.mean() < 1
    assert row["model's accuracy"] == pytest.approx(findings.correct.mean())
    ours, theirs = (findings.correct & ~right).sum(), (right & ~findings.correct).sum()
    assert row["p"] == pytest.approx(binomtest(ours, ours + theirs).pvalue)


def test_baselines_may_be_left_out(project: Path) -> None:
    words = ["data=wine", "epochs=1", "report.num_bootstrap_samples=10", "tracking=none"]
    run = kx.train(*words, quiet=True)
    assert len(run.compared) == 1 and "logistic regression" in run.compared[0]
    assert not kx.train(*words, "report.baseline=none", quiet=True).compared


def test_sst2s_baseline_reaches_its_known_accuracy(project: Path) -> None:
    folder = needs_shared("sst2")
    texts, labels = {}, {}
    for split in ("train", "test"):
        lines = (folder / f"stsa.binary.{split}").read_text("utf-8", "replace").splitlines()
        labels[split] = np.array([int(line[0]) for line in lines])
        texts[split] = [line[2:] for line in lines]
    baseline = of_classes(TOKENS, 2)["TF-IDF and logistic regression"]
    known, asked = (seen(labels[split], texts[split]) for split in ("train", "test"))
    accuracy = (baseline(known, asked).argmax(axis=1) == labels["test"]).mean()
    assert accuracy == pytest.approx(0.810, abs=0.005)
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
    model = LogisticRegression(C=10.0, max_iter=200).fit(
        words.fit_transform(texts["train"]), labels["train"]
    )
    assert accuracy == pytest.approx(
        model.score(words.transform(texts["test"]), labels["test"]), abs=0.003
    )


def test_what_a_baseline_leaves_out_is_in_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kx.tasks.baselines._MOST_PRODUCTS", 1)
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(900, 5))
    train = seen((inputs[:, 0] > 0).astype(int), inputs)
    baseline = of_classes(Spec((5,), "float32"), 2)["logistic regression"]
    assert baseline(train, train).shape == (900, 2)
    assert train.notes == ["on 200 of 900 examples"]
    monkeypatch.setattr("kx.tasks.baselines._MAX_ITERATIONS", 1)
    baseline(train, train)
    assert train.notes[-1] == "stopped after 1 iterations"


def test_a_baseline_that_fails_costs_no_run(project: Path, tmp_path: Path) -> None:
    """Words of one letter are no words to scikit-learn."""
    rows = [f"{'a b' if i % 2 else 'c d'},{i % 2}" for i in range(80)]
    (tmp_path / "letters.csv").write_text("\n".join(["text,label", *rows]))
    words = ["data=text_csv", f"data.path={tmp_path / 'letters.csv'}", "model=fasttext", "epochs=1"]
    run = kx.train(*words, "report.num_bootstrap_samples=10", "tracking=none", quiet=True)
    assert run.status == "FINISHED" and any("could not be computed" in one for one in run.compared)
    on_disk = kx.train("data=wine", "epochs=1", "data.cache=disk", "tracking=none", quiet=True)
    assert on_disk.compared == [
        "none: the training split is in a file, and not in memory (data.cache)"
    ]

"""`tuner=…`: trials are ordinary runs, and a search that is killed continues."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import family_overrides
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from scripted import ScriptedEngine, accuracy
from test_models import TEXT_MODELS

import kx
from kx.cli import main as kx_main
from kx.config import CONF_DIR, compose, plain
from kx.config.overrides import word
from kx.errors import ConfigError, RunNotFoundError
from kx.run import main
from kx.search.keras_tuner_values import decode, encode, hyperparameters, starting_values
from kx.search.pruner import continues
from kx.search.run import study_name
from kx.search.setup import checked, earlier_study
from kx.search.space import Parameter, read_space
from kx.search.study import COMPLETED, FAILED, PRUNED, Study, Trial, find_study
from kx.search.trial_configs import Trials
from kx.tracking.mlflow.run_list import list_runs
from kx.tracking.records import all_records, identity, is_locked
from kx.tracking.store import store_uri

QUICK = ["data=wine", "epochs=3", "report=none", "tracking.system_metrics=false"]
SPACE = [
    "tuner.space.optimizer.learning_rate={type: float, min: 1e-4, max: 1e-1, sampling: log}",
    "tuner.space.model.hidden_units={type: choice, values: [[8], [16, 8]]}",
]


def search(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "kx.run", *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def run_search(*words: str, code: int = 0) -> str:
    """Searches from this process, whose fork server is started only once."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        ended = main(words)
    assert ended == code, said.getvalue()
    return said.getvalue()


# --- the space


def test_nested_and_dotted_keys_mean_the_same() -> None:
    leaf = {"type": "float", "min": 0.1, "max": 1}
    nested, _ = read_space({"a": {"b": leaf, "c": {"type": "bool"}}})
    dotted, _ = read_space({"a.b": leaf, "a.c": {"type": "bool"}})
    assert nested == dotted == [Parameter("a.b", "float", 0.1, 1), Parameter("a.c", "bool")]


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (3, "expected {type: …}"),
        ({"type": "flaot", "min": 1, "max": 2}, "expected type: float"),
        ({"type": "float", "min": 2, "max": 1}, "must be below max"),
        ({"type": "float", "min": 0, "max": 1, "sampling": "log"}, "needs min above 0"),
        ({"type": "float", "min": 0, "max": 1, "stepp": 1}, "Did you mean 'step'"),
        ({"type": "int", "min": 0.5, "max": 2}, "a whole number"),
        ({"type": "int", "min": 1, "max": 9, "step": 0}, "greater than 0"),
        ({"type": "choice", "values": []}, "expected values: a list"),
        ({"type": "choice", "values": [1, 2, 1]}, "come twice: 1"),
        ({"type": "bool", "when": "x"}, "expected {key: [values]}"),
        ({"type": "bool", "when": {"absent": [1]}}, "'absent' is not in the space"),
        ({"type": "bool", "when": {"model": ["vit"]}}, "model is never 'vit'"),
    ],
)
def test_a_mistake_in_a_space_is_named(node: object, said: str) -> None:
    model = {"type": "choice", "values": ["cnn", "mlp"]}
    _, mistakes = read_space({"model": model, "x": node})
    assert any(said in mistake.message for mistake in mistakes), mistakes


@pytest.mark.parametrize("taken_out", [{"a": {"b": None}}, {"a.b": None}])
def test_a_null_takes_a_key_out_however_it_is_written(taken_out: dict[str, object]) -> None:
    leaf = {"type": "float", "min": 0.1, "max": 1}
    parameters, mistakes = read_space({"a.b": leaf, "a.c": {"type": "bool"}, **taken_out})
    assert parameters == [Parameter("a.c", "bool")] and not mistakes


def test_a_key_is_taken_out_of_the_models_own_space(project: Path) -> None:
    base = compose(["tuner=random", "data=wine", "tuner.space.model.dropout=null"])
    trials, _ = checked(base, plain(base.config.tuner, resolve=True))
    paths = [parameter.path for parameter in trials.parameters]
    assert "model.hidden_units" in paths and "model.dropout" not in paths
    # The project's own space, nested: what is beside the key stays.
    own = project / "conf" / "tuner" / "space"
    own.mkdir(parents=True)
    number = "{type: float, min: 0.0, max: 0.5}"
    (own / "mlp.yaml").write_text(
        f"model:\n  dropout: {number}\n  l2: {number}\nbatch_size: {{type: choice, values: [8]}}\n"
        "epochs: {type: choice, values: [1, 2]}\n"
    )

    def searched(*words: str) -> list[str]:
        base = compose(["data=wine", *words])
        trials, _ = checked(base, plain(base.config.tuner, resolve=True))
        return [parameter.path for parameter in trials.parameters]

    null = "tuner.space.model.dropout=null"
    assert searched("tuner=random", null) == ["model.l2", "batch_size", "epochs"]
    assert searched("tuner=random", "tuner.space.model=null") == ["batch_size", "epochs"]
    with pytest.raises(ConfigError, match="Did you mean 'model.dropout'"):
        searched("tuner=random", "tuner.space.model.dropuot=null")
    with pytest.raises(ConfigError, match="Hyperband chooses the epochs"):
        searched("tuner=hyperband", null)
    assert searched("tuner=hyperband", "tuner.space.epochs=null")[-1] == "batch_size"


def test_a_space_that_depends_on_itself_is_refused() -> None:
    one = {"type": "bool", "when": {"b": [True]}}
    other = {"type": "bool", "when": {"a": [True]}}
    _, mistakes = read_space({"a": one, "b": other})
    assert "circle" in mistakes[0].message


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=6)
    | st.floats(-1e3, 1e3, allow_nan=False),
    lambda inner: st.lists(inner, max_size=3), max_leaves=4,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@example("\\0")
@example("it's \\")
@example("inf")
@given(VALUES)
def test_a_value_comes_back_from_the_command_line(value: object) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    override = OverridesParser.create().parse_override(word("key", value))
    assert override.value() == value or word("key", override.value()) == word("key", value)


@settings(max_examples=40, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=5, unique_by=repr))
def test_lists_null_and_mixed_types_are_choices(values: list[object]) -> None:
    parameters, mistakes = read_space({"key": {"type": "choice", "values": values}})
    if mistakes:  # 1 and 1.0 and True are the same JSON, or not: only equals are refused
        assert "twice" in mistakes[0].message
        return
    [parameter] = parameters
    for value in values:
        assert decode(parameters, {"key": encode(parameter, value)}) == {"key": value}


def test_keras_tuner_sees_only_what_counts() -> None:
    parameters, _ = read_space(
        {
            "model.dropout": {"type": "float", "min": 0, "max": 1, "when": {"model": "mlp"}},
            "model": {"type": "choice", "values": ["linear", "mlp"]},
            "x": {"type": "int", "min": 1, "max": 9, "when": {"model": "mlp", "y": [True]}},
            "y": {"type": "bool"},
        }
    )
    assert [p.path for p in parameters][:2] == ["model", "y"]
    defaults = {"model": "mlp", "model.dropout": 0.3, "y": False}
    start = starting_values(parameters, defaults)
    assert start == {"model": 1, "model.dropout": 0.3, "y": False}  # x needs y
    space = hyperparameters(parameters, defaults)
    space.values = start
    assert [hp.name for hp in space.space if space.is_active(hp)] == list(start)
    far = starting_values(parameters, {"model": "mlp", "model.dropout": 7, "y": True, "x": None})
    assert far == {"model": 1, "model.dropout": 1, "y": True, "x": 1}  # what is nearest
    assert decode(parameters, {"model": 0, "model.dropout": 0.5}) == {"model": "linear"}


def space_of(*words: str) -> Trials:
    base = compose(["tuner=random", *words])
    parameters, mistakes = read_space(plain(base.config.tuner, resolve=True)["space"])
    assert not mistakes
    return Trials(base, parameters)


def test_a_key_counts_where_the_chosen_option_has_it(project: Path) -> None:
    trials = space_of(
        "data=wine", "tuner.space.model={type: choice, values: [linear, mlp]}",
        "tuner.space.model.dropout={type: float, min: 0.0, max: 0.5}",
    )  # fmt: skip
    by_path = {p.path: p for p in trials.parameters}
    assert by_path["model.dropout"].when == {"model": ("mlp",)}
    job = trials.compose({"model": "mlp", "model.dropout": 0.25}, {"seed": 7})
    assert (job.config.model.dropout, job.config.seed, job.choices["model"]) == (0.25, 7, "mlp")
    assert trials.compose({"model": "linear"}, {}).choices["model"] == "linear"


def test_a_group_may_be_several_options(project: Path) -> None:
    trials = space_of(
        "data=digits", "tuner.space.augment={type: choice, values: [none, flip, [flip, zoom]]}"
    )
    job = trials.compose({"augment": ["flip", "zoom"]}, {})
    assert list(job.config.augment) == ["flip", "zoom"]
    assert trials.defaults() == {"augment": "translate"}  # what data=digits chooses


def test_all_mistakes_of_a_space_are_told_before_the_first_trial(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "tuner.space.optimizer.learning_rat={type: float, min: 1e-4, max: 1e-2}",
        "tuner.space.batch_size={type: int, min: -8, max: 16}",
        "tuner.space.model={type: choice, values: [mlp, mpl]}",
        "tuner.space.epochs={type: choice, values: [2, many]}",
    ]
    assert main(["tuner=random", "data=wine", *words]) == 1
    said = capsys.readouterr().err
    for text in (
        "Did you mean 'learning_rate'", "at least 1. Received: -8", "There is no option 'mpl'",
        "expected a whole number. Received: 'many'", "tuner.space.batch_size",
    ):  # fmt: skip
        assert text in said
    assert "Traceback" not in said and not (project / "studies").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tuner.pruner=medain"], "one of null, median, asha"),
        (["tuner.winner=first"], "one of null, keep, retrain, none"),
        (["tuner=hyperband", "tuner.pruner=asha"], "stops trials by itself"),
        (["tuner.objective=test_accuracy"], "judged on the validation split"),
        (["tuner.objective=loss"], "judged on the validation split"),
        (["tuner.study=../x"], "letters, digits"),
        (["tuner.study='lr=1'"], "letters, digits"),
        (["tuner.max_hours=1h"], "a number greater than 0. Received: '1h'"),
        (["tuner.max_trials=ten"], "a whole number. Received: 'ten'"),
        (["launcher.timeout_minutes=5m"], "a number greater than 0. Received: '5m'"),
        (["tuner=none", "tuner.max_trials=3"], "Choose a method beside it: tuner=random"),
        (["tuner.max_trails=3"], "Did you mean 'max_trials'"),
        (["tuner=bayesain"], "Did you mean 'bayesian'"),
        (["tuner.objective=val_gain"], "tuner.objective_mode=max"),
        (["run_dir=here"], "folders of their own"),
        (["tuner.workers=0"], "at least 1"),
        (["tuner/space=none_such"], "There is no option 'none_such'"),
    ],
)
def test_a_wrong_key_of_a_search_is_told(
    project: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tuner=random", "data=wine", *words]) == 1
    printed = capsys.readouterr().err
    assert said in printed and "Traceback" not in printed


@pytest.mark.parametrize("path", sorted((CONF_DIR / "tuner" / "space").glob("*.yaml")), ids=str)
def test_each_shipped_space_fits_its_model(path: Path, project: Path, texts: Path) -> None:
    of_texts = ["data=text_csv", f"data.path={texts}", "data.text=review", "data.label=mood"]
    data = {"mlp": ["data=wine"], **dict.fromkeys(TEXT_MODELS, of_texts)}
    data |= {
        "dcgan": ["data=digits", "task=adversarial"],
        "q_table": ["data=grid_world", "task=q_learning"],
        "q_network": ["data=grid_world", "task=dqn"],
        "policy_network": ["data=grid_world", "task=reinforce"],
    }
    words = data.get(path.stem, ["data=digits"])
    trials = space_of(*words, f"model={path.stem}", f"tuner/space={path.stem}")
    defaults = trials.defaults()
    outside = [p.path for p in trials.parameters if not p.admits(defaults[p.path])]
    assert outside in ([], ["model.l2"]), "the config's own value is in the space"  # l2 is 0


# --- searches


def test_a_search_ends_with_its_best_model(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = run_search("tuner=bayesian", "tuner.max_trials=3", *SPACE, *QUICK)
    study = find_study("mlp-wine")
    assert study.finished and [t.state for t in study.trials] == [COMPLETED] * 3
    assert study.trials[0].values["optimizer.learning_rate"] == 0.001  # the config's own
    best = study.scored()[0]
    assert best.score == max(t.score for t in study.trials if t.score is not None)
    # MLflow: a parent, a run a trial, the figures, and the model by its alias.
    runs = list_runs(store_uri())
    [parent] = [run for run in runs if run.data.tags.get("kx.kind") == "search"]
    children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(children) == 3 and parent.info.status == "FINISHED"
    assert all(run.info.status == "FINISHED" for run in children)
    assert {run.data.params["optimizer.learning_rate"] for run in children} == {
        str(t.values["optimizer.learning_rate"]) for t in study.trials
    }
    client = MlflowClient(store_uri())
    files = {item.path for item in client.list_artifacts(parent.info.run_id, "search")}
    assert {f"search/{name}" for name in (
        "search.html", "history.png", "parallel.png", "importance.png", "trials.csv", "space.yaml",
    )} <= files  # fmt: skip
    version = client.get_model_version_by_alias("mlp-wine", "best")
    assert version.run_id == best.executions[0].run_id
    for name in ("models:/mlp-wine@best", "models:/mlp-wine/1"):
        assert kx.load_run(name).id == version.run_id
    for name in ("models:/mlp-wine@bets", "models:/mlp-wine/7", "models:/mlp-wine"):
        with pytest.raises(RunNotFoundError, match="models:/NAME@ALIAS or"):
            kx.load_run(name)
    with pytest.raises(RunNotFoundError, match="Did you mean 'mlp-wine'"):
        kx.load_run("models:/mlp-win@best")
    client.create_model_version("mlp-wine", source="elsewhere")
    with pytest.raises(RunNotFoundError, match="comes of no run that is there"):
        kx.load_run("models:/mlp-wine/2")
    # The search of another project that has a study of this name is not ours to judge.
    other = client.create_run(parent.info.experiment_id, tags=parent.data.tags)
    assert {run["id"]: run["status"] for run in statuses(capsys)}[other.info.run_id] == "RUNNING"
    client.delete_run(other.info.run_id)
    # Only the winner has seen the test split, and can be asked.
    tested = [run for run in children if "test/accuracy" in run.data.metrics]
    assert [run.info.run_id for run in tested] == [version.run_id]
    winner = kx.load_run("latest")
    assert winner.id == version.run_id
    assert len(winner.predict([",".join(["13"] * 13)])) == 1
    assert winner.metrics["best/val_accuracy"] == pytest.approx(best.score)
    loser = next(run for run in children if run.info.run_id != winner.id)
    with pytest.raises(RunNotFoundError, match="Trials keep no model"):
        kx.load_run(loser.info.run_id).bundle()
    # The best config is an experiment, and the very same one.
    assert "python -m kx.run experiment=mlp-wine_best" in text
    again = kx.train("experiment=mlp-wine_best", "tracking=none", *QUICK[2:3], quiet=True)
    assert again.history["val/loss"] == winner.history["val/loss"]
    job = compose(["experiment=mlp-wine_best", "tracking=none"])
    assert job.config.tuner == {} and identity(job)
    # Extended without a better trial, the winner stays as it is.
    more = run_search("tuner=bayesian", "tuner.max_trials=4", *SPACE, *QUICK)
    longer = find_study("mlp-wine")
    assert longer.finished and len(longer.trials) == 4, more
    page = (study.folder / "report" / "search.html").read_text()
    assert "Plotly.newPlot" in page
    assert not re.search(r'<(script|link|img)[^>]*="http', page)  # needs no network


def test_a_finished_study_says_so_and_is_extended(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    scripted: ScriptedEngine,
) -> None:
    words = ["tuner=random", "tuner.study=s", "tuner.winner=none", *SPACE, *QUICK]
    run_search(*words, "tuner.max_trials=2")
    before = find_study("s")
    assert "is finished: 2 trials" in run_search(*words, "tuner.max_trials=2")
    text = run_search(*words, "tuner.max_trials=3")
    assert "2 trials so far" in text
    after = find_study("s")
    assert after.trials[:2] == before.trials and len(after.trials) == 3
    assert len({str(t.values) for t in after.trials}) == 3
    changed = run_search(*words, "tuner.max_trials=4", "batch_size=8", code=1)
    assert "config.batch_size" in changed and "the study s has 32. Received: 8" in changed
    other = ["tuner.space.batch_size={type: choice, values: [8, 16]}"]
    assert "tuner.space" in run_search(*words, *other, code=1)
    run_search(*words, "tuner.max_trials=1", "batch_size=8", "tuner.overwrite=true")
    assert len(find_study("s").trials) == 1
    # What it knows is told, running or not.
    assert kx_main(["search", "show", "s"]) == 0 and kx_main(["search", "show"]) == 0
    said = capsys.readouterr().out
    assert "study s: finished, 1 trial," in said and "optimizer.learning_rate=0.001" in said
    damaged = project / "studies" / "damaged" / "study.json"
    damaged.parent.mkdir()
    damaged.write_text("{")
    assert kx_main(["search", "show"]) == 0
    said = capsys.readouterr().out
    assert "study s" not in said and "s: finished" in said and "damaged: " in said
    assert kx_main(["search", "export", "s", "--csv"]) == 0
    [row] = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["state"] == COMPLETED and row["model.hidden_units"]
    assert kx_main(["search", "show", "t"]) == 1
    assert "There is no study 't'" in capsys.readouterr().err


def wait_until(condition: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_search_that_is_stopped_goes_on_to_the_same_trials(
    project: Path, how: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["tuner=random", "tuner.max_trials=3", "tuner.winner=none", *SPACE, *QUICK]
    words += ["epochs=40", "callbacks=none"]
    run_search(*words, "tuner.study=straight")
    straight = find_study("straight")
    process = search(*words, "tuner.study=k")
    second = project / "studies" / "k" / "trials" / "0002"
    wait_until(lambda: (second / "state" / "epoch-000002.npz").is_file())
    os.kill(process.pid, how)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == (130 if how == signal.SIGINT else -how), text
    left = {run["name"]: run["status"] for run in statuses(capsys)}
    assert left["k"] == ("LOST" if how == signal.SIGKILL else "KILLED")
    run_search(*words, "tuner.study=k")
    assert_same_trials("k", straight, epochs=40)


def statuses(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    capsys.readouterr()
    assert kx_main(["runs", "--json"]) == 0
    return list(json.loads(capsys.readouterr().out))


def assert_same_trials(name: str, straight: Study, epochs: int) -> None:
    """No trial is lost, none counts twice, none has an epoch twice."""
    study = find_study(name)
    assert [t.values for t in study.trials] == [t.values for t in straight.trials]
    assert [t.score for t in study.trials] == [t.score for t in straight.trials]
    runs = [r for r in list_runs(store_uri()) if r.data.tags.get("kx.search") == name]
    runs = [run for run in runs if run.data.tags["kx.kind"] == "trial"]
    assert len(runs) == len(straight.trials), "no run was begun twice"
    client = MlflowClient(store_uri())
    for run in runs:
        steps = [p.step for p in client.get_metric_history(run.info.run_id, "val/loss")]
        assert steps == list(range(1, epochs + 1))


@pytest.mark.slow
@pytest.mark.parametrize("what", ["search", "trial"])
def test_ten_kills_at_random_moments_lose_and_repeat_nothing(project: Path, what: str) -> None:
    """Of the search, with all that belongs to it; or of the process of a trial."""
    words = ["tuner=random", "tuner.max_trials=6", "tuner.winner=none", *SPACE, *QUICK]
    words += ["epochs=60", "callbacks=none", "launcher.max_retries=10"]
    run_search(*words, "tuner.study=straight")
    straight = find_study("straight")
    generator = random.Random(0)
    kills = 0
    process = search(*words, "tuner.study=k")
    while kills < 10:
        # Not before something has begun since the last kill: an import is no search.
        before = {r.pid for r in all_records()}
        wait_until(lambda: process.poll() is not None or {r.pid for r in all_records()} - before)  # noqa: B023
        time.sleep(generator.uniform(0.0, 3.0))
        running = [r for r in all_records() if is_locked(r.folder)]
        if process.poll() is not None:
            break
        if what == "search":
            process.kill()
            process.communicate()
            process = search(*words, "tuner.study=k")
        elif running:
            os.kill(running[0].pid, signal.SIGKILL)
        kills += 1
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    assert kills == 10, "it was over before the tenth kill: make it longer"
    assert_same_trials("k", straight, epochs=60)


@pytest.mark.slow
def test_hyperband_goes_on_with_the_weights_that_it_promotes(project: Path) -> None:
    words = ["tuner.max_epochs=4", "tuner.factor=2", "tuner.workers=2", *QUICK]
    run_search("tuner=hyperband", *SPACE, *words, "schedule=cosine",
               "callbacks=none")  # fmt: skip
    study = find_study("mlp-wine")
    promoted = [t for t in study.trials if t.goes_on_from]
    assert study.finished and promoted
    for trial in promoted:
        earlier = study.trial(trial.goes_on_from or 0)
        assert trial.values == earlier.values and trial.epochs > earlier.epochs
        assert trial.executions[0].run_id == earlier.executions[0].run_id
    # The winner's weights are those that were judged.
    winner = kx.load_run("latest")
    assert winner.metrics["best/val_accuracy"] == study.trial(study.winner or 0).score
    # As if the longest had been trained in one go.
    longest = max(promoted, key=lambda t: t.epochs)
    assert longest.epochs == 4
    alone = kx.train(
        *(word(k, v) for k, v in longest.values.items()), *QUICK, "epochs=4", "schedule=cosine",
        "callbacks=none", quiet=True,
    )  # fmt: skip
    curve = longest.executions[0].curve
    assert curve == alone.history["val/accuracy"]


def test_a_trial_that_fails_is_named_and_the_search_goes_on(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = "tuner.space.model={type: choice, values: [mlp, cnn]}"
    text = run_search("tuner=grid", model, *QUICK)
    study = find_study("mlp-wine")
    assert [t.state for t in study.trials] == [COMPLETED, FAILED]
    assert "expects images" in study.trials[1].error and "trial 2 failed" in text
    runs = [r for r in list_runs(store_uri()) if r.data.tags.get("kx.search")]
    assert {run.data.params["model"] for run in runs if run.data.params} == {"mlp"}
    text = run_search(
        "tuner=random", "tuner.study=bad", "model=cnn", "tuner.max_trials=2",
        "tuner.space.batch_size={type: choice, values: [8, 16]}", *QUICK, code=1,
    )  # fmt: skip
    assert "All 2 trials failed" in text and "expects images" in text
    assert "tuner.overwrite=true starts from the beginning" in text
    assert kx_main(["search", "show", "bad"]) == 0
    assert "study bad: failed" in capsys.readouterr().out
    assert "Traceback" not in text


def test_a_failure_is_tried_again_as_often_as_asked(
    project: Path, scripted: ScriptedEngine
) -> None:
    tried: list[int] = []

    def scores(config: Any, epoch: int) -> float:
        if epoch == 2 and not tried:
            tried.append(epoch)
            raise ValueError("not now")
        return accuracy(config, epoch)

    scripted.scores = scores
    words = ["tuner=random", "tuner.max_trials=2", "tuner.winner=none", *SPACE, *QUICK]
    run_search(*words, "tuner.max_retries_per_trial=1")
    study = find_study("mlp-wine")
    assert [t.state for t in study.trials] == [COMPLETED] * 2
    assert [t.tries for t in study.trials] == [1, 0]


@pytest.mark.slow
def test_a_trial_whose_process_is_killed_goes_on_though_not_for_ever(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "killed.py").write_text(
        "import os\nfrom pathlib import Path\nimport keras\n\n\n"
        "class Killed(keras.callbacks.Callback):\n"
        "    def __init__(self, by: int = 9, times: int = 1):\n"
        "        super().__init__()\n        self.by, self.times = by, times\n\n"
        "    def on_epoch_begin(self, epoch, logs=None):\n"
        "        file = Path(f'killed-{self.by}')\n"
        "        so_far = len(file.read_text()) if file.exists() else 0\n"
        "        if epoch == 1 and so_far < self.times:\n"
        "            file.write_text('x' * (so_far + 1))\n"
        "            os.kill(os.getpid(), self.by)\n"
    )
    words = ["tuner=random", "tuner.max_trials=1", "tuner.winner=none", *SPACE, *QUICK]
    words.append("+callbacks.killed._target_=killed.Killed")
    run_search(*words)
    [trial] = find_study("mlp-wine").trials
    assert trial.state == COMPLETED and len(trial.executions[0].curve) == 3
    # Asked to end by somebody else, as a machine does that is short of memory.
    monkeypatch.setattr("kx.search.search._MAX_STOPS", 2)
    again = ["+callbacks.killed.by=15", "+callbacks.killed.times=9", "tuner.study=asked"]
    text = run_search(*words, *again, code=1)
    assert "asked to end 3 times" in text and (project / "killed-15").read_text() == "xxx"


@pytest.mark.slow
def test_a_search_that_is_left_while_it_ends_is_ended_by_the_same_command(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["tuner=random", "tuner.max_trials=1", *SPACE, *QUICK]

    def left(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("kx.search.results.figures.write_figures", left)
        run_search(*words, code=130)
    assert not find_study("mlp-wine").finished

    def away(*args: object, **options: object) -> None:
        raise MlflowException("the store is away")

    with monkeypatch.context() as patched:
        patched.setattr("mlflow.MlflowClient.create_model_version", away)
        text = run_search(*words, code=1)
    assert "the store is away" in text and "the same command tells the tracking store" in text
    text = run_search(*words)
    assert "registered in MLflow: models:/mlp-wine@best (version 1)" in text
    study = find_study("mlp-wine")
    assert study.finished and len(study.trials) == 1
    # What somebody has written into the experiment stays, when the study is extended.
    experiment = project / "experiments" / "mlp-wine_best.yaml"
    mine = experiment.read_bytes() + "# 我的\n".encode("gbk")
    experiment.write_bytes(mine)
    experiment.with_suffix(".yaml.old").write_text("older")
    text = run_search(*words, "tuner.max_trials=2")
    assert "kept as mlp-wine_best.yaml.old1" in text
    assert experiment.with_suffix(".yaml.old1").read_bytes() == mine
    assert experiment.with_suffix(".yaml.old").read_text() == "older"
    assert mine not in experiment.read_bytes()


def test_an_objective_that_there_is_not_ends_the_search_at_once(project: Path) -> None:
    words = ["tuner.objective=val_acuracy", "tuner.objective_mode=max", "tuner.max_trials=5"]
    text = run_search("tuner=random", *words, *SPACE, *QUICK, code=1)
    assert "Did you mean 'val_accuracy'" in text
    assert len(find_study("mlp-wine").trials) == 1


def test_the_first_trial_of_a_range_is_on_a_step() -> None:
    space = {"x": {"type": "int", "min": 64, "max": 500, "step": 64}}
    parameters, _ = read_space(space)
    assert starting_values(parameters, {"x": 512}) == {"x": 448}
    assert parameters[0].admits(448)


@pytest.mark.slow
def test_a_search_gives_up_after_failures_in_a_row_and_goes_on_when_they_are_mended(
    project: Path,
) -> None:
    code = "import keras\n\n\nclass Now(keras.callbacks.Callback):\n    pass\n"
    fails = "\n    def on_train_begin(self, logs=None):\n        raise ValueError('not now')\n"
    (project / "now.py").write_text(code + fails)
    words = ["tuner=random", "tuner.max_trials=4", "tuner.max_consecutive_failed_trials=2"]
    words += ["tuner.winner=none", "+callbacks.now._target_=now.Now", *SPACE, *QUICK]
    with pytest.raises(AssertionError, match="All 2 trials failed.*not now"):
        run_search(*words)
    (project / "now.py").write_text(code)
    run_search(*words)
    states = [trial.state for trial in find_study("mlp-wine").trials]
    assert states == [FAILED, FAILED, COMPLETED, COMPLETED]


def test_a_search_over_texts_ends_with_an_experiment(
    project: Path, texts: Path, scripted: ScriptedEngine
) -> None:
    """Its data has a key without a default."""
    words = [*family_overrides("text", texts), "tuner.study=t", "tuner.max_trials=1"]
    text = run_search("tuner=random", *words, *QUICK[2:])
    assert "experiment=t_best" in text
    job = compose(["experiment=t_best"])
    assert job.config.data.path == str(texts) and job.choices["model"] == "lstm"


def test_an_ordinary_run_leaves_the_trials_of_a_search_alone(project: Path) -> None:
    run_search("tuner=random", "tuner.max_trials=1", "tuner.winner=none", *SPACE, *QUICK)
    [trial] = find_study("mlp-wine").trials
    same = [word(path, value) for path, value in trial.values.items()]
    run = kx.train(*QUICK, *same, "resume=auto", quiet=True)
    assert run.id != trial.executions[0].run_id


def test_executions_have_seeds_of_their_own(project: Path, scripted: ScriptedEngine) -> None:
    run_search("tuner=random", "tuner.max_trials=1", "tuner.executions_per_trial=2", *SPACE, *QUICK)
    [trial] = find_study("mlp-wine").trials
    scores = [e.score for e in trial.executions]
    assert trial.score == pytest.approx(sum(scores) / 2)  # type: ignore[arg-type]
    assert trial.spread is not None
    seeds = {kx.load_run(e.run_id).config["seed"] for e in trial.executions}
    assert seeds == {0, 1}


def test_a_grid_tries_each_combination_once_and_goes_on(
    project: Path, scripted: ScriptedEngine
) -> None:
    words = [
        "tuner=grid", "tuner.winner=none", "tuner.space.batch_size={type: choice, values: [8, 16]}",
        "tuner.space.model.dropout={type: choice, values: [0.0, 0.2]}", *QUICK, "epochs=1",
    ]  # fmt: skip
    run_search(*words, "tuner.max_trials=2")
    run_search(*words, "tuner.max_trials=9")
    study = find_study("mlp-wine")
    assert len(study.trials) == 4 == len({str(t.values) for t in study.trials})


@pytest.mark.slow
def test_a_grid_is_whole_where_a_key_depends_on_an_option(project: Path) -> None:
    words = [
        "tuner=grid", "tuner.winner=none", "model=linear", *QUICK, "epochs=1", "tracking=none",
        "tuner.space.optimizer={type: choice, values: [adam, momentum]}",
        "tuner.space.optimizer.momentum={type: choice, values: [0.5, 0.9]}",
        "tuner.space.optimizer.learning_rate={type: float, min: 1e-3, max: 7e-3, step: 3e-3}",
    ]  # fmt: skip
    run_search(*words)
    study = find_study("linear-wine")
    tried = {tuple(sorted(trial.values.items())) for trial in study.trials}
    rates = {dict(values)["optimizer.learning_rate"] for values in tried}
    assert rates == {0.001, 0.004, 0.007}
    assert len(tried) == len(study.trials) == 3 + 2 * 3
    assert (study.folder / "report" / "search.html").is_file()


def test_a_sweep_of_searches(project: Path, scripted: ScriptedEngine) -> None:
    words = ["tuner=random", "tuner.max_trials=1", "tuner.winner=none", *SPACE, *QUICK]
    text = run_search("-m", *words, "seed=0,1", "tuner.study='s-${seed}'")
    assert find_study("s-0").finished and find_study("s-1").finished, text
    assert "a name of its own" in run_search("-m", *words, "seed=0,1", code=1)


# --- pruners


@pytest.mark.parametrize(
    ("pruner", "curve", "others", "expected"),
    [
        (None, [0.1] * 9, [[0.9] * 9] * 9, True),
        ("median", [0.1] * 3, [[0.9] * 9] * 4, False),
        ("median", [0.1, 0.95, 0.1], [[0.9] * 9] * 4, True),  # its best counts
        ("median", [0.1] * 2, [[0.9] * 9] * 4, True),  # too early
        ("median", [0.1] * 3, [[0.9] * 9] * 3, True),  # too few others
        ("asha", [0.5] * 3, [[0.9] * 3, [0.1] * 3, [0.2] * 3], False),
        ("asha", [0.95] * 3, [[0.9] * 3, [0.1] * 3, [0.2] * 3], True),
        ("asha", [0.5] * 4, [[0.9] * 9] * 9, True),  # only at 3, 9, 27 …
        ("median", [0.5] * 3, [[0.1] * 9, [math.nan] * 9, [0.2] * 9, [0.1] * 9, [0.3] * 9], True),
        ("asha", [0.5] * 3, [[0.2] * 3, [math.nan] * 3, [math.nan] * 3], True),
        ("asha", [math.nan, 0.5, math.nan], [[0.9] * 3, [0.8] * 3, [0.1] * 3], False),
        ("median", [math.nan] * 3, [[0.9] * 3], False),
    ],
)
def test_pruners(
    pruner: str | None, curve: list[float], others: list[list[float]], expected: bool
) -> None:
    assert continues(pruner, curve, others, "max") is expected
    flipped = [[-v for v in other] for other in others]
    assert continues(pruner, [-v for v in curve], flipped, "min") is expected


def test_a_pruner_stops_trials(project: Path, scripted: ScriptedEngine) -> None:
    words = ["tuner=grid", "tuner.pruner=asha", "tuner.winner=none", *QUICK, "epochs=5"]
    rates = "tuner.space.optimizer.learning_rate={type: choice, values: [0.1, 1e-5, 1e-6, 1e-7]}"
    run_search(*words, rates)
    study = find_study("mlp-wine")
    states = [t.state for t in study.trials]
    assert states[0] == COMPLETED and PRUNED in states
    for trial in study.trials:
        expected = 3 if trial.state == PRUNED else 5
        assert trial.executions[0].epochs == expected


def test_a_study_is_named_by_what_it_searches(project: Path) -> None:
    assert study_name(compose(["tuner=random", "data=wine"])) == "mlp-wine"
    assert study_name(compose(["tuner=random", "experiment=digits_cnn"])) == "digits_cnn"


def test_a_study_is_written_whole(project: Path) -> None:
    study = Study("s", project / "studies" / "s", {"config": {}, "tuner": {}}, ("val_loss", "min"))
    study.save()
    assert find_study("s") == study
    (study.folder / "study.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        find_study("s")


@pytest.mark.parametrize(
    ("states", "begins_anew"), [(["FAILED"] * 2, True), (["FAILED", "COMPLETED"], False)]
)
def test_a_study_whose_trials_all_failed_begins_anew_with_another_config(
    project: Path, states: list[str], begins_anew: bool
) -> None:
    folder = project / "studies" / "s"
    old = Study("s", folder, {"config": {"epochs": 1}}, ("val_loss", "min"))
    old.trials = [
        Trial(number, str(number), {}, 1, state) for number, state in enumerate(states, 1)
    ]
    old.save()
    new = Study("s", folder, {"config": {"epochs": 2}}, ("val_loss", "min"))
    if begins_anew:
        assert earlier_study(new, {"overwrite": False}) is None
        return
    with pytest.raises(ConfigError, match="Received: 2"):
        earlier_study(new, {"overwrite": False})

"""The config room: what composes, what is refused, and how it is said."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kx.config import (
    CONF_DIR,
    Composed,
    add_project_to_path,
    compose,
    compose_all,
    project_dir,
    resolved,
)
from kx.config.checks.command_line import Similar
from kx.config.checks.values import annotation_of
from kx.config.signatures import signature_of
from kx.errors import ConfigError
from kx.run import main


def mistakes_of(*words: str) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        compose(list(words))
    return [(mistake.place, mistake.message) for mistake in caught.value.mistakes]


def test_a_typo_names_the_place_what_was_meant_and_what_exists(project: Path) -> None:
    [(place, message)] = mistakes_of("epochz=3")
    assert place == "command line: epochz=3"
    assert "Did you mean 'epochs'?" in message and "batch_size" in message


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("model=cnnn", "Did you mean 'cnn'?"),
        ("model.filterz=[3]", "Did you mean 'filters'?"),
        ("callbacks.early_stoping.patience=3", "Did you mean 'early_stopping'?"),
        ("learning_rate=0.1", "Did you mean 'optimizer.learning_rate'?"),
        ("epochs=many", "expected a whole number"),
        ("epochs=1.5", "expected a whole number"),
        ("model.dense_units=big", "expected a whole number"),
        ("model.filters=32", "expected a list"),
        ("deterministic=3", "expected true or false"),
        ("+model.foo=1", "has no argument 'foo'"),
        ("optimizer.learning_rate=-1", "greater than 0"),
        ("jit_compile=true", "deterministic=false"),
        ("jit_compile=maybe", "one of True, False, auto"),
        ("optimizer.lr=1", "Did you mean 'learning_rate'?"),
        ("++foo=3", "There is no key 'foo'"),
        ("epochs=3 seed=1", "Write: epochs=3 seed=1"),
        ("model.filters=[a]", "expected a list of numbers"),
        ("run_dir=ä", "Put quotes around"),
        ("data.class_names=[猫,a b,3]", """'data.class_names=["猫","a b",3]'"""),
        ("task.class_weights={red: 红}", "Put quotes around words"),
        ("data.normalize=null", "one of unit"),
        ("task.class_weights={红: 2}", "experiments/NAME.yaml"),
        ("+task.class_weights.红=2", "experiments/NAME.yaml"),
        ("data.cache=null", "one of auto, memory, disk"),
        ("epochs=0", "at least 1"),
        ("model.dropout=1", "less than 1"),
        ("precision=float31", "one of float32"),
        ("report.splits=[tets]", "one of train, validation, test"),
        ("data.cache=ram", "one of auto, memory, disk"),
        ("epochs", "Expected KEY=VALUE"),
        ("seed=1,2", "add -m"),
        ("model.filters=1,2", "[1,2]"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_clear_error(
    project: Path, word: str, said: str
) -> None:
    [(place, message)] = mistakes_of(word)
    assert place.startswith("command line") and word in place
    assert said in message


def test_all_mistakes_come_at_once_from_command_line_and_experiment(project: Path) -> None:
    (project / "experiments").mkdir()
    (project / "experiments" / "study.yaml").write_text(
        "epochz: 3\nmodel:\n  filterz: 3\noptimizer:\n  learning_rate: fast\n"
    )
    found = mistakes_of("experiment=study", "data=digitz", "batch_size=0")
    places = [place for place, _ in found]
    assert len(found) == 5
    assert "experiments/study.yaml, line 1" in places
    assert "experiments/study.yaml, line 3" in places
    assert "experiments/study.yaml, line 5" in places
    assert "command line: batch_size=0" in places


def test_an_experiment_that_chooses_a_missing_option_is_named(project: Path) -> None:
    (project / "experiments").mkdir()
    (project / "experiments" / "study.yaml").write_text("defaults:\n  - override /model: cnnn\n")
    [(place, message)] = mistakes_of("experiment=study")
    assert place == "experiments/study.yaml" and "Did you mean 'cnn'?" in message


def test_one_broken_experiment_does_not_stop_the_others(project: Path) -> None:
    (project / "experiments").mkdir()
    (project / "experiments" / "broken.yaml").write_text("epochs: [3\n")
    assert compose(["epochs=2"]).config.epochs == 2
    [(place, message)] = mistakes_of("experiment=broken")
    assert place.endswith("broken.yaml") and "YAML" in message


def test_the_command_line_wins_over_the_experiment_and_it_over_the_defaults(project: Path) -> None:
    (project / "experiments").mkdir()
    (project / "experiments" / "study.yaml").write_text(
        "defaults:\n  - override /model: mlp\nepochs: 7\noptimizer:\n  learning_rate: 1e-4\n"
    )
    job = compose(["experiment=study", "epochs=9"])
    assert job.choices["model"] == "mlp" and job.config.epochs == 9
    assert job.config.optimizer.learning_rate == 1e-4


def test_data_chooses_its_task_and_model_and_the_user_wins(project: Path) -> None:
    assert compose(["data=diabetes"]).choices["task"] == "regression"
    assert compose(["data=wine"]).choices["model"] == "mlp"
    assert compose(["data=wine", "model=linear"]).choices["model"] == "linear"
    assert compose(["model=linear", "data=wine"]).choices["model"] == "linear"


def test_augmentations_compose_in_order(project: Path) -> None:
    config = compose(["data=cifar10", "augment=[rotate,flip]"]).config
    assert list(config.augment) == ["rotate", "flip"]
    assert not compose(["augment=none"]).config.augment


def test_a_callback_is_patched_removed_or_added_by_name(project: Path) -> None:
    config = compose(
        ["callbacks.early_stopping.patience=3", "callbacks.checkpoint_best=null"]
    ).config
    assert config.callbacks.early_stopping.patience == 3
    assert config.callbacks.checkpoint_best is None
    added = compose(["+callbacks.mine={_target_: keras.callbacks.TerminateOnNaN}"]).config
    assert "mine" in added.callbacks


def test_a_schedule_takes_the_place_of_reduce_lr_on_plateau(project: Path) -> None:
    assert compose(["schedule=cosine"]).config.callbacks.reduce_lr_on_plateau is None
    assert compose([]).config.callbacks.reduce_lr_on_plateau is not None


def test_an_experiment_of_another_model_hides_none_of_the_keys_that_it_brings(
    project: Path,
) -> None:
    (project / "experiments").mkdir()
    (project / "experiments" / "own.yaml").write_text(
        "defaults:\n  - override /data: image_folder\n  - override /model: resnet\n  - _self_\n"
        "model: {depth: 8}\n"
    )
    with pytest.raises(ConfigError) as caught:
        compose(["experiment=own", "model=cnn", "data.root=here"])
    [mistake] = caught.value.mistakes
    assert "model.depth" in mistake.message and "own.yaml" in mistake.place


def test_a_sweep_makes_a_job_for_each_combination_and_reports_all_mistakes(project: Path) -> None:
    jobs = compose_all(["model=cnn,mlp", "seed=1,2"], multirun=True)
    assert [(j.choices["model"], j.config.seed) for j in jobs] == [
        ("cnn", 1), ("cnn", 2), ("mlp", 1), ("mlp", 2),
    ]  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        compose_all(["model=cnn,cnnn", "seed=1,x"], multirun=True)
    assert len(caught.value.mistakes) == 2


def test_the_project_is_the_nearest_folder_upward(project: Path) -> None:
    inside = project / "a" / "b"
    inside.mkdir(parents=True)
    assert project_dir(inside) == project
    (project / "a" / "conf").mkdir()
    assert project_dir(inside) == project / "a"


def test_debug_shortens_an_experiment_and_the_command_line_wins(project: Path) -> None:
    fast = compose(["debug=fast"]).config
    assert (fast.epochs, fast.steps_per_epoch, fast.evaluation_steps) == (1, 1, 1)
    overfit = compose(["experiment=digits_cnn", "debug=overfit"]).config
    assert overfit.overfit_batches == 1 and overfit.epochs == 200
    assert not overfit.augment and list(overfit.callbacks) == ["memorized"]
    assert compose(["debug=fast", "epochs=7"]).config.epochs == 7


def test_rules_are_for_our_keys_and_not_for_a_users_function(project: Path) -> None:
    (project / "conf" / "model").mkdir(parents=True)
    (project / "conf" / "model" / "own.yaml").write_text("_target_: own.net\nthreshold: 3\n")
    (project / "own.py").write_text("def net(inputs, outputs, *, threshold=3): ...\n")
    sys.path.insert(0, str(project))
    try:
        assert compose(["model=own", "tracking.tags.cache=x"]).config.model.threshold == 3
    finally:
        sys.path.remove(str(project))


def test_resolved_keeps_the_run_folder_symbolic(project: Path) -> None:
    config = resolved(compose([]).config)
    assert config["callbacks"]["checkpoint_best"]["filepath"].startswith("${run_dir}/")
    assert config["run_dir"] is None


def test_a_users_own_target_is_checked_without_importing_it(project: Path) -> None:
    (project / "conf" / "model").mkdir(parents=True)
    (project / "conf" / "model" / "tiny.yaml").write_text("_target_: mymodels.tiny\nunitz: 3\n")
    (project / "mymodels.py").write_text(
        "raise RuntimeError('imported')\ndef tiny(inputs, outputs, *, units=16): ...\n"
    )
    sys.path.insert(0, str(project))
    try:
        [(place, message)] = mistakes_of("model=tiny")
    finally:
        sys.path.remove(str(project))
    assert place == "conf/model/tiny.yaml, line 2"
    assert "model.unitz" in message and "Did you mean 'units'?" in message


@pytest.mark.parametrize("words", [["--help"], ["--cfg", "job"], ["epochz=3"], ["epochs=0"]])
def test_answers_before_anything_heavy_is_imported(words: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; from kx.run import main\n"
        f"code = main({words!r})\n"
        "heavy = {'tensorflow', 'keras', 'mlflow', 'sklearn', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\nsys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "AssertionError" not in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == (1 if words[0].startswith("epoch") else 0)


def test_help_lists_the_users_options_beside_ours(project: Path) -> None:
    (project / "conf" / "model").mkdir(parents=True)
    (project / "conf" / "model" / "tiny.yaml").write_text("_target_: mymodels.tiny\n")
    (project / "experiments").mkdir()
    (project / "experiments" / "study.yaml").write_text("epochs: 2\n")
    command = [sys.executable, "-m", "kx.run", "--help"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    own = sorted(path.stem for path in (CONF_DIR / "model").glob("*.yaml"))
    [models] = [line for line in printed.splitlines() if line.startswith("model: ")]
    assert models == f"model: {', '.join(sorted([*own, 'tiny']))}"
    assert "study" in printed and "digits_cnn" in printed


def test_no_traceback_but_on_request(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["epochz=3"]) == 1
    assert capsys.readouterr().err.startswith("kx: 1 mistake in the config")
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ConfigError):
        main(["epochz=3"])


def test_only_what_pip_has_not_installed_is_read_for_its_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large package may give its names otherwise than by its source, wherever it lies."""
    for place in ("own", "target"):
        package = tmp_path / place / f"{place}_package" / "inner"
        package.mkdir(parents=True)
        for folder in (package, package.parent):
            (folder / "__init__.py").touch()
        monkeypatch.syspath_prepend(tmp_path / place)
    (tmp_path / "target" / "target_package-1.0.dist-info").mkdir()
    assert signature_of("target_package.inner.function") is None
    with pytest.raises(LookupError, match="There is no 'function'"):
        signature_of("own_package.inner.function")


CNN_OR_NONE = (
    "model._target_=kx.models.images.convolutional.cnn,kx.models.images.convolutional.none"
)
SWEPT = [
    "model=mlp,linear", "seed=1,2", "seed=0,-1", "epochs=2,3", "epochs=0,5", "epochs=1,many",
    "optimizer.learning_rate=1e-3,3e-4", "optimizer.learning_rate=0.1,-1",
    "task.monitor=val_loss,val_accuracy", "model.filters=[8],[16]", "model.filters=[0],[8]",
    "data.normalize=unit,symmetric", "data.normalize=unit,units", "split.test_fraction=0.1,1.5",
    "callbacks.early_stopping=null", "+model.new=1,2", "tracking.tags.team=a,b",
    CNN_OR_NONE,
    "callbacks.early_stopping.monitor=val_loss,val_accuracy",
    "jit_compile=true,false", "augment=flip,[flip,mixup]", "tracking.run_name='a-${seed}',b",
]  # fmt: skip


@settings(max_examples=6, deadline=None)
@given(st.lists(st.sampled_from(SWEPT), min_size=1, max_size=3, unique=True))
@example([CNN_OR_NONE])
@example(["data.normalize=unit,units"])
@example(["model.filters=[16],[8,0]", "seed=1,2"])
@example(["tracking.run_name='a-${seed}',b", "seed=1,2"])
def test_the_jobs_of_a_sweep_are_as_if_each_was_composed_alone(words: list[str]) -> None:

    def result(jobs: Callable[[], list[Composed]]) -> Any:
        try:
            return [(job.config, job.overrides, job.choices) for job in jobs()]
        except ConfigError as error:
            return {(mistake.place, mistake.message) for mistake in error.mistakes}

    with mock.patch.object(Similar, "make", return_value=None):
        alone = result(lambda: compose_all(words, multirun=True))
    assert result(lambda: compose_all(words, multirun=True)) == alone


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        ("Count", [1, 8], [0, 1.5, "a", None, True, [1]]),
        ("Count | None", [None, 2], [0, "a"]),
        ("list[Count]", [[1, 2], []], [[0], ["a"]]),
        ("Sequence[Fraction] | Fraction", [0.5, [0.1, 0.2]], [1, [0.1, 1.5], "a"]),
        ("t.Fraction", [0.0, 0.9], [1.0, -0.1]),
        ("F", [0.5], [2]),
        ("'Count | float'", [3, 0.5, -1.0], ["a", None]),
        ("Count | str", [3, "auto"], [0, 0.5]),
        ("Literal['a', 'b'] | None", ["a", None], ["c", 1]),
        ("Optional[Count]", [None, 1], [0]),
        ("Count | Other", [0, "a", 1], []),  # of Other nothing is known
        ("int", [0, "a", None], []),
    ],
)
def test_a_users_own_annotations_say_which_values_are_taken(
    project: Path, annotation: str, good: list[Any], bad: list[Any]
) -> None:
    name = f"annotated_{abs(hash(annotation))}"
    (project / f"{name}.py").write_text(
        "raise RuntimeError('imported')\n"
        "import kx.types as t\n"
        "from collections.abc import Sequence\n"
        "from typing import Literal, Optional\n"
        "from kx.types import Count, Fraction, Fraction as F\n"
        f"def net(inputs, outputs, *, size: {annotation} = None): ...\n"
    )
    add_project_to_path()
    node = {"_target_": f"{name}.net"}
    found = annotation_of("model.size", "size", node)
    assert found is not None
    assert [value for value in good if found.problem(value)] == []
    assert [value for value in bad if not found.problem(value)] == []


def test_what_a_process_has_read_is_read_again_when_a_file_changes(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of options, experiments, the choices in them; a project's option before kx's."""
    assert compose(["data=wine", "model=mlp"]).config.model.hidden_units == [128, 64]
    own = project / "conf" / "model"
    own.mkdir(parents=True)
    shipped = (CONF_DIR / "model" / "mlp.yaml").read_text()
    (own / "mlp.yaml").write_text(shipped.replace("[128, 64]", "[7]"))
    assert compose(["data=wine", "model=mlp"]).config.model.hidden_units == [7]
    (own / "mlp.yaml").write_text(shipped.replace("[128, 64]", "[9]"))
    assert compose(["data=wine", "model=mlp"]).config.model.hidden_units == [9]
    (own / "mlp.yaml").unlink()
    first = compose(["data=wine", "model=mlp"]).config
    assert first.model.hidden_units == [128, 64]
    first.model.hidden_units = [1]  # a config is the caller's own
    assert compose(["data=wine", "model=mlp"]).config.model.hidden_units == [128, 64]
    (project / "experiments").mkdir()
    study = project / "experiments" / "study.yaml"
    study.write_text("defaults:\n  - override /model: mlp\nepochs: 7\n")
    job = compose(["experiment=study"])
    assert (job.choices["model"], job.config.epochs) == ("mlp", 7)
    study.write_text("defaults:\n  - override /model: linear\nepochs: 8\n")
    job = compose(["experiment=study"])
    assert (job.choices["model"], job.config.epochs) == ("linear", 8)
    other = tmp_path / "other"
    (other / "experiments").mkdir(parents=True)
    (other / "experiments" / "study.yaml").write_text("epochs: 9\n")
    monkeypatch.chdir(other)
    job = compose(["experiment=study"])
    assert (job.choices["model"], job.config.epochs) == ("cnn", 9)


def test_a_changed_experiment_of_a_conf_folder_is_read_again(project: Path) -> None:
    (project / "conf" / "experiment").mkdir(parents=True)
    mine = project / "conf" / "experiment" / "mine.yaml"
    for epochs in (7, 12345):
        mine.write_text(f"# @package _global_\nepochs: {epochs}\n")
        assert compose(["experiment=mine"]).config.epochs == epochs


def test_another_target_does_not_keep_the_keys_of_the_option(project: Path) -> None:
    (project / "mine.py").write_text(
        "import keras\n\n\ndef optimizer(learning_rate=0.1, momentum=0.0):\n"
        "    return keras.optimizers.SGD(learning_rate, momentum)\n\n\n"
        "class Stop(keras.callbacks.Callback):\n    def __init__(self, patience=1):\n"
        "        super().__init__()\n"
    )
    node = compose(["optimizer._target_=mine.optimizer"]).config.optimizer
    assert dict(node) == {"_target_": "mine.optimizer"}
    words = ["optimizer._target_=mine.optimizer", "optimizer.learning_rate=0.2"]
    assert dict(compose([*words, "+optimizer.momentum=0.9"]).config.optimizer) == {
        "_target_": "mine.optimizer", "learning_rate": 0.2, "momentum": 0.9,
    }  # fmt: skip
    # An experiment may do so too, and keeps what it sets itself.
    (project / "experiments").mkdir()
    (project / "experiments" / "own.yaml").write_text(
        "optimizer:\n  _target_: mine.optimizer\n  learning_rate: 0.3\n"
        "callbacks:\n  early_stopping:\n    _target_: mine.Stop\n"
    )
    config = compose(["experiment=own"]).config
    assert dict(config.optimizer) == {"_target_": "mine.optimizer", "learning_rate": 0.3}
    assert set(config.callbacks.early_stopping) == {"_target_", "patience"}  # which it takes, too
    # What a class takes whose source does not tell is not known: Keras's own keep the keys.
    word = "callbacks.early_stopping._target_=keras.callbacks.EarlyStopping"
    assert compose([word]).config.callbacks.early_stopping.patience == 10
    # A data option keeps what the pipeline reads, a task what kx reads and the function takes.
    (project / "tasks.py").write_text(
        "def task(targets, monitor='val_loss', monitor_mode='min'):\n    return None\n"
    )
    task = compose(["task._target_=tasks.task"]).config.task
    assert set(task) == {"_target_", "monitor", "monitor_mode"}

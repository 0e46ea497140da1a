"""A user's mistake on a command line: one message, which says what to do, and no traceback."""

from __future__ import annotations

import io
import logging
import random
import re
import shlex
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from kx.config import compose, compose_all, experiment_files, hydra_session, project_dir, resolved
from kx.config.checks.advice import quoted
from kx.config.checks.check import Checker
from kx.config.checks.command_line import read_words
from kx.config.checks.targets import needed_arguments
from kx.config.compose import load_yaml
from kx.config.messages import command_line, with_line
from kx.errors import ConfigError
from kx.run import main
from kx.search.keras_tuner_values import as_places, hyperparameters
from kx.search.oracle import Oracle
from kx.search.setup import checked
from kx.search.space import Parameter, read_space

LONG = "x" * 1500


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checker]:
    """One session for all, in an empty project: it reads each file once."""
    folder = tmp_path_factory.mktemp("empty")
    (folder / "pyproject.toml").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with hydra_session() as hydra:
            checker = Checker(hydra)
    yield checker


@pytest.fixture
def checker(session: Checker, new_project: Path) -> Checker:
    session.mistakes = []
    return session


def told(checker: Checker, *words: str, multirun: bool = False) -> dict[str, str]:
    """Place to message of the mistakes of a command line: one for each place."""
    checker.mistakes = []
    with pytest.raises(ConfigError) as caught:
        checker.compose_all(list(words), multirun=multirun)
    mistakes = caught.value.mistakes
    found = {item.place.removeprefix("command line: "): item.message for item in mistakes}
    assert len(found) == len(mistakes), mistakes
    return found


# --- keys and groups


DELETED = {
    "~epochs": "epochs is needed: it cannot be deleted. Set it: epochs=VALUE",
    "~seed": "seed is needed",
    "~steps_per_epoch": "Set it: steps_per_epoch=VALUE (or steps_per_epoch=null)",
    "~threads": "Set its keys: threads.KEY=VALUE",
    "~threads.intra_op": "is needed",
    "~report.splits": "is needed",
    "~tracking.uri": "(or tracking.uri=null)",
    "~tracking.tags": "is needed",
    "~data.cache": "is needed",
    "~data.drop_remainder": "is needed",
    "~task.monitor": "is needed",
    "~tuner.folds": "no key 'tuner.folds' to delete",
    "~launcher.workers": "is needed",
    "~model._target_": "is needed",
    "~model.dropuot": "Did you mean 'dropout'?",
    "~model.filters.0": "Set all of it: model.filters=[…]",
    "~epoch": "Did you mean 'epochs'?",
    "~hydra.verbose": "Hydra's own settings",
}
GROUPS = {
    "~hydra/launcher": "launcher.workers=N",
    "~model": "model is needed. Choose another option: autoencoder, bow_mlp, cnn",
    "~data": "data is needed",
    "~task": "task is needed",
    "~optimizer": "optimizer is needed",
    "~strategy": "strategy is needed",
    "~report": "another option: full, none.",
    "~tracking": "another option: mlflow, none.",
    "~launcher": "launcher is needed",
    "model=[cnn,mlp]": "Write: -m model=A,B",
    "optimizer=[adam]": "Write: optimizer=adam",
    "tuner=[random,grid]": "and not a list",
    "model=3": "There is no option 3 of model",
    "model=null": "expected an option of model. Received: null. Available: autoencoder, bow_mlp",
    "model=": "expected an option of model. Received: ''",
    "augment=null": "For none: augment=none",
    "augment=[null]": "There is no option null of augment",
    "augment=[[flip]]": "There is no option ['flip']",
    "optimizer={}": "optimizer.KEY=…",
    "model={_target_: a.b}": "model._target_=…",
    "tuner/space=null": "expected an option of tuner/space",
    "experiment={}": "expected an option of experiment",
    "experiment=null": "Received: null",
    "+model=mlp": "without +: model=mlp",
    "++tuner/space=mlp": "without +: tuner/space=mlp",
    "hydra=null": "Hydra's own settings",
}
VALUES = {
    "epochs={a: 1}": "expected a whole number. Received: {'a': 1}",
    "epochs.a=3": "expected a whole number",
    "+seed.b.c=3": "expected a whole number",
    "++batch_size=x": "expected a whole number. Received: 'x'",
    "+deterministic=false": "Write it without +: deterministic=false",
    "steps_per_epoch={}": "expected a whole number",
    "threads=null": "expected keys and values. Received: null",
    "report.splits=test": "expected a list of words: [a,b]. Received: 'test'",
    "report.splits=[null]": "expected a list of words",
    "tracking.tags.a=[1]": "{team: vision}",
    "tracking.uri=[a]": "expected a word",
    "precision={}": "expected a word",
    "backend=null": "expected a word. Received: null",
    "model.filters={a: 1}": "expected a list: [a,b]",
    "model.kernel_size={a: 1}": "expected a whole number",
    "model.filters.x=3": "its places are model.filters.0",
    "model.filters.7=3": "its places are model.filters.0",
    "threads.foo=1": "Available: inter_op, intra_op",
    "+report.foo=1": "There is no key 'report.foo'",
    "epochs@model=3": "@ places an option of a group",
    "hydra.run.dir=x": "run_dir=FOLDER",
    "hydra.job.env_copy=[NOPE]": "kx starts its jobs itself",
    "hydra.searchpath=[x]": "--config-dir",
    "hydra.callbacks={}": "callbacks.NAME",
}
# What only shows once the rest is composed.
COMPOSED = {
    "jit_compile=[true]": "one of True, False, auto",
    "data.cache=[memory]": "one of auto, memory, disk",
    "data.normalize={}": "one of unit",
    "task.monitor=[a]": "by its name",
    "task.monitor_mode={}": "one of min, max",
    "model.kernel_initializer={_target_: a..b}": "expected module.function",
    "+callbacks.mine=3": "or null to leave it out. Received: 3",
    "+augment.mine={probability: 1}": "or null to leave it out",
    "optimizer.learning_rate=-1": "greater than 0",
}


def test_each_mistake_is_told_once_at_its_place(checker: Checker) -> None:
    for expected in (DELETED, GROUPS, VALUES):
        found = told(checker, *expected)
        assert set(found) == set(expected), set(found) ^ set(expected)
        for word, text in expected.items():
            assert text in found[word], (word, found[word])
    found = told(checker, *COMPOSED)
    assert set(found) == set(COMPOSED), "a key that takes another's value is no second mistake"
    for word, text in COMPOSED.items():
        assert text in found[word], (word, found)
    assert "one of True" in told(checker, "jit_compile={a: 1}")["jit_compile={a: 1}"]
    assert "'nope' not found" in told(checker, "seed=${nope}")["seed=${nope}"]


def test_what_may_be_deleted_added_or_chosen_as_a_list_is(checker: Checker) -> None:
    words = ["~model.dropout", "~callbacks.early_stopping", "~experiment", "~optimizer.beta_1"]
    words += ["callbacks=[default,tensorboard]", "model.filters.0=8", "+optimizer.name=x"]
    words += ["+callbacks.mine={_target_: keras.callbacks.TerminateOnNaN}", "tracking.tags.a=1"]
    [job] = checker.compose_all(words, multirun=False)
    config = resolved(job.config)
    assert "dropout" not in config["model"] and "early_stopping" not in config["callbacks"]
    assert config["model"]["filters"][0] == 8 and config["optimizer"]["name"] == "x"
    assert "beta_1" not in config["optimizer"] and config["tracking"]["tags"] == {"a": "1"}
    [job] = checker.compose_all(["tuner=grid", "~augment", "~tuner/space"], multirun=False)
    assert not job.config.augment
    assert "needed" in told(checker, "tuner=grid", "~tuner.folds")["~tuner.folds"]


def test_an_argument_without_a_default_is_needed(checker: Checker, new_project: Path) -> None:
    assert "path" in needed_arguments("kx.data.sources.text.text_csv.text_csv")
    assert "path" not in needed_arguments("nowhere.at.all")
    found = told(checker, "data=text_csv", "~data.path")
    assert "data.path is needed" in found["~data.path"]


def test_keys_of_an_option_that_is_not_there_are_no_second_mistake(checker: Checker) -> None:
    assert set(told(checker, "model=nope", "model.hidden_units=[3]")) == {"model=nope"}
    assert set(told(checker, "data=nope", "data.path=x", "model.units=3")) == {"data=nope"}
    assert set(told(checker, "data=text_csv", "data.path=~/x.csv")) == {"data.path=~/x.csv"}
    words = ["model", "=", "mlp", "model.hidden_units=[3]"]
    assert set(told(checker, *words)) == {"model = mlp"}


def test_one_job_of_a_sweep_takes_no_keys_from_another(checker: Checker) -> None:
    """Hydra merges the files that it has loaded in place."""
    found = told(checker, "model=cnn,linear", "model.dropout=0.1", multirun=True)
    assert "There is no key 'model.dropout'" in found["model.dropout=0.1"]


def test_an_option_keeps_its_place(checker: Checker) -> None:
    for word in ("model@foo=cnn", "+model@foo=cnn", "model@_global_=mlp"):
        assert "Write: model=" in told(checker, word)[word]


# --- what Hydra's parser refuses

REFUSED = [
    "~/x.csv", "runs/epoch=3.csv", "a(1).csv", "(x", "x)", "#1", "wow!", "a;b", "a&b", "<x>", "`x`",
    "a^b", "${", "${x", "a\\${x", "[1,2", "1,2]", "{a: 1", "]", "}{", "'open", '"open', "=\\\\",
    "=3", "it's; \"so\"", "a=b=c", "ü", "猫 b", "a\nb", "foo(1)", "int(x)", "1,", ",", "a,,b",
    "x=\\", "e\u0301, \u202e", '"a"b', "[a=b,#", "a/b(c)/d,e", "C:\\a=b\\", "\\'=",
]  # fmt: skip


def advised(text: str) -> str:
    """The one command that a message gives, as a shell hands it over."""
    [word] = shlex.split(
        re.split(r"(?:Write|each|it|text|letters|word|them): ", text, maxsplit=1)[1]
    )
    return word


def test_each_advice_is_a_command_that_works(new_project: Path) -> None:
    words = [f"tracking.tags.t{i}={value}" for i, value in enumerate(REFUSED)]
    advice = []
    for word in words:
        overrides, mistakes = read_words([word], None)
        assert not overrides and len(mistakes) == 1, word
        advice.append(advised(mistakes[0].message))
    advice += [shlex.split(quoted(f"tracking.tags.u{i}", v))[0] for i, v in enumerate(REFUSED)]
    tags = resolved(compose(advice).config)["tracking"]["tags"]
    assert [tags[f"t{i}"] for i in range(len(REFUSED))] == REFUSED
    assert [tags[f"u{i}"] for i in range(len(REFUSED))] == REFUSED
    [job] = compose_all(advice, multirun=True)
    assert resolved(job.config)["tracking"]["tags"] == tags


def test_lists_and_mappings_are_mended_within(new_project: Path) -> None:
    lists = {
        "[猫,a b,3]": ["猫", "a b", 3],
        "[a=b,[#,1]]": ["a=b", ["#", 1]],
        "['a,b',!]": ["a,b", "!"],
    }
    for value, expected in {**lists, "{red: 红, b: [x=y]}": {"red": "红", "b": ["x=y"]}}.items():
        _, [mistake] = read_words([f"+task.class_weights={value}"], None)
        [override], _ = read_words([advised(mistake.message)], None)
        assert override.value() == expected


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["epochs", "=", "3"], "epochs=3"),
        (["epochs", "=3"], "epochs=3"),
        (["epochs=", "3"], "epochs=3"),
        (["epochs =3"], "epochs=3"),
        (["epochs = 3"], "epochs=3"),
        (["model", "=", "mlp", "epochs=3"], "model=mlp"),
        (["--epochs=3"], "epochs=3"),
        (["--epochs", "3"], "epochs=3"),
        (["-epochs=3"], "epochs=3"),
        (["model.filters=[8,", "16]"], "model.filters=[8, 16]"),
        (["tracking.tags={a:", "b,", "c:", "d}"], "tracking.tags={a: b, c: d}"),
        (["tracking.run_name='my", "own", "run'"], "tracking.run_name='my own run'"),
        (["tracking.run_name=my", "run"], 'tracking.run_name="my run"'),
        (["model[dropout]=0.1"], "model.dropout=VALUE"),
    ],
)
def test_a_mistake_of_several_words_is_one(words: list[str], command: str) -> None:
    _, [mistake] = read_words(words, None)
    assert advised(mistake.message) == command


def test_what_is_no_word_at_all_is_said_so() -> None:
    for word in ("", " ", "=", "=3", "+", "~", "+=", "epochs", "@=3"):
        _, [mistake] = read_words([word], None)
        assert mistake.message.startswith("Expected KEY=VALUE"), word
    expected = {
        "--multirn": "Did you mean '--multirun'?", "/model=cnn": "A key has letters",
        "épochs=3": "letters of English alone", "x=\udcff": "UTF-8",
        f"epochs={'[' * 3000}": "too many brackets",
        f"x={'[' * 99},!{']' * 99}": "too many brackets",
        f"x={'{a: ' * 999}b{'}' * 999}": "too many brackets", f"epochs={'9' * 5000}": "digits",
    }  # fmt: skip
    for word, said in expected.items():
        _, [mistake] = read_words([word], None)
        assert said in mistake.message, mistake.message
        assert len(mistake.message) < 1000 and len(mistake.place) < 400


def test_several_values_without_m_get_three_ways_to_write_them(checker: Checker) -> None:
    text = told(checker, "tracking.run_name=a,b")["tracking.run_name=a,b"]
    assert "add -m" in text and "tracking.run_name=[a,b]" in text
    checker.mistakes = []
    [job] = checker.compose_all([advised(text)], multirun=False)
    assert job.config.tracking.run_name == "a,b"


# --- sweeps


def jobs_of(checker: Checker, *words: str) -> list[list[str]]:
    checker.mistakes = []
    return [job.overrides for job in checker.compose_all(list(words), multirun=True)]


def test_globs_choose_options(checker: Checker) -> None:
    assert jobs_of(checker, "data=wine", "model=glob(lin*)") == [["data=wine", "model=linear"]]
    found = jobs_of(checker, "data=wine", "model=glob([lin*,ml*],exclude=mlx)")
    assert found == [["data=wine", "model=linear"], ["data=wine", "model=mlp"]]
    assert jobs_of(checker, "model=glob(lin*),mlp") == [["model=linear"], ["model=mlp"]]
    assert jobs_of(checker, "experiment=glob(digits_c*)") == [["experiment=digits_cnn"]]
    assert jobs_of(checker, "tuner=glob(*ran*)", "tuner=none") == [["tuner=none"]]


def test_a_sweep_without_values_or_with_too_many_is_refused(checker: Checker) -> None:
    expected = {
        "model=glob(zzz*)": "No option of model matches. Available: autoencoder, bow_mlp, cnn",
        "epochs=glob(*)": "'epochs' is none",
        "tuner=glob(_*)": "No option of tuner matches",
        "seed=range(4,1)": "no value",
        "batch_size=range(1,4,0)": "STEP not 0",
        "optimizer.learning_rate=range(0.1,inf)": "of numbers",
        "model.dropout=interval(0,1)": "An interval has no values of its own",
        "threads.intra_op=range(1,100000000)": "99999999 values; 10000 at most",
        "~model.l1=1,2": "A key is deleted or it is not",
    }
    found = told(checker, *expected, multirun=True)
    assert set(found) == set(expected)
    for word, text in expected.items():
        assert text in found[word]
    assert set(told(checker, "seed=x,y", multirun=True)) == {"seed=x", "seed=y"}
    many = told(checker, "seed=range(0,1000)", "epochs=range(1,100)", multirun=True)
    assert "99000 jobs" in many["command line"]


def test_the_words_of_a_sweep_stay_as_they_were_written(checker: Checker) -> None:
    words = ["tracking.run_name='a b'", "tracking.tags.x=${seed}"]
    assert jobs_of(checker, *words, "seed=1,2") == [[*words, "seed=1"], [*words, "seed=2"]]
    assert jobs_of(checker, "seed=range(1,3),7") == [["seed=1"], ["seed=2"], ["seed=7"]]


# --- long values and odd paths


def test_long_and_odd_values_are_values(checker: Checker, new_project: Path) -> None:
    words = [f"tracking.tags.a={LONG}", f"run_dir={'x/' * 1900}", f"init_from={LONG}"]
    [job] = checker.compose_all([*words, "data=text_csv", f"data.path={LONG}"], multirun=False)
    assert job.config.data.path == LONG
    keys = (f"model.{LONG}=3", f"epochs={LONG}", f"{LONG}=3", f"~{LONG}", f"callbacks.x={LONG}")
    keys += (f"run_dir={LONG}", f"run_dir={'x/' * 3000}", f"tracking.run_name={LONG}")
    for word in (*keys, f"model={LONG}", f"augment=[{LONG}]", f"model._target_=a.{LONG}"):
        [(place, text)] = told(checker, word).items()
        assert len(place) < 400 and len(text) < 1500, text
    space = "tuner.space.model.hidden_units={type: choice, values: [" + "[32]," * 200 + "[64, a]]}"
    assert with_line(command_line(space), "x").startswith("command line")
    assert with_line("x\0y", "x") == "x\0y" and with_line(LONG, "x") == LONG


def test_a_search_places_a_mistake_of_a_long_value(new_project: Path) -> None:
    node = f"tuner.space.batch_size={{type: choice, values: [{LONG}, 8]}}"
    base = compose(["data=wine", "tuner=grid", node])
    with pytest.raises(ConfigError) as caught:
        checked(base, dict(resolved(base.config)["tuner"]))
    assert [m.place for m in caught.value.mistakes] == ["tuner.space.batch_size"]
    long = compose(["data=wine", "tuner=grid", f"tuner.study={LONG}"])
    with pytest.raises(ConfigError, match="100 at most"):
        checked(long, dict(resolved(long.config)["tuner"]))


def test_a_folder_that_may_not_be_read_is_none(
    new_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refused)
    monkeypatch.setattr(Path, "is_dir", refused)
    assert project_dir() == new_project and experiment_files() == {}


def test_a_config_dir_that_is_no_path_is_told(new_project: Path) -> None:
    for name in (LONG, "a\0b", "nowhere"):
        with pytest.raises(ConfigError, match="There is no folder"), hydra_session([name]):
            pass


@pytest.mark.parametrize(
    "content",
    [b"epochs: [3\n", b"\xff\xfe", b"? [a]\n: 3\n", b"a: " + b"9" * 5000, b"[" * 500, b"- 1\n"],
    ids=["open", "utf-8", "list as key", "digits", "brackets", "list"],
)
def test_a_file_that_is_no_config_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"own\.yaml"):
        load_yaml(path)


# --- --cfg and --info


def test_cfg_shows_the_config_of_each_job(
    new_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def shown(*words: str, code: int = 0) -> str:
        assert main(list(words)) == code
        captured = capsys.readouterr()
        return captured.err if code else captured.out

    text = shown("-m", "data=wine", "seed=1,2", "tracking.tags.a=x", "--cfg", "job")
    one, two = yaml.safe_load_all(text)
    assert (one["seed"], two["seed"]) == (1, 2) and one["tracking"]["tags"] == {"a": "x"}
    assert "# job 2 of 2: data=wine seed=2 tracking.tags.a=x\n" in text and "hydra" not in one
    whole = yaml.safe_load(shown("--cfg", "all", "epochs=7", "--resolve"))
    assert whole["epochs"] == 7 and whole["hydra"]["overrides"]["task"] == ["epochs=7"]
    node = yaml.safe_load(shown("--cfg", "hydra"))
    assert list(node) == ["hydra"] and "help" not in node["hydra"]
    text = shown("data=wine", "-m", "seed=1,2", "--cfg", "job", "--package", "model")
    assert text.count("# @package model\n_target_: kx.models.tables.dense.mlp\n") == 2
    said = shown("--cfg", "job", "--package", "model.dropuot", code=1)
    assert "Did you mean 'dropout'?" in said and said.startswith("kx: --package")
    assert "goes with --cfg" in shown("--package", "model", code=1)
    assert "invalid choice" in shown("--cfg", "jobs", code=1)
    assert "There is no run 'nope'" in shown("--cfg", "job", "resume=nope", code=1)


def test_info_and_help_answer_for_a_sweep(
    new_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind, said, count in (("plugins", "Plugins", 0), ("defaults", "model/mlp", 2)):
        assert main(["--info", kind, "-m", "model=mlp,linear", "tracking.tags.a=1"]) == 0
        text = capsys.readouterr().out
        assert said in text and text.count("# job") == count
    own = logging.StreamHandler(io.StringIO())
    closed: list[int] = []
    own.close = lambda: closed.append(1)  # type: ignore[method-assign]
    assert main(["--help", "-m", "seed=1,2"]) == 0
    assert "seed: 1\n" in capsys.readouterr().out
    assert not closed  # absl's closes the stream that it writes to, be it whose it is
    assert main(["--info", "config", "~epochs"]) == 1
    assert "epochs is needed" in capsys.readouterr().err


def test_what_is_shown_of_a_config_has_no_secret(
    new_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["tracking.tags.api_key=s3cret-W0rd", "tracking.uri='http://bob:s3cret-Pw0@host/'"]
    for flags in (
        ["--cfg", "job"],
        ["--cfg", "all", "-m", "seed=1,2"],
        ["--cfg", "job", "--package", "tracking.tags.api_key"],
        ["--info", "all"],
        ["--help"],
    ):
        assert main([*flags, *words]) == 0
        said = capsys.readouterr()
        assert said.out and "s3cret" not in said.out + said.err, flags


# --- ranges with a step


def grid_of(node: dict[str, Any], default: Any = None) -> list[Any]:
    """What KerasTuner's own grid tries of one key."""
    parameters, mistakes = read_space({"x": node})
    assert not mistakes
    oracle = Oracle(settings("GridSearchOracle"), parameters, ("val_loss", "min"), {"x": default})
    found = []
    while (asked := oracle.ask(len(found) + 1)) is not None:
        found.append(asked[1]["x"])
        oracle.tell(asked[0], 1.0)
    return found


def settings(name: str, **more: Any) -> dict[str, Any]:
    return {
        "_target_": f"keras_tuner.oracles.{name}", "max_trials": None, "seed": 0,
        "start_with_defaults": False, **more,
    }  # fmt: skip


def by_hand(node: dict[str, Any]) -> list[Any]:
    low, high, step = (Decimal(str(node[key])) for key in ("min", "max", "step"))
    found = []
    while low <= high:
        found.append(int(low) if node["type"] == "int" else float(low))
        low = low * step if node.get("sampling") == "log" else low + step
    return found


def ranges(rng: random.Random) -> Iterator[dict[str, Any]]:
    while True:
        unit = Decimal(1).scaleb(-rng.randint(0, 4))
        low, step = rng.randint(-50, 50) * unit, rng.randint(1, 30) * unit
        high = low + step * rng.randint(1, 9) + unit * rng.choice([0, 0, 1, 2])
        yield {"type": "float", "min": float(low), "max": float(high), "step": float(step)}
        yield {"type": "int", "min": int(low), "max": int(low) + rng.randint(1, 40),
               "step": rng.randint(1, 20)}  # fmt: skip
        low, step = rng.choice([1, 2, 5]) * unit, rng.choice([2, 3, 10, Decimal("1.5")])
        high = low * step ** rng.randint(1, 5) * rng.choice([1, Decimal("1.2")])
        yield {"type": "float", "min": float(low), "max": float(high), "step": float(step),
               "sampling": "log"}  # fmt: skip


@pytest.mark.parametrize("count", [24, pytest.param(400, marks=pytest.mark.slow)])
def test_a_grid_has_each_value_of_a_range_with_a_step(count: int) -> None:
    assert grid_of({"type": "float", "min": 0.1, "max": 0.3, "step": 0.1}) == [0.1, 0.2, 0.3]
    third = {"type": "float", "min": 0, "max": 1, "step": 1 / 3}
    assert grid_of(third) == [0.0, 0.333333333333, 0.666666666667, 1.0]
    down = {"type": "float", "min": 0.01, "max": 1.0, "step": 10, "sampling": "reverse_log"}
    assert grid_of(down) == [0.01, 0.91, 1.0]
    rng = random.Random(0)
    for node, _ in zip(ranges(rng), range(count), strict=False):
        expected = by_hand(node)
        if len(expected) > 1:
            default = rng.choice([None, *expected])
            found = grid_of(node, default)
            assert sorted(found) == expected and len(set(found)) == len(found), node
            assert default is None or found[0] == default, node


@pytest.mark.parametrize(
    "name",
    ["RandomSearchOracle", pytest.param("BayesianOptimizationOracle", marks=pytest.mark.slow)],
)
def test_other_oracles_stay_on_the_steps_too(name: str) -> None:
    log = {"type": "float", "min": 1e-4, "max": 1e-2, "step": 10, "sampling": "log"}
    space = {"x": {"type": "float", "min": 0.1, "max": 0.7, "step": 0.1}, "y": log}
    parameters, _ = read_space(space)
    more = {"num_initial_points": 4} if name.startswith("Bayesian") else {}
    node = settings(name, max_trials=25, **more)
    oracle = Oracle(node, parameters, ("val_loss", "min"), {"x": 0.2})
    found = []
    for number in range(1, 9):
        asked = oracle.ask(number)
        if asked is None:
            break
        found.append(asked[1])
        oracle.tell(asked[0], asked[1]["x"])
    assert {item["x"] for item in found} <= {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7}
    assert {item["y"] for item in found} <= {1e-4, 1e-3, 1e-2} and len(found) > 5


def test_a_study_of_before_goes_on_by_places() -> None:
    parameter = Parameter("x", "float", min=0.1, max=0.3, step=0.1)
    old = {
        "space": [{"class_name": "Float", "config": {"name": "x", "min_value": 0.1}}],
        "values": {"x": 0.30000000000000004, "tuner/epochs": 3},
    }  # fmt: skip
    now = as_places(old, [parameter], {})
    assert now["values"] == {"x": 2, "tuner/epochs": 3}
    assert now["space"] == hyperparameters([parameter], {}).get_config()["space"]
    assert as_places(now, [parameter], {})["values"] == now["values"]


def test_a_step_is_counted_and_found_again() -> None:
    parameter = Parameter("x", "float", min=0.1, max=0.3, step=0.1)
    assert [parameter.at(i) for i in range(parameter.num_steps)] == [0.1, 0.2, 0.3]
    assert parameter.admits(0.3) and not parameter.admits(0.25)
    endless = Parameter("x", "int", min=0, max=10**12, step=7)
    assert endless.at(endless.num_steps - 1) == 10**12 - 10**12 % 7
    for word in ("[float]", "{}", "1e400"):
        assert read_space({"x": {"type": yaml.safe_load(word), "min": 0, "max": 1}})[1]
    _, [mistake] = read_space({"x": {"type": "int", "min": 0, "max": 10**400}})
    assert "expected max: a whole number" in mistake.message


def test_a_free_mapping_of_an_experiment_has_its_type(project: Path) -> None:
    (project / "experiments").mkdir(exist_ok=True)
    (project / "experiments" / "tags.yaml").write_text("tracking:\n  tags: 3\n")
    with pytest.raises(ConfigError, match="keys and values"):
        compose(["experiment=tags"])


def test_a_value_that_an_experiment_asks_for_is_not_the_options_own(project: Path) -> None:
    (project / "experiments").mkdir(exist_ok=True)
    asking = project / "experiments" / "asking.yaml"
    asking.write_text("defaults:\n  - override /model: cnn\n  - _self_\nmodel:\n  dropout: ???\n")
    with pytest.raises(ConfigError, match=r"This key has no value.*Set it: model.dropout="):
        compose(["experiment=asking"])
    assert compose(["experiment=asking", "model.dropout=0.1"]).config.model.dropout == 0.1


@pytest.mark.parametrize("data", ["image_folder", "image_masks", "easy_vqa"])
def test_the_size_of_an_image_is_two_numbers(checker: Checker, data: str) -> None:
    for size in ("[60]", "[60,0]", "[1,2,3]"):
        found = told(checker, f"data={data}", "data.root=x", f"data.image_size={size}")
        assert "[height, width]: two whole numbers, at least 1" in found["data.image_size=" + size]

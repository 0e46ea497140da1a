"""Random command lines: each ends in a config, or in one message that says what is wrong."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from fuzz.helpers import fuzz_count
from kx.config import hydra_session, plain, resolved
from kx.config.checks.check import Checker
from kx.errors import KxError
from kx.run import main
from kx.search.space import read_space

LONGEST_SECONDS = 20

# What goes together is one entry.
WORDS = [
    "model=mlp model.hidden_units=[32]", "data=wine", "optimizer=adamw", "augment=[flip,rotate]",
    "schedule=cosine", "callbacks=default", "experiment=digits_cnn", "debug=fast", "report=none",
    "tracking=none", "launcher=slurm", "strategy=mirrored", "transfer=fine_tune", "~augment",
    "epochs=3", "seed=1", "batch_size=16", "precision=mixed_float16", "deterministic=false",
    "jit_compile=auto", "model.dropout=0.1", "optimizer.learning_rate=1e-3", "data.cache=memory",
    "split.fold={number:1,of:3}", "threads.intra_op=2", "report.splits=[test]", "run_dir=here",
    "tracking.run_name='ab'", "tracking.tags.team=vision", "tracking.tags={a:b}", "resume=auto",
    "callbacks.early_stopping=null", "callbacks.early_stopping.patience=2", "backend=jax",
    "+callbacks.mine={_target_:keras.callbacks.TerminateOnNaN}", "task.monitor=val_loss",
    "task.class_weights={a:1}", "steps_per_epoch=null", "+optimizer.name=x", "++epochs=2",
    "~model.dropout", "~callbacks.early_stopping", "tracking.uri=sqlite:///x.db", "epochs=${seed}",
    "tuner=random tuner.max_trials=3", "tuner=grid tuner/space=mlp", "init_from=latest",
    "tuner=random tuner.space={batch_size:{type:choice,values:[8,16]}}", "model.filters=[8,16]",
    "tuner=grid tuner.space.model.dropout={type:float,min:0.1,max:0.3,step:0.1}",
]  # fmt: skip
SWEEPS = [
    "seed=1,2", "model=mlp,cnn", "model=glob(ml*)", "epochs=range(1,3)", "augment=[],[flip]",
    "optimizer.learning_rate=choice(1e-3,1e-4)", "model.dropout=0.1,0.2", "data=wine,digits",
]  # fmt: skip
FLAGS = [
    ["--cfg", "job"], ["--cfg", "all"], ["--cfg", "hydra", "--package", "hydra.job"],
    ["--cfg", "job", "--package", "model"], ["--cfg", "job", "--resolve"], ["--info", "defaults"],
    ["--info", "config"], ["--package", "model"],
]  # fmt: skip
ODD = [
    "~", "=", "(", ")", "[", "]", "{", "}", ",", "#", "%", "!", ":", "$", "${", "}", "\\", "'",
    '"', " ", "\n", "\t", "é", "猫", "\u202e", "\udcff", "@", "/", ".", "..", "-", "--", "+",
    "null", "???", "${model}", "${nope}", "${oc.env:NOPE}", "\x00", "*", "inf", "nan", "1e400",
]  # fmt: skip
VALUES = [
    "", "3", "-1", "0", "1.5", "true", "null", "[]", "{}", "[a,b]", "[null]", "[[1]]", "{a: 1}",
    "{_target_: a.b}", "{_target_: 3}", "word", "''", "a,b", "range(1,3)", "glob(*)", "???",
    "glob(zz*)", "interval(0,1)", "range(1,1e9)", "choice(a,[b])", "int(x)", "${seed}", "[a", "'a",
]  # fmt: skip
GROUPS = [
    "model", "data", "optimizer", "augment", "experiment", "tuner", "hydra", "tuner/space",
    "report", "debug", "hydra/launcher", "callbacks",
]  # fmt: skip


def command_line(rng: random.Random) -> list[str]:
    """A valid command line, then mistreated a few times."""
    words = " ".join(rng.sample(WORDS, rng.randint(1, 4))).split()
    if rng.random() < 0.15:
        words = ["-m", *words, rng.choice(SWEEPS)]
    if rng.random() < 0.1:
        words += rng.choice(FLAGS)
    for _ in range(rng.choice([0, 0, 1, 1, 1, 1, 2, 3, 5])):
        mistreatment = rng.choice(MISTREATMENTS)
        place = rng.randrange(len(words)) if words else 0
        mistreatment(rng, words, place)
        if not words:
            words = ["epochs=3"]
    return words


def delete(rng: random.Random, words: list[str], place: int) -> None:
    word = words.pop(place)
    if rng.random() < 0.5:  # the key itself
        words.append(f"~{word.partition('=')[0].lstrip('~+')}")


def repeat(rng: random.Random, words: list[str], place: int) -> None:
    words.insert(rng.randrange(len(words) + 1), words[place])


def misspell(rng: random.Random, words: list[str], place: int) -> None:
    letters = list(words[place])
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(letters) + 1)
        letters[at : at + rng.randint(0, 2)] = rng.choice(
            ["", "x", "z", letters[at - 1 :][:1] or ""]
        )
    words[place] = "".join(letters)


def mistype(rng: random.Random, words: list[str], place: int) -> None:
    words[place] = f"{words[place].partition('=')[0]}={rng.choice(VALUES)}"


def nest(rng: random.Random, words: list[str], place: int) -> None:
    key, _, value = words[place].partition("=")
    depth = rng.choice([1, 1, 2, 5, 40, 2000])
    how = rng.choice(["[]", "{}", "key"])
    if how == "[]":
        words[place] = f"{key}={'[' * depth}{value}{']' * depth}"
    elif how == "{}":
        words[place] = f"{key}={'{a: ' * depth}{value}{'}' * depth}"
    else:
        words[place] = f"{key}{'.a' * min(depth, 50)}={value}"


def quote(rng: random.Random, words: list[str], place: int) -> None:
    key, _, value = words[place].partition("=")
    sign = rng.choice(["'", '"', "`"])
    words[place] = f"{key}={sign}{value}{rng.choice([sign, ''])}"


def lengthen(rng: random.Random, words: list[str], place: int) -> None:
    key, _, value = words[place].partition("=")
    many = rng.choice(["a", "9", "é", "a/", "[", "a,"]) * rng.choice([300, 3000])
    words[place] = rng.choice([f"{key}={value}{many}", f"{key}{many}={value}", many])


def swap(rng: random.Random, words: list[str], place: int) -> None:
    group = rng.choice(GROUPS)
    prefix = rng.choice(["", "", "", "+", "++", "~"])
    package = rng.choice(["", "", "", "@foo", "@model.inner", "@_global_"])
    words[place] = f"{prefix}{group}{package}={rng.choice([*VALUES, 'cnn', 'flip', '[cnn,mlp]'])}"


def insert(rng: random.Random, words: list[str], place: int) -> None:
    at = rng.randrange(len(words[place]) + 1)
    words[place] = words[place][:at] + rng.choice(ODD) + words[place][at:]


def prefix(rng: random.Random, words: list[str], place: int) -> None:
    words[place] = rng.choice(["+", "++", "~", "-", "--", "/", "."]) + words[place]


def split(rng: random.Random, words: list[str], place: int) -> None:
    """As a shell does that was given no quotes."""
    at = rng.randrange(len(words[place]) + 1)
    words[place : place + 1] = [words[place][:at], words[place][at:]]


MISTREATMENTS: list[Callable[[random.Random, list[str], int], None]] = [
    delete, repeat, misspell, mistype, mistype, nest, quote, lengthen, swap, insert, insert, prefix,
    split,
]  # fmt: skip


@contextmanager
def ended_after(seconds: int) -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"it continues after {seconds} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome_of(
    words: list[str], checker: Checker, capsys: pytest.CaptureFixture[str]
) -> tuple[bool, str]:
    """Whether a command line is refused, and what is said."""
    if any(word.startswith("--") for word in words):
        code = main(words)
        out, err = capsys.readouterr()
        assert code in (0, 1), code
        return bool(code), err if code else out
    checker.mistakes = []
    multirun = "-m" in words
    try:
        jobs = checker.compose_all([word for word in words if word != "-m"], multirun=multirun)
        for job in jobs:
            resolved(job.config)
            read_space(plain(job.config.tuner, resolve=True).get("space") or {})
    except KxError as error:
        return True, str(error)
    return False, f"{len(jobs)} jobs"


def test_each_command_line_ends_in_a_config_or_in_a_message(
    new_project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOPE", raising=False)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    composed, refused, failures, slowest = 0, 0, [], 0.0
    with hydra_session() as hydra:
        checker = Checker(hydra)
        for seed in range(fuzz_count()):
            words = command_line(random.Random(seed))
            begun = time.monotonic()
            try:
                with ended_after(3 * LONGEST_SECONDS):
                    is_refused, text = outcome_of(words, checker, capsys)
                seconds = time.monotonic() - begun
                slowest = max(slowest, seconds)
                assert seconds < LONGEST_SECONDS, f"it took {seconds:.0f} s"
                assert text.strip(), "it says nothing"
                assert "Traceback" not in text
            except (Exception, SystemExit) as error:
                short = [word[:200] for word in words]
                failures.append(f"seed {seed}: {short}\n  {type(error).__name__}: {error}"[:1500])
                continue
            composed, refused = composed + (not is_refused), refused + is_refused
    print(
        f"{composed} composed, {refused} refused, {len(failures)} failed; at most {slowest:.1f} s"
    )
    assert not failures, "\n".join(failures)
    assert composed and refused

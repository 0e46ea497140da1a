"""No secret on the screen, in a log, an error, a file, a page or a list of processes."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from conftest import few

import kx.secrets
from kx.cli import main
from kx.secrets import REDACTED, redact, redact_word, scrub, without_credentials
from kx.tracking.store import full_uri, store_uri

ROOT = Path(__file__).resolve().parent.parent
SECRET = "s3cret-W0rd"


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test teaches `scrub` is not known to another."""
    monkeypatch.setattr(kx.secrets, "_known", set())
    monkeypatch.setattr(kx.secrets, "_server", "")
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://bob:pw@host:80/x", "http://bob:***@host:80/x"),
        ("postgresql://bob:p/w@d@host/db", "postgresql://bob:***@host/db"),
        ("http://TOKEN@host/x", "http://***@host/x"),
        ("https://host/x?token=abc&a=1", "https://host/x?token=***&a=1"),
        ("https://host/x?a=1&X-Amz-Signature=abc", "https://host/x?a=1&X-Amz-Signature=***"),
        ("s3://key:abc%2F@bucket", "s3://key:***@bucket"),
        ("http://host:5000/", "http://host:5000/"),
        ("sqlite:////a@b/mlflow.db", "sqlite:////a@b/mlflow.db"),
        ("bob@host", "bob@host"),
        ("postgresql://mlflow@db/mlflow", "postgresql://mlflow@db/mlflow"),
        ("sftp://alice@host/x", "sftp://alice@host/x"),
        ("http://host:8000/data@2024/x.npz", "http://host:8000/data@2024/x.npz"),
        ("http://h/x?design=2&author=bob;sigma=2", "http://h/x?design=2&author=bob;sigma=2"),
        ("https://h/x?a_sig=abc", "https://h/x?a_sig=***"),
        (
            "postgresql://admin@srv:s3cretpw@srv.azure.com/db",
            "postgresql://admin@srv:***@srv.azure.com/db",
        ),
        ("https://me@corp.com:s3cretpw@host", "https://***@corp.com:***@host"),
        (
            "mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3Ds3cretpw",
            "mssql+pyodbc:///?odbc_connect=***",
        ),
        ("HTTPS://token-abc@host/x", "HTTPS://***@host/x"),
    ],
)
def test_what_a_uri_carries_is_hidden(uri: str, shown: str) -> None:
    assert redact(uri) == shown == scrub(uri)
    word = redact_word(f"tracking.uri={uri}")  # it may hide more: {token: abc, …}
    assert f"tracking.uri={shown}".startswith(word) and len(word) > len("tracking.uri=http")
    assert scrub(f"no answer from '{uri}': try again") == f"no answer from '{shown}': try again"


def test_a_password_may_have_quotes() -> None:
    assert redact("postgresql://bob:pa'ss\"word@h/db") == "postgresql://bob:***@h/db"
    assert scrub("the password is pa'ss\"word") == "the password is ***"


def test_a_text_is_scrubbed_of_every_secret_that_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    redact({"api_key": f"key-{SECRET}", "uri": "http://bob:p%40ss%2Fword@host/"})
    monkeypatch.setenv("MY_API_TOKEN", "token-of-the-environment")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false-or-true")
    said = f"key-{SECRET} p@ss/word p%40ss%2Fword token-of-the-environment false-or-true"
    assert scrub(said) == "*** *** *** *** false-or-true"
    assert scrub("Authorization: Bearer abc.def-ghi") == "Authorization: Bearer ***"
    assert scrub("'Authorization': 'Basic YWJjZGVm'") == "'Authorization': 'Basic ***'"
    for text in ("Basic training", "the basic classifier", "bearer of the news"):
        assert scrub(text) == text
    redact({"mask_token": "mean", "pad_token": 0})
    assert scrub("the mean of all means") == "the mean of all means"


def test_what_stands_under_a_secret_key_is_hidden_whatever_it_is() -> None:
    assert redact({"api_key": 12345678, "pad_token": 3, "use_secret": True}) == {
        "api_key": REDACTED, "pad_token": 3, "use_secret": True,
    }  # fmt: skip
    assert redact({"credentials": {"user": "me", "value": ["abc"]}, "db_pwd": "x"}) == {
        "credentials": {"user": REDACTED, "value": [REDACTED]}, "db_pwd": REDACTED,
    }  # fmt: skip
    for word, shown in (
        ("+a={Authorization: 'Bearer abcdefgh', b: 1}", "+a={Authorization: ***, b: 1}"),
        ("+a={password:'a,b c'}", "+a={password:***}"),
        ('+a={my_token: "x y", other: z}', "+a={my_token: ***, other: z}"),
        ("+tracking.tags.api_key=1234", "+tracking.tags.api_key=***"),
        ("model.password.value=s3cretword", "model.password.value=***"),
        ("+a={Authorization: Bearer abcdefgh123, b: 1}", "+a={Authorization: ***, b: 1}"),
        ("+a={b: 1, password: correct horse battery}", "+a={b: 1, password: ***}"),
        ("+a={passwords: [abc, def], b: [1,2]}", "+a={passwords: ***, b: [1,2]}"),
        ("+a={password: {value: s3cretword}}", "+a={password: ***}"),
        ("+a={it: 'isn\\'t', X-Auth: abc}", "+a={it: 'isn\\'t', X-Auth: ***}"),
        ("model.token_embedding.units=64", "model.token_embedding.units=64"),
        ("+a={pad_token: 0, max_tokens: 12}", "+a={pad_token: 0, max_tokens: 12}"),
    ):
        assert redact_word(word) == shown
    assert scrub("correct horse battery, or s3cretword") == "***, or ***"


@pytest.mark.parametrize(
    "name", ["dbpass", "pass", "DB_PASS", "auth", "X-Auth", "Cookie", "signing_key", "AccountKey"]
)
def test_what_is_called_a_secret_is_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert redact({name: "abc"}) == {name: REDACTED}
    monkeypatch.setenv(name.replace("-", "_"), "a-secret-of-mine")
    assert scrub("it is a-secret-of-mine") == "it is ***"


@pytest.mark.parametrize("name", ["compass", "bypass", "author", "max_tokens", "passes", "keys"])
def test_what_is_not_called_a_secret_is_shown(name: str) -> None:
    assert redact({name: "abc"}) == {name: "abc"}


def test_short_passwords_are_hidden_as_words() -> None:
    assert redact_word("optimizer.password=hunter2") == "optimizer.password=***"
    assert scrub("Write: optimizer.password=hunter2 or hunter22") == (
        "Write: optimizer.password=*** or hunter22"
    )


def test_a_diff_has_no_secret_in_the_lines_about_a_change_either() -> None:
    redact({"password": SECRET})
    diff = f"@@ -1 +1 @@\n password: {SECRET}\n-old\n+uri: http://me:pw@host\n"
    assert scrub(diff) == "@@ -1 +1 @@\n password: ***\n-old\n+uri: http://me:***@host\n"


def test_user_and_password_of_a_server_go_where_mlflow_does_not_show_them() -> None:
    assert without_credentials("http://bob:p%40ss@host:5000/x") == "http://host:5000/x"
    assert os.environ.pop("MLFLOW_TRACKING_USERNAME") == "bob"
    assert os.environ.pop("MLFLOW_TRACKING_PASSWORD") == "p@ss"
    os.environ["MLFLOW_TRACKING_USERNAME"] = "eve"  # another store's: this one keeps its own
    assert without_credentials("http://bob:pw@host/") == "http://bob:pw@host/"
    del os.environ["MLFLOW_TRACKING_USERNAME"]
    for other in ("http://TOKEN@host/", "postgresql://bob:pw@host/db", "http://host/",
                  "http://host:5000/team@ml"):  # fmt: skip
        assert without_credentials(other) == other


def test_no_server_gets_the_password_of_another() -> None:
    assert store_uri("http://bob:pw1234@one:5000/") == "http://one:5000/"
    assert store_uri("http://one:5000/") == "http://one:5000/"
    with pytest.raises(kx.errors.KxError, match="password of one:5000"):
        store_uri("http://two/")
    assert store_uri("http://eve:pw1234@two/") == "http://eve:pw1234@two/"
    assert store_uri("sqlite:////x/mlflow.db") == "sqlite:////x/mlflow.db"


def test_a_runs_folder_has_no_password_and_who_needs_it_is_told() -> None:
    with pytest.raises(kx.errors.KxError, match="needs its password"):
        full_uri("postgresql://bob:***@host/db")
    given = "postgresql://bob:pw@host/db"
    assert full_uri("postgresql://bob:***@host/db", given) == given
    assert full_uri("http://host/", None) == "http://host/"
    old = full_uri("http://bob:***@host:5000", "http://bob:pw1234@host:5000")  # of an old record
    assert old == "http://host:5000"
    in_query = "postgresql://host/db?user=me&password=pw1234"
    assert full_uri(redact(in_query), in_query) == in_query


@pytest.mark.parametrize(
    "uri",
    few(
        [
            f"http://bob:{SECRET}@127.0.0.1:9/",
            f"http://{SECRET}@127.0.0.1:9/",
            f"postgresql://bob:{SECRET}@127.0.0.1:9/db",
        ],
        1,
    ),
)
@pytest.mark.parametrize("words", [["run", "data=wine", "model=linear", "epochs=1", "report=none"],
                                   ["runs"], ["evaluate", "latest"], ["doctor"], ["sync"]],
                         ids=lambda words: words[0])  # fmt: skip
def test_no_command_shows_the_password_of_a_store_that_does_not_answer(
    new_project: Path, words: list[str], uri: str, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if words[0] == "doctor":
        from kx.tracking.mlflow.health import health

        works, text = health(uri)  # the rest of it does not know the store
        assert not works and SECRET not in text
        return
    if words[0] in ("runs", "evaluate"):
        words = [*words, "--uri", uri]
    else:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    main(words)
    captured = capfd.readouterr()
    assert SECRET not in captured.out + captured.err
    for file in new_project.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes()


def test_a_misspelt_key_shows_no_secret(
    new_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for word in (f"tracking.tag.api_key={SECRET}", f"tracking.urj='http://bob:{SECRET}@host/'",
                 f"+tracking.taks={{my_token: {SECRET}}}"):  # fmt: skip
        assert main(["run", "data=wine", word]) == 1
        said = capsys.readouterr().err
        assert word.partition("=")[0] in said and SECRET not in said


def test_the_list_of_processes_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    from kx.commands import ui

    seen: dict = {}

    def started(command: list[str], env: dict[str, str], **_: object) -> object:
        seen.update(command=command, store=env["MLFLOW_BACKEND_STORE_URI"])
        raise KeyboardInterrupt

    monkeypatch.setattr(ui.subprocess, "Popen", started)
    uri = f"postgresql://bob:{SECRET}@host/db"
    with pytest.raises(KeyboardInterrupt):
        ui.open_ui(uri, host="127.0.0.1", port=0)
    assert seen["store"] == uri and SECRET not in " ".join(seen["command"])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_that_is_written_has_a_secret(tmp_path: Path) -> None:
    """A run, a sweep, a search, doctor and a dying server; a password wherever kx takes one."""
    project, server_folder = tmp_path / "project", tmp_path / "server"
    (project / "conf" / "tracking").mkdir(parents=True)
    server_folder.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--backend-store-uri",
         f"sqlite:///{server_folder}/mlflow.db", "--artifacts-destination", f"{server_folder}/a",
         "--port", str(port), "--workers", "1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        for _ in range(120):
            try:
                urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
                break
            except OSError:
                time.sleep(0.5)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "MY_SERVICE_TOKEN": f"env-{SECRET}"}
        base = ["data=wine", "model=linear", "report=none", f"+tracking.tags.api_key=tag-{SECRET}",
                f"tracking.uri='http://bob:{SECRET}@127.0.0.1:{port}/'"]  # fmt: skip
        said = ""
        for words in (
            ["kx.run", *base, "epochs=2"],
            [
                "kx.run",
                "-m",
                *base[:-2],
                f"+tracking.tags.api_key=one-{SECRET},two-{SECRET}",
                base[-1],
                "epochs=2",
                "launcher.workers=2",
            ],
            ["kx.run", *base, "epochs=1", "tuner=random", "tuner.max_trials=2"],
            ["kx", "doctor", *base],
            ["kx", "runs", "--uri", f"http://bob:{SECRET}@127.0.0.1:{port}/"],
        ):
            done = subprocess.run(
                [sys.executable, "-m", *words], cwd=project, env=environment, text=True,
                capture_output=True, timeout=600, check=False,
            )  # fmt: skip
            said += done.stdout + done.stderr
            assert done.returncode == 0, done.stdout + done.stderr
        dying = subprocess.Popen(
            [sys.executable, "-m", "kx.run", *base, "epochs=400"], cwd=project, env=environment,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        time.sleep(25)
        os.killpg(server.pid, signal.SIGKILL)
        time.sleep(20)
        dying.send_signal(signal.SIGINT)
        said += dying.communicate(timeout=240)[0]
    finally:
        try:
            os.killpg(server.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    assert "does not answer" in said and SECRET not in said
    shown = re.findall(r"\S*http://bob\S*", said)
    assert all(REDACTED in word for word in shown)
    for file in [*project.rglob("*"), *server_folder.rglob("*")]:
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


@pytest.mark.parametrize(
    "word",
    [
        "tracking.tags={password: [aSECRETb]}",
        "tracking={password: aSECRETb}",
        "tracking.tags=[{password: aSECRETb}]",
        "model={api_key: aSECRETb}",
        "optimizer.learning_rate={token: aSECRETb}",
        "callbacks.early_stopping.patience={token: aSECRETb}",
        "epochs={token: aSECRETb}",
        "+model={api_key: aSECRETb}",
        "launcher.parameters={password: aSECRETb",
        "--model.password=aSECRETb",
        "tracking.tag.password=aSECRETb",
    ],
)
def test_no_mistake_repeats_a_secret(
    new_project: Path, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "data=wine", word, "epochz=1"]) == 1
    captured = capsys.readouterr()
    assert "aSECRETb" not in captured.err + captured.out and "***" in captured.err


def test_a_mistake_in_a_file_shows_no_other_secret_of_it(
    new_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (new_project / "experiments").mkdir()
    (new_project / "experiments" / "mine.yaml").write_text(
        "tracking:\n  tags: [{hf_token: aSECRETb, auth: Bearer cSECRETd, password: eSECRETf}]\n"
    )
    assert main(["run", "experiment=mine"]) == 1
    assert "SECRET" not in capsys.readouterr().err


def test_a_secret_of_the_environment_is_one_under_any_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "hunter2tok")
    assert redact({"tags": {"tok": "hunter2tok", "a": "x hunter2tok"}}) == {
        "tags": {"tok": REDACTED, "a": f"x {REDACTED}"}
    }
    monkeypatch.setenv("DB_PASSWORD", "test")  # words of configs stay
    monkeypatch.setenv("PG_PASSWORD", "postgres")
    config = {"splits": ["test"], "uri": "postgresql://host/db"}
    assert redact(config) == config
    assert redact({"a": "Bearer abcdef", "b": "bearer of news"}) == {
        "a": f"Bearer {REDACTED}", "b": "bearer of news",
    }  # fmt: skip

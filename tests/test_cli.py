"""The commands on runs: list, evaluate, predict, export, reproduce, look."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from conftest import FAMILIES, family_overrides, few
from mlflow import MlflowClient
from processes import run

import kx
from kx.cli import main
from kx.commands.reproduce import reproduce as reproducing
from kx.commands.reproduce.reproduce import first_differences
from kx.contracts.fields import named_fields
from kx.errors import ExportError, RunNotFoundError
from kx.tracking.mlflow.run_list import best_run, list_runs
from kx.tracking.provenance import content_hash
from kx.tracking.records import all_records, lock
from kx.tracking.store import store_uri


def encoded_digits(folder: Path) -> list[Path]:
    """The same digit in each format that is decoded, in another size."""
    from PIL import Image
    from sklearn.datasets import load_digits

    pixels = (load_digits().images[3] * 15.9).astype("uint8")
    files = []
    for kind in ("png", "jpeg", "gif", "bmp", "webp"):
        files.append(folder / f"three.{kind}")
        Image.fromarray(pixels).resize((40, 30)).convert("RGB").save(files[-1])
    return files


# --- naming runs


def test_a_run_is_named_by_id_prefix_and_name(
    at_home: Path, trained: Callable[[str], kx.Run]
) -> None:
    run = trained("image")
    for name in (run.id, run.id[:8], run.name):
        assert kx.load_run(name).id == run.id
    # Names that a filter of MLflow would read otherwise, or match by a pattern.
    for name in ("a'b", "a; b", 'a"b', run.name.upper(), run.name[:-1] + "_", run.id[:8] + "%"):
        with pytest.raises(RunNotFoundError, match="There is no run"):
            kx.load_run(name)


def test_latest_is_the_newest_and_best_is_by_the_tasks_metric_and_direction(project: Path) -> None:
    for rate, epochs in ((1e-2, 6), (1e-5, 1)):
        words = ["report=none", "tracking.system_metrics=false", f"epochs={epochs}"]
        kx.train("data=wine", f"optimizer.learning_rate={rate}", *words, quiet=True)
    worst, best = list_runs(store_uri())
    assert kx.load_run("latest").id == worst.info.run_id
    assert kx.load_run("best", experiment="wine").id == best.info.run_id
    assert best_run([worst, best]).info.run_id == best.info.run_id
    score = "best/val_accuracy"
    assert best.data.metrics[score] > worst.data.metrics[score]


@pytest.mark.parametrize("name", ["nowhere", "zz"])
def test_a_run_that_is_not_there_is_an_error_with_the_latest(
    at_home: Path, trained: Callable[[str], kx.Run], name: str
) -> None:
    trained("image")
    with pytest.raises(RunNotFoundError, match="Latest runs: .*digits"):
        kx.load_run(name)


def test_no_run_at_all_says_how_to_start_one(
    new_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs"]) == 0
    assert "python -m kx.run" in capsys.readouterr().out
    assert main(["predict", "latest", "x"]) == 1
    assert "There is no run" in capsys.readouterr().err
    assert not (new_project / "mlflow.db").exists()


def test_runs_lists_filters_and_deletes(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = kx.train("data=wine", "epochs=1", "report=none", quiet=True)
    assert main(["runs"]) == 0
    assert run.id[:8] in capsys.readouterr().out
    assert main(["runs", "--json", "--filter", 'metrics."test/accuracy" >= 0']) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row["id"] == run.id and row["validation"]["accuracy"] == run.metrics["best/val_accuracy"]
    assert main(["runs", "--status", "FAILED", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["runs", "--filter", "nonsense ==="]) == 1
    capsys.readouterr()
    for words, said in (
        (["--status", "FINISHD"], "Did you mean 'FINISHED'?"),
        (["--limit", "0"], "at least 1"),
        (["--uri", "sqlite:////nowhere/x.db"], "no store"),
        (["best"], "kx runs delete RUN"),
    ):
        assert main(["runs", *words]) == 1
        assert said in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["runs", "delete", "latest"]) == 1
    assert "add --yes" in capsys.readouterr().out
    assert main(["runs", "delete", "latest", "--yes"]) == 0
    assert list_runs(store_uri()) == []


# --- evaluate


@pytest.mark.parametrize("family", few(FAMILIES, 2))
def test_evaluate_finds_the_numbers_of_the_run(
    at_home: Path,
    trained: Callable[[str], kx.Run],
    family: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    run = trained(family)
    assert main(["evaluate", run.id, "--out", str(tmp_path / "report")]) == 0
    assert "report.html" in capsys.readouterr().out
    found = json.loads((tmp_path / "report" / "report.json").read_text())["metrics"]
    for name, value in found.items():
        assert value == pytest.approx(run.metrics[f"test/{name}"], rel=1e-5, abs=1e-6)


def test_a_run_whose_process_is_gone_is_listed_as_lost(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As kill -9 leaves it: running, by the store and by its folder."""
    run = kx.train("data=wine", "epochs=1", "report=none", quiet=True)
    MlflowClient(run.uri).update_run(run.id, status="RUNNING")
    [record] = all_records()
    record.status = "RUNNING"
    record.write()
    capsys.readouterr()
    assert main(["runs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["status"] == "LOST"
    with lock(record.folder):
        assert main(["runs", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)[0]["status"] == "RUNNING"


def test_evaluate_on_other_data_keeps_the_runs_vocabulary_and_classes(
    at_home: Path, trained: Callable[[str], kx.Run], tmp_path: Path
) -> None:
    from kx.evaluation.evaluate_run import evaluate_run

    run = trained("binary")
    other = tmp_path / "other.csv"
    other.write_text(
        "review,sentiment\n" + "a wonderful film,good\nthe dull mess,bad\nI loved it,good\n" * 8
    )
    before = kx.load_run(run.id).metrics
    findings = evaluate_run(run, [f"data.path={other}", "split.test_fraction=0.5"])
    assert findings.metrics["accuracy"] >= 0
    assert kx.load_run(run.id).metrics == before  # the run's own scores stay


def test_evaluating_another_split_leaves_the_curves_alone(
    at_home: Path, trained: Callable[[str], kx.Run]
) -> None:
    run = trained("row")
    assert main(["evaluate", run.id, "--split", "train", "data.cache=memory"]) == 0
    assert main(["evaluate", run.id, "--split", "train"]) == 0
    again = kx.load_run(run.id)
    assert again.history == run.history
    assert again.metrics["train/accuracy"] == run.metrics["train/accuracy"]
    assert again.metrics["report_train/accuracy"] > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--split", "tset"], "no 'tset' split"),
        (["split.validation_fractio=0.2"], "Did you mean 'validation_fraction'"),
        (["epochs=3"], "Expected data="),
        (["data=wine"], "trained on image data"),
    ],
)
def test_evaluate_refuses_what_does_not_fit(
    at_home: Path,
    trained: Callable[[str], kx.Run],
    words: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["evaluate", trained("image").id, *words]) == 1
    assert said in capsys.readouterr().err


# --- predict


def test_predict_reads_every_image_format(
    at_home: Path,
    trained: Callable[[str], kx.Run],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = encoded_digits(tmp_path)
    assert main(["predict", trained("image").id, *map(str, files), "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert [answer["input"] for answer in answers] == [str(file) for file in files]
    for answer in answers:
        assert set(answer) == {"input", "label", "confidence", "probabilities"}
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert answer["confidence"] == max(answer["probabilities"].values())
        assert answer["probabilities"][answer["label"]] == answer["confidence"]
    assert main(["predict", trained("image").id, str(files[0])]) == 0
    assert answers[0]["label"] in capsys.readouterr().out


def test_predict_takes_texts_and_rows(
    at_home: Path, trained: Callable[[str], kx.Run], tmp_path: Path
) -> None:
    [text] = trained("text").predict(["a wonderful film"])
    assert text["label"] in ("happy", "calm", "angry")
    row = trained("row")
    columns = row.bundle().spec()["inputs"].column_names
    numbers = [13.0, 2.0, 2.3, 17.0, 100.0, 2.8, 3.0, 0.3, 2.0, 5.0, 1.0, 3.0, 1000.0]
    line = ",".join(map(str, numbers))
    file = tmp_path / "wines.csv"
    file.write_text(",".join(columns) + f"\n{line}\n{line}\n")
    assert main(["predict", row.id, "-" + line]) == 0  # a number below 0 is no flag
    one, two, three, four = row.predict([line, numbers, file])
    assert one["probabilities"] == two["probabilities"] == three["probabilities"]
    assert three["input"].endswith("wines.csv:2") and four["input"].endswith(":3")
    [number] = trained("number").predict(["59,2,32.1,101,157,93.2,38,4,4.86,87"])
    assert set(number) == {"input", "value"} and 0 < number["value"] < 500
    [labels] = trained("multilabel").predict(["a dull mess"])
    assert set(labels["probabilities"]) == {"funny", "sad"}


@pytest.mark.parametrize(("family", "bad"), [("image", "text.png"), ("row", "1,2,3")])
def test_predict_names_the_input_that_it_cannot_read(
    at_home: Path,
    trained: Callable[[str], kx.Run],
    tmp_path: Path,
    family: str,
    bad: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "text.png").write_text("not an image")
    word = str(tmp_path / bad) if bad.endswith("png") else bad
    assert main(["predict", trained(family).id, word]) == 1
    said = capsys.readouterr().err
    assert word in said and "xpected" in said and "Traceback" not in said
    assert main(["predict", trained("image").id, "nowhere.png"]) == 1
    assert "takes image files" in capsys.readouterr().err
    assert main(["predict", trained("image").id, str(tmp_path)]) == 1
    assert "is a folder" in capsys.readouterr().err


def test_an_empty_text_is_a_text(at_home: Path, trained: Callable[[str], kx.Run]) -> None:
    [answer] = trained("text").predict([""])
    assert sum(answer["probabilities"].values()) == pytest.approx(1.0)


# --- export


@pytest.mark.parametrize(
    "family", few(["image", "text", *sorted({*FAMILIES} - {"image", "text"})], 2)
)
def test_an_export_takes_raw_input_and_answers_like_the_model(
    at_home: Path, trained: Callable[[str], kx.Run], family: str, tmp_path: Path
) -> None:
    run = trained(family)
    folder = run.export(tmp_path / "exported")
    assert {path.name for path in folder.iterdir()} == {
        "saved_model", "model.keras", "model.weights.h5", "spec.json",
    }  # fmt: skip
    loaded = tf.saved_model.load(str(folder / "saved_model"))
    raw, answers = run.bundle().examples()
    fields = named_fields(raw, "inputs")
    found = loaded.signatures["serving_default"](**fields)
    assert set(found) == set(answers)
    for name, value in answers.items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(found[name], value, atol=1e-5)
        else:
            np.testing.assert_array_equal(found[name].numpy(), value)
    first = {name: value[:1] for name, value in fields.items()}
    one = loaded.signatures["serving_default"](**first)
    assert len(next(iter(one.values()))) == 1


def test_an_export_that_differs_is_an_error_and_is_removed(
    at_home: Path,
    trained: Callable[[str], kx.Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = kx.load_run(trained("row").id)
    true_examples = type(run.bundle()).examples

    def wrong(self: object) -> object:
        raw, answers = true_examples(self)  # type: ignore[arg-type]
        return raw, {k: v + 0.1 if v.dtype.kind == "f" else v for k, v in answers.items()}

    monkeypatch.setattr(type(run.bundle()), "examples", wrong)
    with pytest.raises(ExportError, match="largest difference"):
        run.export(tmp_path / "exported")
    assert list(tmp_path.iterdir()) == []


def test_an_export_does_not_overwrite_unasked(
    at_home: Path, trained: Callable[[str], kx.Run], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("kx.export.export._compare", lambda *_: {})  # in a fresh process
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    for overwrite in (False, True):
        with pytest.raises(ExportError, match="no earlier export"):
            trained("row").export(tmp_path / "mine", overwrite=overwrite)
    assert (tmp_path / "mine" / "thesis.tex").exists()
    folder = trained("row").export(tmp_path / "exported")
    with pytest.raises(ExportError, match="--overwrite"):
        trained("row").export(folder)
    assert trained("row").export(folder, overwrite=True) == folder


@pytest.mark.parametrize("name", ["v[1]", "b*", "what?", "back\\slash"])
def test_an_export_to_where_tensorflow_could_not_load_it_is_refused(
    at_home: Path, trained: Callable[[str], kx.Run], tmp_path: Path, name: str
) -> None:
    for folder in (tmp_path / name, tmp_path / name / "model"):
        with pytest.raises(ExportError, match=r"for a pattern.*Choose another folder: --out DIR"):
            trained("row").export(folder)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    for where in (tmp_path / "file" / "x", Path("/proc/x")):
        with pytest.raises(ExportError, match="cannot be made"):
            trained("row").export(where)


# --- reproduce


@pytest.mark.parametrize("family", few(["row", "image", "text", "number"], 1))
def test_reproduce_is_equal_bit_for_bit(
    at_home: Path,
    trained: Callable[[str], kx.Run],
    family: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["reproduce", trained(family).id]) == 0
    assert "equal bit for bit" in capfd.readouterr().out


def write_model(project: Path, activation: str) -> None:
    """A model of the user's own, whose code may change between two runs."""
    (project / "conf" / "model").mkdir(parents=True, exist_ok=True)
    (project / "conf" / "model" / "tiny.yaml").write_text("_target_: mymodels.tiny\nunits: 4\n")
    (project / "mymodels.py").write_text(
        "import keras\n"
        "def tiny(inputs, outputs, *, units: int = 4):\n"
        "    x = keras.Input(inputs.shape)\n"
        f"    h = keras.layers.Dense(units, activation={activation!r})(x)\n"
        "    return keras.Model(x, keras.layers.Dense(outputs.units)(h))\n"
    )


def train_tiny() -> None:
    done = run("model=tiny", "data=wine", "epochs=2", "report=none")
    assert done.returncode == 0, done.stdout


def test_reproduce_shows_where_a_run_first_differs(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The user's own model has changed since: other code, other numbers."""
    write_model(project, "relu")
    train_tiny()
    write_model(project, "tanh")
    assert main(["reproduce", "latest"]) == 1
    printed = capfd.readouterr().out
    assert "NOT reproduced" in printed and "first in epoch 1" in printed
    assert "train/loss" in printed and "the current files" in printed
    # What was run to check a run is no run to continue.
    assert "again" not in kx.load_run("latest").name


def test_another_file_of_weights_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "base.weights.h5"
    file.write_bytes(b"one")
    tags = {"kx.cwd": str(tmp_path), "kx.weights_sha256": str(content_hash(file))}

    def told(weights: str) -> str:
        run = SimpleNamespace(config={"model": {"weights": weights}})
        reproducing._warn_of_weights(run, tags)  # type: ignore[arg-type]
        return capfd.readouterr().out

    names = (str(file), file.name, f"~/{file.name}")
    assert [told(name) for name in names] == ["", "", ""]
    file.write_bytes(b"other")
    assert all("is not the file any more" in told(name) for name in names)
    file.unlink()
    assert all("is not there any more" in told(name) for name in names)


@pytest.mark.slow
def test_reproduce_compares_the_epochs_of_a_run_that_was_stopped(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (project / "stopping.py").write_text(
        "import keras\n\n\n"
        "class Stop(keras.callbacks.Callback):\n"
        "    def __init__(self, after: int = 0):\n"
        "        super().__init__()\n        self.after = after\n\n"
        "    def on_epoch_begin(self, epoch, logs=None):\n"
        "        if epoch == self.after and __import__('os').environ.get('STOP'):\n"
        "            raise KeyboardInterrupt\n"
    )
    words = ["data=wine", "epochs=4", "report=none"]
    stop = ["+callbacks.stop._target_=stopping.Stop", "+callbacks.stop.after=2"]
    monkeypatch.syspath_prepend(project)
    with monkeypatch.context() as patched:
        patched.setenv("STOP", "1")
        assert main(["run", *words, *stop]) == 130
    assert main(["reproduce", "latest"]) == 0
    said = capfd.readouterr().out
    assert "is KILLED: its 2 epochs are compared" in said and "of 2 epochs" in said


@pytest.mark.slow
def test_reproduce_takes_a_clean_commit_from_a_worktree(
    new_project: Path, needs_git: None, capfd: pytest.CaptureFixture[str]
) -> None:
    """Clean though kx's own outputs lie there and no .gitignore names them."""
    write_model(new_project, "relu")
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    for words in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "first"]):
        subprocess.run(["git", *words], check=True)
    train_tiny()
    write_model(new_project, "tanh")
    subprocess.run(["git", *identity, "commit", "-qam", "second"], check=True)
    assert main(["reproduce", "latest"]) == 0
    assert "temporary worktree" in capfd.readouterr().out
    listed = subprocess.run(["git", "worktree", "list"], capture_output=True, text=True, check=True)
    assert len(listed.stdout.splitlines()) == 1  # the worktree is gone


def test_the_first_difference_is_found() -> None:
    recorded = {"train/loss": [3.0, 2.0, 1.0], "epoch_seconds": [1.0, 1.0, 1.0]}
    assert first_differences(recorded, {**recorded, "epoch_seconds": [9.0, 9.0, 9.0]}) == []
    later = {**recorded, "train/loss": [3.0, 2.0, 1.0 + 1e-15]}
    assert first_differences(recorded, later) == [(3, "train/loss", 1.0, 1.0 + 1e-15)]
    shorter = {**recorded, "train/loss": [3.0]}
    assert first_differences(recorded, shorter)[0][:2] == (2, "train/loss")
    nan = {"train/loss": [float("nan")]}
    assert first_differences(nan, nan) == []


# --- looking before running


@pytest.mark.parametrize("family", ["image", "row", "text"])
def test_summary_shows_the_model_without_training(
    new_project: Path, texts: Path, family: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [w for w in family_overrides(family, texts) if "bootstrap" not in w]
    assert main(["summary", *words]) == 0
    printed = capsys.readouterr().out
    for word in ("Total params", "FLOPs", "activations", "prepared input", "train examples"):
        assert word in printed
    assert not (new_project / "runs").exists() and not (new_project / "mlflow.db").exists()


def test_summary_counts_the_operations_of_a_dense_net() -> None:
    import keras

    from kx.commands.summary import forward_flops, memory_bytes
    from kx.fit.model.learner import Built

    model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(20, use_bias=False)])
    assert forward_flops(model) == 2 * 10 * 20
    x = keras.Input((None,), dtype="int32")
    h = keras.layers.Dense(4)(keras.layers.Embedding(9, 3)(x))
    of_texts = keras.Model(x, h)  # of any length
    assert forward_flops(of_texts, length=50) == 50 * forward_flops(of_texts)
    built = Built(of_texts, of_texts)
    of_texts.compile("sgd", "mse")
    assert memory_bytes(built, 8, 50)["activations"] == 50 * memory_bytes(built, 8)["activations"]


@pytest.mark.parametrize("words", [[], ["data=cifar10", "augment=[crop_flip,rotate]"]])
def test_data_show_writes_a_picture(
    project: Path, words: list[str], tfds_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if words:
        words = [*words, f"data.data_dir={tfds_folder}"]
    assert main(["data", "show", *words, "--out", "grid.png", "--num", "4"]) == 0
    assert (project / "grid.png").read_bytes().startswith(b"\x89PNG")
    assert "classes" in capsys.readouterr().out


def test_data_show_prints_texts_as_a_table(
    project: Path, texts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data=text_csv", f"data.path={texts}", "data.text=review", "data.label=mood"]
    assert main(["data", "show", *words]) == 0
    assert "angry" in capsys.readouterr().out


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    printed = capsys.readouterr().out
    for verb in ("run", "runs", "ui", "evaluate", "predict", "export", "reproduce", "summary"):
        assert f"\n    {verb}" in printed
    with pytest.raises(SystemExit):
        main(["--version"])
    assert kx.__version__ in capsys.readouterr().out


def test_mistyped_commands_and_words_ask_what_was_meant(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["docter"]) == 2
    assert "Did you mean 'doctor'?" in capsys.readouterr().err
    assert main(["run", "resume=atuo"]) == 1
    assert "Did you mean 'auto'?" in capsys.readouterr().err

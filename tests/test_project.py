"""A user's own project: an empty folder, one function and one YAML file, kx from its wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import REPOSITORY

from kx.run import main

TINY = """import keras


def tiny(inputs, outputs, *, units: int = 16):
    x = keras.Input(inputs.shape)
    h = keras.layers.Dense(units, activation="relu")(keras.layers.Flatten()(x))
    return keras.Model(x, keras.layers.Dense(outputs.units)(h))
"""


@pytest.fixture(scope="module")
def wheel_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, as pip would put it into site-packages."""
    built = tmp_path_factory.mktemp("wheel")
    # No isolation: the build needs no network then; hatchling is one of the dev packages.
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(built), "."],
        cwd=REPOSITORY, check=True, capture_output=True,
    )  # fmt: skip
    [wheel] = built.glob("*.whl")
    installed = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(installed)
    return installed


@pytest.fixture
def own_project(tmp_path: Path) -> Path:
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "experiments").mkdir()
    (tmp_path / "conf" / "model" / "tiny.yaml").write_text("_target_: mymodels.tiny\nunits: 24\n")
    (tmp_path / "experiments" / "study.yaml").write_text(
        "defaults:\n  - override /model: tiny\n  - _self_\n\nepochs: 2\nmodel:\n  units: 32\n"
    )
    (tmp_path / "mymodels.py").write_text(TINY)
    return tmp_path


def run_in(folder: Path, wheel_folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(wheel_folder)}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_the_wheel_carries_options_and_experiments(wheel_folder: Path, tmp_path: Path) -> None:
    done = run_in(tmp_path, wheel_folder, "-c", "import kx; print(kx.__file__)")
    assert done.stdout.strip().startswith(str(wheel_folder))
    for folder in ("conf", "experiments"):
        ours = {p.relative_to(REPOSITORY) for p in (REPOSITORY / folder).rglob("*.yaml")}
        theirs = {
            p.relative_to(wheel_folder / "kx")
            for p in (wheel_folder / "kx" / folder).rglob("*.yaml")
        }
        assert ours == theirs
    assert (wheel_folder / "kx" / "report" / "page.html").is_file()


@pytest.mark.parametrize(
    "start",
    [["-m", "kx.run"], pytest.param(["-m", "kx", "run"], marks=pytest.mark.slow)],
    ids=["module", "verb"],
)
def test_a_users_own_model_and_experiment_run(
    wheel_folder: Path, own_project: Path, start: list[str]
) -> None:
    done = run_in(own_project, wheel_folder, *start, "experiment=study", "report=none")
    assert done.returncode == 0, done.stderr
    assert "2,410 parameters" in done.stdout  # 64 * 32 + 32 + 32 * 10 + 10
    assert (own_project / "mlflow.db").is_file() and (own_project / "mlartifacts").is_dir()
    answer = run_in(own_project, wheel_folder, "-m", "kx", "export", "latest", "--out", "exported")
    assert answer.returncode == 0, answer.stderr
    assert "largest difference" in answer.stdout


def test_the_console_script_finds_the_users_modules(wheel_folder: Path, own_project: Path) -> None:
    """A console script has its own folder on the path, not the current one."""
    script = own_project.parent / "kx-script"
    script.write_text("import sys\nfrom kx.cli import main\nsys.exit(main())\n")
    inside = own_project / "notebooks"
    inside.mkdir()
    done = run_in(inside, wheel_folder, str(script), "summary", "experiment=study")
    assert done.returncode == 0, done.stderr
    assert "tiny" not in done.stderr and "2,410" in done.stdout


def test_help_lists_the_users_options(wheel_folder: Path, own_project: Path) -> None:
    done = run_in(own_project, wheel_folder, "-m", "kx.run", "--help")
    assert (
        "seq2seq_transformer, textcnn, tiny, transformer, unet, vae, vit" in done.stdout
        and "study" in done.stdout
    )


def test_a_users_data_set_is_one_function_and_one_file(
    own_project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (own_project / "conf" / "data").mkdir()
    (own_project / "conf" / "data" / "xor.yaml").write_text("_target_: mydata.xor\nnoise: 0.1\n")
    (own_project / "mydata.py").write_text(
        "import numpy as np\n"
        "import tensorflow as tf\n"
        "from kx import Data, Spec\n\n"
        "def xor(*, noise: float = 0.1) -> Data:\n"
        "    x = np.random.default_rng(0).integers(0, 2, (400, 2)).astype('float32')\n"
        "    y = (x[:, 0] != x[:, 1]).astype('int32')\n"
        "    x = x + np.random.default_rng(1).normal(0, noise, x.shape).astype('float32')\n"
        "    part = lambda a, b: tf.data.Dataset.from_tensor_slices((x[a:b], y[a:b]))\n"
        "    return Data(part(0, 300), part(300, 350), part(350, 400), Spec((2,), 'float32'),\n"
        "                Spec((), 'int32', class_names=('same', 'different')))\n"
    )
    words = ["data=xor", "model=mlp", "augment=none", "optimizer.learning_rate=0.01", "report=none"]
    monkeypatch.chdir(own_project)
    assert main([*words, "tracking=none"]) == 0
    said = capfd.readouterr().out
    [line] = [line for line in said.splitlines() if "test/accuracy" in line]
    assert float(line.split()[1]) > 0.95

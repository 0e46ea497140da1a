"""Every shipped experiment runs for a step, on data made here in the place of the real sets."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from test_masks import write_pairs

import kx
from kx.config import EXPERIMENTS_DIR

NAMES = sorted(path.stem for path in EXPERIMENTS_DIR.glob("*.yaml"))


# Many equal layers, and large images, compile for long: here are few, and small ones.
FEWER = {
    "cifar10_5k_vit": ["model.num_layers=1"], "cifar10_5k_resnet20": ["model.depth=8"],
    "cifar10_resnet20": ["model.depth=8"], "flowers_scratch": ["data.image_size=[32,32]"],
    "shakespeare_gpt": ["model.num_layers=1", "task.context_length=16", "data.num_characters=64"],
    "tatoeba_transformer": ["model.num_layers=1"],
    **dict.fromkeys(("grid_world", "cartpole_dqn", "cartpole_reinforce"), ["data.epoch_steps=40"]),
}  # fmt: skip


@pytest.fixture
def where(
    tfds_folder: Path,
    cifar_files: Path,
    mnist_files: Path,
    pictures: Path,
    presets: Path,
    tmp_path: Path,
) -> dict[str, list[str]]:
    """The words that say where the data is, by the words that an experiment chooses it by."""
    root = {"cifar10_binary": cifar_files, "idx": mnist_files, "image_folder": pictures}
    words = {name: [f"data.root={folder}"] for name, folder in root.items()}
    write_pairs(tmp_path / "scenes", 30)
    words["image_masks"] = [
        f"data.root={tmp_path / 'scenes'}", "data.image_size=[24,30]", "data.class_names=null",
        "data.ignored_class=null", "model.filters=4",
    ]  # fmt: skip
    words["easy_vqa"] = ["data.num_images=40"]
    rows = [f"{'好吃' if i % 2 else '太慢了'}第{i}次,{i % 2}" for i in range(60)]
    (tmp_path / "waimai.csv").write_text("\n".join(["review,label", *rows]), encoding="utf-8")
    words["text_csv"] = [f"data.path={tmp_path / 'waimai.csv'}"]
    nothing: dict[str, list[str]] = dict.fromkeys(("digits", "grid_world", "gymnasium"), [])
    pairs = [f"sentence {i}.\t句子{i}。" for i in range(60)]
    (tmp_path / "pairs.tsv").write_text("\n".join(["english\tchinese", *pairs]), encoding="utf-8")
    words["text_pairs"] = [f"data.path={tmp_path / 'pairs.tsv'}"]
    (tmp_path / "book.txt").write_text("To be, or not to be. " * 1500)
    words["text_lines"] = [f"data.path={tmp_path / 'book.txt'}"]
    own = {"flowers_transfer": ["model.weights=null"]}
    for name in ("hub_tiny", "sentiment_distilbert"):
        own[name] = [f"model.preset={presets / 'bert'}", "tokenizer.sequence_length=32"]
    for name in ("digits_wgan_gp", "mnist_dcgan"):
        own[name] = ["task.classifier=null", "model.filters=[4,4]", "task.critic.filters=[4]"]
    return words | nothing | own


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_runs_for_a_step(
    project: Path, tfds_folder: Path, where: dict[str, list[str]], name: str
) -> None:
    text = (EXPERIMENTS_DIR / f"{name}.yaml").read_text(encoding="utf-8")
    if "override /data: gymnasium" in text:
        pytest.importorskip("gymnasium")
    if "override /model: keras_hub" in text:
        pytest.importorskip("keras_hub")
    [data] = re.findall(r"override /data: (\w+)", text)
    words = [*where.get(data, [f"data.data_dir={tfds_folder}"]), *where.get(name, [])]
    words += [
        "debug=fast",
        "run_eagerly=true",
        "tracking=none",
        "report=none",
        "batch_size=16",
        *FEWER.get(name, []),
    ]
    if "teacher: ???" in text:
        source = [word for word in words if word.startswith("data.")]
        teacher = ["model=linear", f"data={data}", *source, "debug=fast", "report=none"]
        words += [f"task.teacher={kx.train(*teacher, quiet=True).id}"]
    if "task: adversarial" in text:  # its report alone evaluates
        words[words.index("report=none")] = "task.num_samples=20"
    run = kx.train(f"experiment={name}", *words, quiet=True)
    assert run.name.startswith(name)
    if data in ("grid_world", "gymnasium"):  # the report alone plays the test episodes
        assert np.isfinite(run.history["val/return"]).all()
    else:
        judged = "test/distance_to_training" if "task: adversarial" in text else "test/loss"
        assert np.isfinite(run.metrics[judged])

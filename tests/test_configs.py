"""The contract of an option's file: it composes, and lists its function's arguments."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from kx.config import CONF_DIR, EXPERIMENTS_DIR, compose
from kx.config.compose import better

GROUPS = sorted(path.name for path in CONF_DIR.iterdir() if path.is_dir())
FILES = [(g, p.stem) for g in GROUPS for p in sorted((CONF_DIR / g).glob("*.yaml"))]
OPTIONS = [(g, name) for g, name in FILES if not name.startswith("_")]  # parts of others
REQUIRED = {"tfds": ["data.name=mnist"], "text_csv": ["data.path=x.csv"],
            "jsonl": ["data.path=x"], "text_folder": ["data.root=x"],
            "image_folder": ["data.root=x"], "image_masks": ["data.root=x"], "idx": ["data.root=x"],
            "cifar10_binary": ["data.root=x"], "arrays": ["data.path=x"],
            "gymnasium": ["data.name=x"], "distillation": ["task.teacher=x"],
            "group": ["split.column=x"], "time": ["split.column=x"],
            "model=keras_hub": ["model.preset=x"],
            "replace_words": ["augment.replace_words.thesaurus=x"],
            "insert_words": ["augment.insert_words.thesaurus=x"]}  # fmt: skip
# The function of another option, with defaults of its own.
OTHER_DEFAULTS = (
    "warmup_cosine", "efficientnet", "convnext", "resnet50", "densenet", "gru", "rnn",
    "lstm_attention", "words_and_punctuation", "multi_hot", "tfidf",
)  # fmt: skip
# Runtime arguments, which kx gives.
RUNTIME = {
    "examples", "inputs", "outputs", "targets", "seeds", "learning_rate", "steps_per_epoch",
    "epochs", "name", "facts", "environment", "split", "texts", "tokens",
}  # fmt: skip


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=lambda value: value)
def test_every_option_composes(project: Path, group: str, option: str) -> None:
    required = REQUIRED.get(f"{group}={option}", REQUIRED.get(option, []))
    job = compose([f"{group}={option}", *required])
    assert job.choices[group] == option


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=lambda value: value)
def test_every_option_says_what_it_is_for(group: str, option: str) -> None:
    lines = (CONF_DIR / group / f"{option}.yaml").read_text(encoding="utf-8").splitlines()
    said = lines[1] if lines[0].startswith("# @package") else lines[0]
    assert said.startswith("# ") and len(said) > 15
    assert len(lines) <= 36


def nodes() -> list[tuple[str, str, dict]]:
    found = []
    for group, option in OPTIONS:
        content = OmegaConf.to_container(OmegaConf.load(CONF_DIR / group / f"{option}.yaml"))
        for node in [content, *(v for v in content.values() if isinstance(v, dict))]:
            # What a callback takes is Keras's.
            if str(node.get("_target_", "")).startswith("kx.") and group != "callbacks":
                found.append((group, option, node))
    return found


@pytest.mark.parametrize(("group", "option", "node"), nodes(), ids=lambda v: str(v)[:24])
def test_file_and_signature_agree(group: str, option: str, node: dict) -> None:
    module, _, name = node["_target_"].rpartition(".")
    parameters = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    own = ("_target_", "_partial_", "defaults")
    listed = {key: value for key, value in node.items() if key not in own}
    tunable = {
        key: parameter.default
        for key, parameter in parameters.items()
        if key not in RUNTIME and not (group == "model" and key in ("inputs", "outputs"))
    }
    assert set(listed) - RUNTIME == set(tunable)
    for key, default in tunable.items():
        if listed[key] == "???":
            assert default is inspect.Parameter.empty
        elif "oc.select" in str(listed[key]):  # another part's wish, else the default
            said = "null" if default is None else default
            assert str(listed[key]).endswith(f",{said}}}"), key
        elif listed[key] in ("${seed}", "${batch_size}"):  # follows the run's
            assert isinstance(default, int)
        elif default is inspect.Parameter.empty:  # an option within the option
            assert "_target_" in listed[key]
        elif "kx.better" in str(listed[key]):  # by the name of the metric
            assert better(listed["monitor"]) == default
        elif option not in OTHER_DEFAULTS:
            expected = list(default) if isinstance(default, tuple) else default
            assert listed[key] == expected, key


@pytest.mark.parametrize("path", sorted(EXPERIMENTS_DIR.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_experiment_has_a_head_and_composes(project: Path, path: Path) -> None:
    head = path.read_text(encoding="utf-8").split("defaults:")[0]
    for word in ("Question:", "Command:", "Time:", "Score:"):
        assert word in head
    assert "TBD" not in head
    text = path.read_text(encoding="utf-8")
    own = ("cifar10_binary", "idx", "image_folder", "image_masks")  # files of the user's
    words = ["data.root=here"] if any(f"/data: {data}" in text for data in own) else []
    if any(f"/data: {data}" in text for data in ("text_csv", "text_pairs", "text_lines")):
        words += ["data.path=here"]
    for key in ("model.weights", "model.preset", "task.teacher", "task.classifier"):
        words += [f"{key}=here"] if f"{key.partition('.')[2]}: ???" in text else []
    assert compose([f"experiment={path.stem}", *words]).choices["experiment"] == path.stem

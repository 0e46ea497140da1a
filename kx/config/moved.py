"""Keys and functions of earlier versions, and where they are now.

A config that an earlier version recorded is translated when it is read, so that everything that
can be done with a run can be done with an old one. On a command line and in an experiment, an old
key is answered with the new one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Arguments of data functions that the option of `split` has now.
_OF_DATA = {
    "validation_fraction": "validation_fraction",
    "test_fraction": "test_fraction",
    "limit": "limit",
    "split_seed": "seed",
    "fold": "fold",
}
_RULES = "kx.data.split.rules"
_DEFAULTS = {
    "validation_fraction": 0.1, "test_fraction": 0.2, "limit": None, "seed": 0, "fold": None,
}  # fmt: skip
_MODULES = {
    "kx.data.arrays": "kx.data.sources.arrays.files",
    "kx.data.binary": "kx.data.sources.images.binary",
    "kx.data.folder.images": "kx.data.sources.images.folder.images",
    "kx.data.images": "kx.data.sources.images.pixels",
    "kx.data.tables": "kx.data.sources.tables.embedded",
    "kx.data.text": "kx.data.sources.text.text_csv",
    "kx.data.tfds": "kx.data.sources.images.tfds",
    "kx.data.augment.holes": "kx.data.augment.erasing",
    "kx.models.applications": "kx.models.images.applications",
    "kx.models.convolutional": "kx.models.images.convolutional",
    "kx.models.residual": "kx.models.images.residual",
    "kx.models.wide_residual": "kx.models.images.wide_residual",
    "kx.models.vision_transformer": "kx.models.images.vision_transformer",
    "kx.models.recurrent": "kx.models.text.recurrent",
    "kx.models.dense": "kx.models.tables.dense",
    "kx.tasks.binary": "kx.tasks.prediction.binary",
    "kx.tasks.classification": "kx.tasks.prediction.classification",
    "kx.tasks.multilabel": "kx.tasks.prediction.multilabel",
    "kx.tasks.regression": "kx.tasks.prediction.regression",
}
# Arguments of sources of texts that the option of `tokenizer` has now.
_OF_TEXTS = ("max_tokens", "sequence_length", "standardize")
_HAD_TOKENS = {
    "kx.data.sources.text.text_csv.text_csv", "kx.data.sources.multimodal.easy_vqa.easy_vqa",
}  # fmt: skip
_WORDS = "kx.data.tokenizers.words"
_TEXT, _FOLDER = "kx.data.sources.text.text_csv.", "kx.data.sources.images.folder."


def new_key(key: str) -> str | None:
    """Returns where a key of an earlier version is now, or None if it is no such key.

    Args:
        key: Path of a key.

    Example:
    >>> new_key("data.test_fraction"), new_key("data.group"), new_key("epochs")
    ('split.test_fraction', 'split=group split.column=COLUMN', None)
    """
    group, _, name = key.partition(".")
    if group != "data":
        return None
    if name == "group":
        return "split=group split.column=COLUMN"
    if name == "split":
        return "split=hash (of data=image_folder), or tokenizer=characters (of data=text_csv)"
    if name == "tokenizer":
        return "tokenizer=words, or tokenizer=characters"
    if name in _OF_TEXTS:
        return f"tokenizer.{name}"
    return f"split.{_OF_DATA[name]}" if name in _OF_DATA else None


def new_target(target: str) -> str:
    """Returns the path of a function as it is now.

    Args:
        target: `_target_`, of this version or of an earlier one.

    Example:
    >>> new_target("kx.models.dense.mlp")
    'kx.models.tables.dense.mlp'
    """
    module, _, name = target.rpartition(".")
    return f"{_MODULES[module]}.{name}" if module in _MODULES else target


def translated(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a recorded config as this version has it.

    Args:
        config: Plain values, of this version or of an earlier one.
    """
    found = _with_tokenizer(_translated(config))
    if "split" not in found and "data" in found:  # of a user's function, which divides itself
        found["split"] = {"_target_": f"{_RULES}.stratified", **_DEFAULTS}
    return found


def _translated(config: Mapping[str, Any]) -> dict[str, Any]:
    found = {str(key): _with_targets(value) for key, value in config.items()}
    data = found.get("data")
    if "split" in found or not isinstance(data, dict) or not _divides(data):
        return found
    split: dict[str, Any] = {new: data.pop(old) for old, new in _OF_DATA.items() if old in data}
    rule, more = "stratified", {}
    target = str(data.get("_target_"))
    way = data.pop("split", None)
    if target.startswith(_TEXT):
        data["tokenizer"] = way or "whitespace"
        if group := data.pop("group", None):
            rule, more = "group", {"column": group}
    elif target.startswith(_FOLDER):
        rule = "by_hash" if way == "hash" else "stratified"
        # They were fractions of all images.
        rest = 1 - float(split.get("test_fraction", 0.0))
        split["validation_fraction"] = float(split.get("validation_fraction", 0.0)) / rest
    defaults = {"validation_fraction": 0.1, "test_fraction": 0.0, "limit": None, "seed": 0}
    split = {"_target_": f"{_RULES}.{rule}", **more, **defaults, "fold": None, **split}
    places = list(found)
    place = places.index("data")
    return {
        **{key: found[key] for key in places[:place]},
        "split": split,
        **{key: found[key] for key in places[place:]},
    }


def _with_tokenizer(config: dict[str, Any]) -> dict[str, Any]:
    """Returns a config whose source of texts has handed its tokens over to `tokenizer`."""
    data = config.get("data")
    if "tokenizer" in config or not isinstance(data, dict) or not _tokenizes(data):
        return config
    way = "characters" if data.get("tokenizer") == "character" else "words"
    values = {name: data[name] for name in _OF_TEXTS if name in data}
    rest = {k: v for k, v in data.items() if k not in (*_OF_TEXTS, "tokenizer")}
    # Characters have another default now.
    values = {"standardize": "lower_and_strip_punctuation", **values}
    return {**config, "data": rest, "tokenizer": {"_target_": f"{_WORDS}.{way}", **values}}


def _tokenizes(data: Mapping[str, Any]) -> bool:
    """Returns whether a recorded data function of kx took what `tokenizer` has now."""
    return data.get("_target_") in _HAD_TOKENS and "sequence_length" in data


def _divides(data: Mapping[str, Any]) -> bool:
    """Returns whether a recorded data function of kx took what `split` has now."""
    return str(data.get("_target_", "")).startswith("kx.data.sources.") and "split_seed" in data


def _with_targets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            str(key): new_target(inner)
            if key == "_target_" and isinstance(inner, str)
            else _with_targets(inner)
            for key, inner in value.items()
        }
    return [_with_targets(item) for item in value] if isinstance(value, list) else value


def translated_overrides(overrides: Sequence[str], config: Mapping[str, Any]) -> list[str]:
    """Returns recorded overrides as this version has them.

    Args:
        overrides: Overrides, of this version or of an earlier one.
        config: Recorded config that they composed, not translated.
    """
    data = config.get("data")
    if not isinstance(data, Mapping):
        return list(overrides)
    if "split" not in config:
        overrides = _with_split_words(overrides, config)
    before, now = _translated(config), translated(config)
    if "tokenizer" in before or "tokenizer" not in now:
        return list(overrides)
    moved = {"data.tokenizer", *(f"data.{name}" for name in _OF_TEXTS)}
    kept = [word for word in overrides if word.partition("=")[0].lstrip("+~") not in moved]
    return [*_group_overrides("tokenizer", now["tokenizer"]), *kept]


def _with_split_words(overrides: Sequence[str], config: Mapping[str, Any]) -> list[str]:
    """Returns recorded overrides of a version whose sources divided themselves."""
    now = _translated(config)
    found = []
    for override in overrides:
        key, sign, value = override.partition("=")
        bare = key.lstrip("+~")
        if sign and "split" in now and bare.removeprefix("data.") in (*_OF_DATA, "group", "split"):
            if bare == "data.split" and "tokenizer" in now["data"]:
                found.append(f"data.tokenizer={value}")
        elif sign and key.endswith("_target_"):
            found.append(f"{key}={new_target(value)}")
        else:
            found.append(override)
    if "split" not in now:
        return found
    return [*_group_overrides("split", now["split"]), *found]


def _group_overrides(group: str, node: Mapping[str, Any]) -> list[str]:
    """Returns the overrides that choose an option: its defaults were others for some data."""
    from kx.config.overrides import word

    option = str(node["_target_"]).rpartition(".")[2]
    return [
        f"{group}={option.removeprefix('by_')}",
        *(word(f"{group}.{key}", value) for key, value in node.items() if key != "_target_"),
    ]

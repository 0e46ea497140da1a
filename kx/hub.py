"""KerasHub: pretrained models of texts, and their tokenizers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from kx.errors import ConfigError, did_you_mean, first_line
from kx.extras import import_extra
from kx.paths import expanded

# Registers the operations of KerasHub's tokenizers with TensorFlow.
OPERATIONS = "tensorflow_text"


def import_keras_hub(needed_by: str) -> Any:
    """Returns KerasHub.

    Args:
        needed_by: What the user has chosen, for the message: `"model=keras_hub"`.

    Raises:
        MissingExtraError: If KerasHub or TensorFlow Text is not installed.
    """
    import_extra(OPERATIONS, extra="hub", needed_by=needed_by)
    return import_extra("keras_hub", extra="hub", needed_by=needed_by)


def load_preset(kind: Any, preset: str, key: str, **arguments: Any) -> Any:
    """Returns what a preset has of a kind: a backbone, a tokenizer.

    Args:
        kind: Class of KerasHub with `from_preset` and `presets`.
        preset: Name of a preset of KerasHub, a path to a folder that `save_to_preset` wrote, or an
            address that begins with `hf://`, `kaggle://` or `modelscope://`.
        key: Key of the config that has the preset, for messages.
        **arguments: Further arguments of `from_preset`.

    Raises:
        ConfigError: If there is no such preset, it cannot be downloaded, or its files are not
            those of this kind.
    """
    name = preset
    if "://" not in preset and preset not in kind.presets:
        name = str(expanded(preset))
        if not Path(name).is_dir():
            raise ConfigError(
                f"{key}={preset}: there is no such preset, and no folder {Path(name).absolute()}."
                f" {did_you_mean(preset, list(kind.presets))} Also a folder that `save_to_preset`"
                " wrote, or hf://USER/NAME."
            )
    try:
        return kind.from_preset(name, **arguments)
    except ImportError as error:  # huggingface_hub …
        raise ConfigError(f"{key}={preset} cannot be loaded: {first_line(error)}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        if _is_of_network(error):
            raise ConfigError(
                f"{key}={preset} cannot be downloaded: {first_line(error)} Without a network:"
                f" download it elsewhere (keras_hub.models.Backbone.from_preset({preset!r})"
                " .save_to_preset(FOLDER), and the same of keras_hub.tokenizers.Tokenizer), and"
                f" set {key}=FOLDER."
            ) from error
        raise ConfigError(
            f"{key}={preset} cannot be loaded as {kind.__name__}: {first_line(error)}"
        ) from error


def preset_vocabulary(hub: Any, preset: str, key: str) -> list[str]:
    """Returns the tokens of a preset's tokenizer, in the order of their ids.

    Args:
        hub: KerasHub.
        preset: Preset, as in `load_preset`.
        key: Key of the config that has the preset, for messages.

    Raises:
        ConfigError: As `load_preset` does.
    """
    return list(map(str, load_preset(hub.tokenizers.Tokenizer, preset, key).get_vocabulary()))


def _is_of_network(error: Exception) -> bool:
    requests: Any = sys.modules.get("requests")  # Kaggle's errors are of this library
    return isinstance(error, ConnectionError | TimeoutError) or (
        requests is not None and isinstance(error, requests.exceptions.RequestException)
    )

"""The tokenizers of a config."""

from __future__ import annotations

from functools import partial

from omegaconf import DictConfig

from kx.config import build, plain
from kx.contracts.examples import Preparation
from kx.data.texts.fields import Tokenizer
from kx.errors import ConfigError


class Tokenizers:
    """Gives each field of texts its tokenizer: the config's one, or the one of that field.

    Args:
        config: Config of the run.
    """

    def __init__(self, config: DictConfig) -> None:
        # A config that a version before tokenizers recorded has none.
        node = config.get("tokenizer")
        self._node = plain(node, resolve=True) if node else {}
        self._used: set[str] = set()

    def __call__(self, field: str) -> Tokenizer:
        """Returns the tokenizer of a field.

        Args:
            field: Name of the field, `""` for one value.

        Raises:
            ConfigError: If the config has none for it.
        """
        one = "_target_" in self._node
        place = "tokenizer" if one or not field else f"tokenizer.{field}"
        node = self._node if one else self._node.get(field)
        if not node:
            group = "tokenizer" if place == "tokenizer" else f"tokenizer@{place}"
            raise ConfigError(
                f"The data has texts{field and f' ({field})'}, and {place}=none. Choose how they"
                f" become numbers: {group}=words, {group}=characters …"
            )
        self._used.add(place)
        found: partial[Preparation] = build(node, place=place, partial=True)
        return found

    def refuse_unused(self, name: str) -> None:
        """Raises an error if the config has a tokenizer that no text has passed.

        Args:
            name: Name of the data, for the message.

        Raises:
            ConfigError: If there is one.
        """
        given = (
            {"tokenizer"} if "_target_" in self._node else {f"tokenizer.{n}" for n in self._node}
        )
        if left := sorted(given - self._used):
            raise ConfigError(
                f"{', '.join(left)} has no effect: the data {name!r} has no such field of texts."
                " Leave it out, or tokenizer=none."
            )

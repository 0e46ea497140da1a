"""Finds the run to resume: `resume=RUN`. Imports no TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from kx.config import Composed, resolved
from kx.config.overrides import word
from kx.errors import ConfigError, Mistake, RunNotFoundError, did_you_mean
from kx.paths import expanded
from kx.secrets import REDACTED, redact
from kx.tracking.records import Record, all_records, is_trial

_WORDS = ("auto", "never")
# Keys that may differ when a run is resumed.
_MAY_CHANGE = ("epochs", "callbacks", "report", "tracking", "resume", "run_dir", "launcher")


def recorded_words(words: Sequence[str]) -> list[str]:
    """Returns the overrides of the command line, preceded by those of the run in `resume=RUN`.

    Args:
        words: Overrides in Hydra's syntax.

    Raises:
        RunNotFoundError: If there is no such run.
    """
    name = _chosen(words)
    if name in _WORDS:
        return list(words)
    record = find_record(name)
    began = [
        word
        for word in record.overrides
        if REDACTED not in word and word.partition("=")[0] not in ("resume", "run_dir")
    ]
    began = [word for word in began if word not in words]
    return [*_defaults_of_then(record, [*began, *words]), *began, *words]


def _defaults_of_then(record: Record, words: Sequence[str]) -> list[str]:
    """Returns overrides for defaults that differed in the version that began the run."""
    dropped = record.config["data"].get("drop_remainder")
    if not isinstance(dropped, bool) or any(w.startswith("data.drop_remainder=") for w in words):
        return []
    found = [word("data.drop_remainder", dropped)]
    for name in ("early_stopping", "checkpoint_best"):
        node = (record.config.get("callbacks") or {}).get(name) or {}
        if "monitor" in node and not any(w.startswith("callbacks") for w in words):
            found += [
                word(f"callbacks.{name}.{k}", node[k]) for k in ("monitor", "mode") if k in node
            ]
    return found


def is_one_run(words: Sequence[str]) -> bool:
    """Returns whether overrides resume one run by its name (`resume=RUN`)."""
    return not set(_chosen(words).split(",")) <= set(_WORDS)


def _chosen(words: Sequence[str]) -> str:
    chosen = [word.partition("=")[2] for word in words if word.startswith("resume=")]
    return chosen[-1].strip("'\"") if chosen else "never"


def find_record(name: str) -> Record:
    """Returns the record of a RUN: a run id or its start, a name, `latest`, `best`, or a folder.

    Raises:
        RunNotFoundError: If no run folder of this project matches, or several do.
    """
    there = Record.read(expanded(name).absolute()) if "/" in name else None
    if there is not None:
        return there
    records = all_records()
    own = [record for record in records if record.status == "FINISHED" or not is_trial(record)]
    if name == "latest" and own:
        return own[0]
    if name == "best":
        from kx.tracking.mlflow.run_list import find_run
        from kx.tracking.store import store_uri

        name = find_run("best", store_uri()).info.run_id
    found = [record for record in records if name in (record.name, record.run_id)]
    if not found and len(name) >= 3:
        found = [record for record in records if str(record.run_id).startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(f"{str(record.run_id)[:12]} ({record.name})" for record in found[:5])
        raise RunNotFoundError(f"{name!r} names {len(found)} runs: {listed}. Use a run id.")
    names = [record.name for record in records[:10]]
    hint = did_you_mean(name, [*names, *_WORDS, "latest", "best"], "Available")
    raise RunNotFoundError(
        f"There is no run {name!r} whose folder is in this project (runs/): only such a run can be"
        f" resumed. {hint}"
    )


def refuse_other_config(job: Composed, record: Record) -> None:
    """Raises if a run would be resumed with another config than it began with.

    Raises:
        ConfigError: If keys differ; the message has each of them.
    """
    now = json.loads(json.dumps(redact(resolved(job.config)), default=str))  # as recorded
    before = record.config
    mistakes = [
        Mistake(key, f"the run {record.name} began with {was!r}. Received: {now_is!r}.")
        for key, was, now_is in differences(before, now)
        if key.partition(".")[0] not in _MAY_CHANGE and _is_kept(before, key)
    ]
    if mistakes:
        advice = Mistake(
            "resume",
            f"A run continues as it began; what may change is {', '.join(_MAY_CHANGE[:4])}. For a"
            f" new run from its weights: init_from={record.name}.",
        )
        raise ConfigError([*mistakes, advice])


def _is_kept(config: Mapping[str, Any], key: str) -> bool:
    """Returns whether a config has a key: configs of earlier versions lack later keys."""
    node: Any = config
    for name in key.split("."):
        if not isinstance(node, Mapping) or name not in node:
            return False
        node = node[name]
    return True


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], path: str = ""
) -> list[tuple[str, Any, Any]]:
    """Returns the differences of two configs: the path, the value before, the value now.

    Args:
        before: First config, as nested keys and values.
        now: Second config, as nested keys and values.
        path: Path of both within the whole config. Defaults to `""`.
    """
    found = []
    for key in dict.fromkeys([*before, *now]):
        here = f"{path}.{key}" if path else str(key)
        was, is_now = before.get(key), now.get(key)
        if isinstance(was, Mapping) and isinstance(is_now, Mapping):
            found += differences(was, is_now, here)
        elif was != is_now:
            found.append((here, was, is_now))
    return found

"""Steps on raw texts that run in Python, before the graph that prepares an example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from hydra.utils import get_object

from kx.contracts.specs import Data

Hosts = Mapping[str, Mapping[str, Any]]


def run_host(node: Mapping[str, Any], texts: Sequence[Any]) -> list[str]:
    """Returns texts after a host step.

    Args:
        node: Function as `_target_`, and its arguments.
        texts: Strings, or bytes of UTF-8.
    """
    arguments = {key: value for key, value in node.items() if key != "_target_"}
    strings = [one.decode(errors="replace") if isinstance(one, bytes) else one for one in texts]
    found: list[str] = get_object(node["_target_"])(strings, **arguments)
    return found


def after_host(hosts: Hosts, raw: Sequence[Any]) -> list[Any]:
    """Returns raw examples after their host steps.

    Args:
        hosts: Nodes by field, `""` for one value.
        raw: Raw examples, each one value or fields by name.
    """
    found = list(raw)
    for name, node in hosts.items():
        texts = run_host(node, [one[name] if name else one for one in found])
        found = [
            {**one, name: text} if name else text for one, text in zip(found, texts, strict=True)
        ]
    return found


def prepare_one(data: Data, raw: Any) -> Any:
    """Returns a raw example as a prepared one, in TensorFlow's graph or eagerly.

    Args:
        data: Data with `prepare` and its host steps.
        raw: Raw example.
    """
    for name, node in data.host.items():
        text = host_in_graph(node, raw[name] if name else raw)
        raw = {**raw, name: text} if name else text
    return data.prepare(raw)


def host_in_graph(node: Mapping[str, Any], text: tf.Tensor) -> tf.Tensor:
    """Returns a text after a host step, as an operation of a graph that calls Python.

    Args:
        node: Function as `_target_`, and its arguments.
        text: Scalar string.
    """

    def one(text: bytes) -> bytes:
        return run_host(node, [text])[0].encode()

    return tf.ensure_shape(tf.numpy_function(one, [text], tf.string), [])

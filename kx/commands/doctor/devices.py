"""What `kx doctor` says of devices: TensorFlow's, or JAX's, as the config asks."""

from __future__ import annotations

import functools
import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass

_FAST_BFLOAT16 = {"avx512_bf16", "amx_bf16"}  # of x86 processors
_ANSWER_SECONDS = 120
JAX_MISSING = 'pip install "kx[jax]"'


@dataclass(frozen=True)
class Device:
    """Holds a device: `kind` is `cpu`, `gpu` or `tpu`, `capability` that of an NVIDIA GPU."""

    name: str
    kind: str
    capability: tuple[int, ...] = ()


@dataclass(frozen=True)
class Answer:
    """Holds what JAX says of itself.

    Args:
        works: whether it starts.
        text: its devices, or its complaint.
        devices: likewise, as objects.
    """

    works: bool
    text: str
    devices: tuple[Device, ...] = ()


def jax_answer() -> Answer:
    """Returns what JAX says of itself, or how to install it."""
    if importlib.util.find_spec("jax") is None:
        return Answer(False, JAX_MISSING)
    return _ask_jax()


@functools.cache
def _ask_jax() -> Answer:
    """Asks in a process of its own: JAX takes a GPU's memory, and starts only once."""
    script = (
        "import jax, json; print(json.dumps([(str(d), d.platform,"
        " str(getattr(d, 'compute_capability', ''))) for d in jax.devices()]))"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True,
            timeout=_ANSWER_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Answer(False, f"no answer in {_ANSWER_SECONDS} seconds: a device may hang")
    if done.returncode:
        return Answer(False, (done.stderr.strip().splitlines() or ["?"])[-1])
    devices = tuple(
        Device(name, kind, tuple(int(part) for part in capability.split(".") if part.isdigit()))
        for name, kind, capability in json.loads(done.stdout.splitlines()[-1])
    )
    return Answer(True, f"devices: {' '.join(device.name for device in devices)}", devices)


def gpus(on_jax: bool) -> list[str]:
    """Returns the names of the GPUs that the backend sees.

    Args:
        on_jax: whether it is JAX.
    """
    if on_jax:
        return [device.name for device in jax_answer().devices if device.kind == "gpu"]
    from kx.strategy import devices

    return [name for name in devices() if name.startswith("GPU")]


def first_device(on_jax: bool) -> Device:
    """Returns the device that a model is trained on, if nothing else is asked.

    Args:
        on_jax: whether the backend is JAX.
    """
    if on_jax:
        return next(iter(jax_answer().devices), Device("", "cpu"))
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        found = tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
        return Device(gpu.name, "gpu", found)
    return Device("", "cpu")


def how_fast(precision: str, device: Device) -> str:
    """Says whether a half precision is faster on a device.

    Args:
        precision: `"mixed_bfloat16"` or `"mixed_float16"`.
        device: the device.
    """
    half = precision == "mixed_float16"
    if device.kind == "gpu":
        faster = device.capability >= ((7, 0) if half else (8, 0))
    elif device.kind == "tpu":
        faster = not half
    elif half:
        return "slower on a CPU"
    else:
        faster = bool(_FAST_BFLOAT16 & _cpu_flags())
    return f"{'faster' if faster else 'no faster'} on this {device.kind.upper()}"


def _cpu_flags() -> set[str]:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            line = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return set()
    return set(line.split())

"""The devices that `kx doctor` reports: TensorFlow's or JAX's, by the config's backend."""

from __future__ import annotations

import functools
import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass

_FAST_BFLOAT16 = {"avx512_bf16", "amx_bf16"}  # CPU flags of x86 processors
_ANSWER_SECONDS = 120
JAX_MISSING = 'pip install "kx[jax]"'


@dataclass(frozen=True)
class Device:
    """Describes a device.

    Args:
        name: Name of the device.
        kind: `"cpu"`, `"gpu"` or `"tpu"`.
        capability: Compute capability of an NVIDIA GPU: `(8, 0)`. Defaults to `()`.
    """

    name: str
    kind: str
    capability: tuple[int, ...] = ()


@dataclass(frozen=True)
class Answer:
    """Holds the result of starting JAX.

    Args:
        works: Whether JAX starts.
        text: Names of its devices, or its error message.
        devices: Devices of JAX. Defaults to `()`.
    """

    works: bool
    text: str
    devices: tuple[Device, ...] = ()


def jax_answer() -> Answer:
    """Returns JAX's devices or error message, or how to install it if it is missing."""
    if importlib.util.find_spec("jax") is None:
        return Answer(False, JAX_MISSING)
    return _ask_jax()


@functools.cache
def _ask_jax() -> Answer:
    """Starts JAX in a separate process, since it takes a GPU's memory and starts only once."""
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
        on_jax: Whether the backend is JAX.
    """
    if on_jax:
        return [device.name for device in jax_answer().devices if device.kind == "gpu"]
    from kx.strategy import devices

    return [name for name in devices() if name.startswith("GPU")]


def first_device(on_jax: bool) -> Device:
    """Returns the device that trains a model by default.

    Args:
        on_jax: Whether the backend is JAX.
    """
    if on_jax:
        return next(iter(jax_answer().devices), Device("", "cpu"))
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        found = tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
        return Device(gpu.name, "gpu", found)
    return Device("", "cpu")


def how_fast(precision: str, device: Device) -> str:
    """Returns a text on whether a half precision is faster than float32 on a device.

    Args:
        precision: `"mixed_bfloat16"` or `"mixed_float16"`.
        device: Device that trains the model.
    """
    half = precision == "mixed_float16"
    if device.kind == "gpu":
        # Tensor cores take float16 from capability 7.0 (Volta), bfloat16 from 8.0 (Ampere).
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

"""`kx doctor`: checks what works in this installation, and whether a config can run."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from omegaconf import DictConfig
from rich.table import Table
from rich.text import Text

import kx
from kx.commands.doctor.devices import first_device, gpus, how_fast, jax_answer
from kx.config import compose, project_dir
from kx.config.schema import PRECISIONS
from kx.console import wide_console
from kx.errors import KxError, first_line
from kx.launch.engines import make_engine
from kx.launch.engines.local import visible_gpus
from kx.launch.engines.processes import context
from kx.process import hidden_stderr, import_quietly
from kx.secrets import redact
from kx.tracking.mlflow.health import health
from kx.tracking.store import store_uri

_PACKAGES = (
    "tensorflow", "keras", "keras-tuner", "tensorflow-datasets", "mlflow", "hydra-core", "jax",
    "ray", "submitit", "psycopg",
)  # fmt: skip
_LITTLE_GIB = 2.0
_ONE_DEVICE = "works, and gains nothing: one device"
_TENSORFLOW_CUDA = "tensorflow[and-cuda]"
_BUILD_SECONDS = 300
_ANSWER_SECONDS = 60


@dataclass(frozen=True)
class Check:
    """Holds the result of one check.

    Args:
        area: Area of the check: `"backend"`, `"strategy"` …
        name: Name of what was checked.
        works: Whether it works.
        text: Description of the result, and of what to do.
        asked: Whether the config requires it. Defaults to False.
    """

    area: str
    name: str
    works: bool
    text: str
    asked: bool = False


def doctor(overrides: Sequence[str]) -> int:
    """Prints what works on this machine.

    Args:
        overrides: Overrides of the config to check.

    Returns:
        Exit code: 1 if something that the config requires does not work, else 0.
    """
    config = compose(overrides).config
    import_quietly()
    results = [result for check in _CHECKS for result in _checked(check, config)]
    _show(results)
    broken = [result for result in results if result.asked and not result.works]
    for result in broken:
        print(f"\nkx: {result.area}={result.name} cannot work here: {result.text}")
    if not broken:
        print("\nno problem found with this config")
    return 1 if broken else 0


def _checked(check: Callable[[DictConfig], Iterator[Check]], config: DictConfig) -> list[Check]:
    found = []
    try:
        for result in check(config):
            found.append(result)
    except (KxError, subprocess.TimeoutExpired) as error:  # e.g. an unreadable TF_CONFIG
        found.append(Check(check.__name__.strip("_"), "config", False, str(error), True))
    return found


def _show(results: Sequence[Check]) -> None:
    print(f"kx {kx.__version__}, Python {platform.python_version()}, {platform.platform()}")
    print(f"project: {project_dir()}\n")
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    before = ""
    for result in results:
        area = "" if result.area == before else result.area
        before = result.area
        sign = "yes" if result.works else "NO" if result.asked else "no"
        mark = " (asked)" if result.asked else ""
        table.add_row(area, result.name + mark, sign, Text(result.text))
    wide_console().print(table)


# --- Packages and machine


def _packages(config: DictConfig) -> Iterator[Check]:
    for name in _PACKAGES:
        try:
            yield Check("package", name, True, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Check("package", name, False, _install(name))


def _install(package: str) -> str:
    extra = {"jax": "jax", "ray": "ray", "submitit": "slurm", "psycopg": "postgres"}.get(package)
    return f'pip install "kx[{extra}]"' if extra else f"pip install {package}"


def _machine(config: DictConfig) -> Iterator[Check]:
    from kx.data.store import available_bytes

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory, disk = available_bytes() / 2**30, shutil.disk_usage(project_dir()).free / 2**30
    yield Check("machine", "cores", True, str(cores))
    yield Check("machine", "memory", memory > _LITTLE_GIB, f"{memory:.1f} GiB free")
    yield Check("machine", "disk", disk > _LITTLE_GIB, f"{disk:.1f} GiB free in the project")
    seen = visible_gpus()
    on_jax = config.backend == "jax"
    used = gpus(on_jax)
    if seen and not used:
        library, package = ("JAX", "jax[cuda12]") if on_jax else ("TensorFlow", _TENSORFLOW_CUDA)
        text = f"{len(seen)}, and {library} sees none: pip install {package}"
        yield Check("machine", "GPUs", False, text)
    else:
        yield Check("machine", "GPUs", bool(used), ", ".join(used) or "none")


# --- Choices of a config


def _backends(config: DictConfig) -> Iterator[Check]:
    asked = str(config.backend)
    yield Check("backend", "tensorflow", True, "the default", asked == "tensorflow")
    answer = jax_answer()
    yield Check("backend", "jax", answer.works, answer.text, asked == "jax")


def _precisions(config: DictConfig) -> Iterator[Check]:
    import keras
    import tensorflow as tf

    asked = str(config.precision)
    device = first_device(on_jax=config.backend == "jax")
    for name in PRECISIONS:
        try:
            with hidden_stderr():
                layer = keras.layers.Dense(2, dtype=name)
                layer(tf.ones((2, 2)))
            text = how_fast(name, device) if name.startswith("mixed") else ""
            yield Check("precision", name, True, text, asked == name)
        except Exception as error:  # any type, if the device lacks the precision
            yield Check("precision", name, False, first_line(error), asked == name)


def _strategies(config: DictConfig) -> Iterator[Check]:
    from kx.cluster import cluster_of_environment

    target = str(config.strategy.get("_target_"))
    on_tensorflow = config.backend == "tensorflow"
    yield Check("strategy", "default", True, "one device", target.endswith("get_strategy"))
    asked = target == "tensorflow.distribute.OneDeviceStrategy"
    text = f"on {config.strategy.get('device')}" if asked else "on a device that you name"
    if not on_tensorflow:
        text = "TensorFlow's; with backend=jax: JAX_PLATFORMS=cpu, and strategy=default"
    yield (
        _built("one_device", text, config) if asked and on_tensorflow
        else Check("strategy", "one_device", on_tensorflow, text, asked)
    )  # fmt: skip
    asked = target == "kx.strategy.mirrored"
    if not on_tensorflow:
        text = "with backend=jax it is strategy=model_parallel strategy.model_devices=1"
        yield Check("strategy", "mirrored", False, text, asked)
    else:
        count = len(gpus(on_jax=False))
        text = f"{count} GPUs share each batch" if count > 1 else _ONE_DEVICE
        yield (
            _built("mirrored", text, config) if asked
            else Check("strategy", "mirrored", True, text)
        )  # fmt: skip
    asked = target == "kx.multi_worker.multi_worker"
    cluster = cluster_of_environment()
    ready = cluster is not None or bool(config.strategy.get("processes"))
    can_start = hasattr(make_engine(config.launcher), "places")
    text = (
        "TensorFlow's: backend=tensorflow" if not on_tensorflow
        else "TF_CONFIG or Slurm says who trains" if cluster
        else "processes that kx starts" if ready and can_start
        else "this launcher cannot start them; take srun -n 2 …" if ready
        else "no TF_CONFIG, no step of Slurm: strategy.processes=N"
    )  # fmt: skip
    works = on_tensorflow and (cluster is not None or ready and can_start)
    yield Check("strategy", "multi_worker", works, text, asked)
    asked = target == "kx.parallel.model_parallel"
    has_jax = importlib.util.find_spec("jax") is not None
    works = has_jax and not (asked and on_tensorflow)
    text = "needs backend=jax" if has_jax and on_tensorflow else "" if has_jax else _install("jax")
    yield (
        _built("model_parallel", text, config) if asked and works
        else Check("strategy", "model_parallel", works, text, asked)
    )  # fmt: skip


def _built(name: str, text: str, config: DictConfig) -> Check:
    """Builds the strategy in a separate process, as a training does."""
    from omegaconf import OmegaConf

    done = subprocess.run(
        [sys.executable, "-m", "kx.commands.doctor.child"], input=OmegaConf.to_yaml(config),
        capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False,
        env={**os.environ, "KERAS_BACKEND": str(config.backend), "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    if done.returncode:
        said = (done.stderr.strip() or "its process died").splitlines()[-1]
        return Check("strategy", name, False, said, True)
    return Check("strategy", name, True, f"{text}; {done.stdout.split()[-1]} replicas", True)


def _launchers(config: DictConfig) -> Iterator[Check]:
    target = str(config.launcher.get("_target_"))
    how = context(str(config.backend)).get_start_method()
    yield Check("launcher", "local", True, f"processes by {how}", target.endswith(".Local"))
    asked = target == "kx.launch.engines.ray.Ray"
    if importlib.util.find_spec("ray") is None:
        yield Check("launcher", "ray", False, _install("ray"), asked)
    elif asked:
        yield _tried("launcher", "ray", config)
    else:
        yield Check("launcher", "ray", True, "installed; with launcher=ray it is tried")
    asked = target == "kx.launch.engines.slurm.Slurm"
    if importlib.util.find_spec("submitit") is None:
        yield Check("launcher", "slurm", False, _install("submitit"), asked)
    elif shutil.which("sbatch") is None:
        yield Check("launcher", "slurm", False, "no `sbatch` on this machine", asked)
    else:
        try:
            done = subprocess.run(
                ["sinfo", "-h"], capture_output=True, text=True, check=False,
                timeout=_ANSWER_SECONDS,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            yield Check("launcher", "slurm", False, first_line(error), asked)
            return
        said = (done.stdout or done.stderr).strip().splitlines()
        text = said[0] if said else "no partition"
        yield Check("launcher", "slurm", done.returncode == 0 and bool(done.stdout), text, asked)


def _tried(area: str, name: str, config: DictConfig) -> Check:
    """Opens and closes the config's launcher."""
    try:
        engine = make_engine(config.launcher)
        engine.open(str(config.backend))
        engine.close()
    except KxError as error:
        return Check(area, name, False, str(error), True)
    where = config.launcher.get("address")
    return Check(
        area, name, True, f"a cluster at {where}" if where else "one of this machine", True
    )


def _store(config: DictConfig) -> Iterator[Check]:
    uri = store_uri(config.tracking.uri)
    works, text = health(uri)
    yield Check("tracking", str(redact(uri)), works, text, bool(config.tracking.enabled))


_CHECKS: tuple[Callable[[DictConfig], Iterator[Check]], ...] = (
    _packages, _machine, _backends, _precisions, _strategies, _launchers, _store,
)  # fmt: skip

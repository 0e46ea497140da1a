"""Services that tests start themselves: where one is not installed, its tests skip and say why."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.helpers import BEGUN

HERE = Path(__file__).resolve().parent


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """Kills the launchers that a test has begun and, failing, not ended."""
    yield
    while BEGUN:
        process = BEGUN.pop()
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A real Slurm of one node with two CPUs, and its clients in this process's environment."""
    pytest.importorskip("submitit", reason="needs the extra kx[slurm]: submitit")
    for program in ("slurmctld", "slurmd", "munged"):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            pytest.skip(f"needs {program} (Debian: apt install slurm-wlm munge)")
    folder = Path("/tmp") / f"kx-slurm-{os.getpid()}"  # sockets have short names
    script = str(HERE / "slurm_local.sh")
    started = subprocess.run(
        ["bash", script, "up", str(folder), "2"], capture_output=True, text=True, check=False
    )
    if started.returncode:
        pytest.fail(f"Slurm did not start: {started.stdout}{started.stderr}")
    before = {key: os.environ.get(key) for key in ("SLURM_CONF", "PATH")}
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    os.environ["PATH"] = f"{folder / 'bin'}:{os.environ['PATH']}"
    yield folder
    for key, value in before.items():
        os.environ.pop(key) if value is None else os.environ.update({key: value})
    subprocess.run(["bash", script, "down", str(folder)], capture_output=True, check=False)


@pytest.fixture(scope="module")
def ray_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A real Ray cluster: a head without CPUs, and two nodes of one CPU each."""
    if importlib.util.find_spec("ray") is None:  # it reads the environment when it is imported
        pytest.skip("needs the extra kx[ray]")
    folder = tmp_path_factory.mktemp("ray")
    (folder / "token").write_text("0" * 64, encoding="utf-8")
    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token")}
    own |= {"RAY_DEDUP_LOGS": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    before = {key: os.environ.get(key) for key in own}
    os.environ.update(own)
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()
    for key, value in before.items():
        os.environ.pop(key) if value is None else os.environ.update({key: value})

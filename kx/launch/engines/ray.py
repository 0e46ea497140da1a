"""Jobs on a Ray cluster: a running one by its address, or one of this machine."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import kx
from kx.config import project_dir
from kx.errors import KxError, MissingExtraError, first_line
from kx.launch.engines import Message
from kx.launch.engines.child import JobSpec
from kx.launch.engines.local import GROW
from kx.launch.engines.ray_job import RayJob
from kx.launch.engines.ray_worker import Mailbox, free_place, run_job_spec
from kx.types import Count, NonNegative, NonNegativeInt, Positive

_LISTEN_SECONDS = 0.5
_KNOCK_SECONDS = 10.0
_TRIES = "RAY_NUM_REDIS_GET_RETRIES"  # to connect to a cluster
_TOKEN = secrets.token_hex(32)  # of clusters on this machine: Ray reads it once in a process
_PLACES_SECONDS = 300.0
# Of a project's folder, what does not travel: results, and what is fetched anew.
_RESULTS = ("runs", "studies", "mlartifacts", "mlruns", "mlflow.db*", "exports")
_STAYS = [*(f"/{name}" for name in _RESULTS), ".git", ".venv"]


@dataclass
class Ray:
    """Runs jobs on a Ray cluster, each in a fresh process of one of its nodes.

    The project's code and kx travel to the nodes. Where the nodes share the
    project's folder, a job whose node was lost goes on elsewhere.

    Args:
        workers: jobs at a time; None for as many as the cluster has room for.
        address: of a running cluster, `host:6379` or `auto`. None starts one on
            this machine, which listens on loopback alone and asks for a token.
        cpus: for each job; also its threads.
        gpus: for each job; parts are possible: 0.5.
        memory_gb: that a job reserves. None reserves none.
        resources: further ones of the nodes: `{"large": 1}`.
        timeout_minutes: after which a job is ended as FAILED; None for never.
        max_retries: how often a job is run again whose node, process or memory
            was lost.
    """

    workers: Count | None = None
    address: str | None = None
    cpus: Positive = 1
    gpus: NonNegative = 0
    memory_gb: Positive | None = None
    resources: dict[str, float] | None = None
    timeout_minutes: Positive | None = None
    max_retries: NonNegativeInt = 2
    queues: bool = field(default=True, init=False)

    @property
    def limit_minutes(self) -> float | None:
        """The time that a job may take, from its begin."""
        return self.timeout_minutes

    def open(self, backend: str) -> None:
        """Connects to the cluster, or starts one.

        Raises:
            MissingExtraError: if Ray is not installed.
            KxError: if the cluster cannot be reached.
        """
        self._marker: Path | None = None
        self._temporary = tempfile.TemporaryDirectory(prefix="kx-ray-")
        self._before = self._set_environment()
        ray: Any
        try:
            import ray
        except ImportError as error:
            self._leave()
            raise MissingExtraError(
                'launcher=ray needs Ray; it is not installed: pip install "kx[ray]"'
            ) from error
        self._ray = ray
        try:
            self._knock()
            ray.init(
                address=self.address or "local", runtime_env=self._travels(), log_to_driver=False,
                configure_logging=False, **({} if self.address else {"include_dashboard": False}),
            )  # fmt: skip
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            self._leave()
            where = f"at {self.address}" if self.address else "on this machine"
            raise KxError(
                f"launcher=ray: there is no cluster {where}, or it does not take this project:"
                f" {first_line(error)}. Start one (ray start --head), give its address"
                " (launcher.address=host:6379), or leave that out; what is not to travel goes into"
                " .rayignore."
            ) from error
        self._warn_of_what_no_node_has()
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=True
        )
        actor = ray.remote(num_cpus=0)(Mailbox)
        self._mailbox: Any = actor.options(scheduling_strategy=here).remote()
        needs = {"memory": int(self.memory_gb * 2**30)} if self.memory_gb else {}
        self._task = ray.remote(
            num_cpus=self.cpus, num_gpus=self.gpus, resources=self.resources or {}, max_retries=0,
            max_calls=0, **needs,
        )(run_job_spec)  # fmt: skip
        self._started = 0
        self._marker = project_dir() / "runs" / f".ray-{secrets.token_hex(8)}"
        self._marker.parent.mkdir(parents=True, exist_ok=True)
        self._marker.touch()
        self._group: Any = None  # of processes that train together

    def _needs(self) -> dict[str, float]:
        """Returns what a job reserves, as Ray names it."""
        memory = (self.memory_gb or 0) * 2**30
        needs = {"CPU": self.cpus, "GPU": self.gpus, "memory": memory}
        return {**{k: v for k, v in needs.items() if v}, **(self.resources or {})}

    def _warn_of_what_no_node_has(self) -> None:
        """Refuses jobs that would wait for ever; a cluster may grow, so that there it warns."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        needs = self._needs()
        if any(all(node.get(k, 0) >= v for k, v in needs.items()) for node in nodes):
            return
        has = [{k: v for k, v in node.items() if k in needs} for node in nodes]
        text = f"no node has what a job needs: {needs}. The nodes have: {has}."
        if self.address is None:
            self.close()
            raise KxError(f"launcher=ray: {text} Ask for less: launcher.cpus, launcher.gpus …")
        print(f"launcher=ray: {text} The jobs wait for one that does.")

    def _set_environment(self) -> dict[str, str | None]:
        """Sets what Ray reads when it is imported, and returns what was there before."""
        wanted = {"RAY_task_oom_retries": "0"}  # else for ever: the retries are ours
        if _TRIES not in os.environ:  # each takes 40 s where nobody answers, and Ray's are 20
            wanted[_TRIES] = "1"
        if self.address is None:  # loopback alone, and who knows the token
            wanted["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
            if "RAY_AUTH_MODE" not in os.environ:
                token = Path(self._temporary.name) / "token"
                token.touch(mode=0o600)
                token.write_text(_TOKEN, encoding="utf-8")
                wanted |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        before = {key: os.environ.get(key) for key in wanted}
        os.environ.update(wanted)
        return before

    def _knock(self) -> None:
        """Refuses an address where nobody listens, or another service: Ray would try for long."""
        host, _, port = (self.address or "").rpartition(":")
        if not (host and port.isdigit()):
            return
        socket.create_connection((host, int(port)), timeout=_KNOCK_SECONDS).close()
        if os.environ.get("RAY_USE_TLS", "0") != "0":  # who asks needs its certificates
            return
        import grpc

        with grpc.insecure_channel(f"{host}:{port}") as channel:
            try:
                grpc.channel_ready_future(channel).result(timeout=_KNOCK_SECONDS)
            except grpc.FutureTimeoutError as error:
                raise OSError("what listens there does not answer as a Ray cluster") from error

    def _travels(self) -> dict[str, Any]:
        """Returns what a job needs on a machine that does not share the project's folder."""
        if self.address is None:
            return {}
        package = str(Path(kx.__file__).resolve().parent)
        return {"working_dir": str(project_dir()), "excludes": _STAYS, "py_modules": [package]}

    def start(self, orders: Mapping[int, JobSpec], workers: int) -> dict[int, RayJob]:
        """Starts jobs."""
        found = {}
        for slot, order in orders.items():
            self._started += 1
            key = str(self._started)
            threads = max(1, int(self.cpus))
            task = self._task
            if self._group is not None:
                task = task.options(scheduling_strategy=self._bundle(slot))
            shared = GROW if self.gpus % 1 else {}  # a part of a GPU: no job may take all of it
            order = replace(
                order, threads=threads, marker=self._marker,
                environment={**order.environment, **shared},
            )  # fmt: skip
            reference = task.remote(order, key, self._mailbox)
            found[slot] = RayJob(self._ray, self._mailbox, key, reference)
        return found

    def places(self, count: int) -> list[str]:
        """Returns where processes that train together may listen: on as many nodes as there are."""
        ray = self._ray
        if self._group is not None:  # of an earlier attempt; a node of it may be lost
            ray.util.remove_placement_group(self._group)
        needs = self._needs()
        self._group = ray.util.placement_group([needs] * count, strategy="SPREAD")
        try:
            ray.get(self._group.ready(), timeout=_PLACES_SECONDS)
        except ray.exceptions.GetTimeoutError as error:
            raise KxError(
                f"The Ray cluster has no room for {count} processes of {needs} at once:"
                f" {ray.available_resources()} is free."
            ) from error
        ask = ray.remote(num_cpus=0)(free_place)
        asked = [ask.options(scheduling_strategy=self._bundle(i)).remote() for i in range(count)]
        return ray.get(asked, timeout=_PLACES_SECONDS)

    def _bundle(self, slot: int) -> Any:
        return self._ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(
            self._group, placement_group_bundle_index=slot
        )

    def listen(self, handles: Mapping[int, RayJob]) -> Iterator[tuple[int, Message | None]]:
        """Waits a moment for what jobs say."""
        references = {handle.reference: slot for slot, handle in handles.items()}
        ready, _ = self._ray.wait(list(references), num_returns=len(references), timeout=0)
        slots = {handle.key: slot for slot, handle in handles.items()}
        # What has ended has said all before, so that it is heard now.
        for key, kind, values in self._take():
            if key not in slots:  # of an earlier attempt
                continue
            handle = handles[slots[key]]
            if kind == "exit":
                handle.said_ending = values["ending"]
            else:
                handle.running = True
                yield slots[key], (kind, values)
        for slot, handle in handles.items():
            if handle.reference in ready or handle.said_ending or handle.cancelled:
                yield slot, None

    def _take(self) -> list[tuple[str, str, dict[str, Any]]]:
        try:
            return self._ray.get(self._mailbox.take.remote(_LISTEN_SECONDS))
        except self._ray.exceptions.RayError as error:
            raise KxError(f"The Ray cluster is lost: {first_line(error)}") from error

    def close(self) -> None:
        """Leaves the cluster; one of this machine ends."""
        self._ray.shutdown()
        if self._marker is not None:
            self._marker.unlink(missing_ok=True)
        self._leave()

    def _leave(self) -> None:
        for key, value in self._before.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value
        self._temporary.cleanup()

"""Ray engine: jobs on a running Ray cluster, or on one started on this machine."""

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
_TRIES = "RAY_NUM_REDIS_GET_RETRIES"  # number of attempts to connect to a cluster
_TOKEN = secrets.token_hex(32)  # one for all local clusters: Ray reads it once per process
_PLACES_SECONDS = 300.0
# Parts of the project folder that are not copied to nodes: results, .git, the environment.
_RESULTS = ("runs", "studies", "mlartifacts", "mlruns", "mlflow.db*", "exports")
_STAYS = [*(f"/{name}" for name in _RESULTS), ".git", ".venv"]


@dataclass
class Ray:
    """Runs jobs on a Ray cluster, each in a fresh process on one of its nodes.

    The project's code and kx are copied to the nodes. If the nodes share the
    project's folder, a job whose node was lost resumes on another one.

    Args:
        workers: Number of jobs that run at a time. Defaults to None: as many as the
            cluster has room for.
        address: Address of a running cluster, `host:6379` or `auto`. Defaults to None:
            starts one on this machine, which listens only on loopback and requires a
            token.
        cpus: Number of CPUs of each job, and of its threads. Defaults to 1.
        gpus: Number of GPUs of each job. Fractions such as 0.5 are allowed. Defaults to 0.
        memory_gb: Memory that each job reserves, in GiB. Defaults to None: none.
        resources: Custom Ray resources of each job, such as `{"large": 1}`. Defaults to
            None: none.
        timeout_minutes: Time in minutes after which a job is ended as FAILED. Defaults
            to None: no limit.
        max_retries: How often a job is run again after its node or process was lost, or
            memory ran out. Defaults to 2.
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
        """Returns the time limit of a job in minutes, from its start, or None."""
        return self.timeout_minutes

    def open(self, backend: str) -> None:
        """Connects to the cluster, or starts one.

        Args:
            backend: Keras backend of most jobs; not used.

        Raises:
            MissingExtraError: If Ray is not installed.
            KxError: If the cluster cannot be reached.
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
        self._group: Any = None  # placement group of processes that train together

    def _needs(self) -> dict[str, float]:
        """Returns the resources that a job reserves, by Ray's names."""
        memory = (self.memory_gb or 0) * 2**30
        needs = {"CPU": self.cpus, "GPU": self.gpus, "memory": memory}
        return {**{k: v for k, v in needs.items() if v}, **(self.resources or {})}

    def _warn_of_what_no_node_has(self) -> None:
        """Raises if no local node fits a job; only warns on a cluster, which may grow."""
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
        """Sets variables that Ray reads on import, and returns their previous values."""
        wanted = {"RAY_task_oom_retries": "0"}  # by default Ray retries for ever; kx retries itself
        if _TRIES not in os.environ:  # Ray's default is 20, each of 40 s if nothing answers
            wanted[_TRIES] = "1"
        if self.address is None:  # listens only on loopback, and requires the token
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
        """Raises OSError if no Ray cluster listens at the address: Ray would retry for long."""
        host, _, port = (self.address or "").rpartition(":")
        if not (host and port.isdigit()):
            return
        socket.create_connection((host, int(port)), timeout=_KNOCK_SECONDS).close()
        if os.environ.get("RAY_USE_TLS", "0") != "0":  # the check below would need its certificates
            return
        import grpc

        with grpc.insecure_channel(f"{host}:{port}") as channel:
            try:
                grpc.channel_ready_future(channel).result(timeout=_KNOCK_SECONDS)
            except grpc.FutureTimeoutError as error:
                raise OSError("what listens there does not answer as a Ray cluster") from error

    def _travels(self) -> dict[str, Any]:
        """Returns the Ray runtime environment that copies the project and kx to the nodes."""
        if self.address is None:
            return {}
        package = str(Path(kx.__file__).resolve().parent)
        return {"working_dir": str(project_dir()), "excludes": _STAYS, "py_modules": [package]}

    def start(self, orders: Mapping[int, JobSpec], workers: int) -> dict[int, RayJob]:
        """Starts jobs, and returns a handle for each slot."""
        found = {}
        for slot, order in orders.items():
            self._started += 1
            key = str(self._started)
            threads = max(1, int(self.cpus))
            task = self._task
            if self._group is not None:
                task = task.options(scheduling_strategy=self._bundle(slot))
            shared = GROW if self.gpus % 1 else {}  # a fraction of a GPU
            order = replace(
                order, threads=threads, marker=self._marker,
                environment={**order.environment, **shared},
            )  # fmt: skip
            reference = task.remote(order, key, self._mailbox)
            found[slot] = RayJob(self._ray, self._mailbox, key, reference)
        return found

    def places(self, count: int) -> list[str]:
        """Returns addresses `host:port` for processes that train together, on several nodes.

        Args:
            count: Number of processes.

        Raises:
            KxError: If the cluster has no room for all processes within 300 s.
        """
        ray = self._ray
        if self._group is not None:  # from an earlier attempt; one of its nodes may be lost
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
        """Waits briefly for messages of jobs."""
        references = {handle.reference: slot for slot, handle in handles.items()}
        ready, _ = self._ray.wait(list(references), num_returns=len(references), timeout=0)
        slots = {handle.key: slot for slot, handle in handles.items()}
        # `ready` is read first: all messages of an ended job are in the mailbox by now.
        for key, kind, values in self._take():
            if key not in slots:  # a message of an earlier attempt
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
        """Disconnects from the cluster; a cluster started by this engine ends."""
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

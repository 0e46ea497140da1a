"""MLflow's system metrics, sent as a run sends all of its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

_SAMPLING_SECONDS = 2  # a short run should have some points too: not MLflow's 10


class SystemMonitor(SystemMetricsMonitor):
    """Samples CPU, memory, disk, network and GPU from a thread of its own.

    MLflow's own asks the store with every sample whether the run goes on, and ends
    for good when the store does not answer once.

    Args:
        run_id: of the run.
        uri: of the store.
        log: function `(values, step)`.
    """

    def __init__(
        self, run_id: str, uri: str, log: Callable[[Mapping[str, float], int], None]
    ) -> None:
        super().__init__(
            run_id, sampling_interval=_SAMPLING_SECONDS, resume_logging=True, tracking_uri=uri
        )
        self._log = log

    def monitor(self) -> None:
        """Samples until `finish`; a run shorter than the interval has its first sample."""
        ended = False
        while not ended:
            for _ in range(self.samples_before_logging):
                self.collect_metrics()
                ended = self._shutdown_event.wait(self.sampling_interval)
                if ended:
                    break
            self.publish_metrics(self.aggregate_metrics())

    def publish_metrics(self, metrics: Mapping[str, float]) -> None:
        """Logs what was sampled."""
        prefix = self._metrics_prefix + (f"{self.node_id}/" if self.node_id else "")
        self._log({prefix + name: value for name, value in metrics.items()}, self._logging_step)
        self._logging_step += 1
        for monitor in self.monitors:
            monitor.clear_metrics()

"""Samples MLflow's system metrics, and logs them as a run logs all of its metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

_SAMPLING_SECONDS = 2  # MLflow's default of 10 gives short runs too few points


class SystemMonitor(SystemMetricsMonitor):
    """Samples CPU, memory, disk, network and GPU in a separate thread.

    MLflow's own monitor queries the status of the run at each sample, and ends permanently
    when the store fails to answer once.

    Args:
        run_id: Id of the run.
        uri: URI of the store.
        log: Function `(values, step)` that logs the metrics.
    """

    def __init__(
        self, run_id: str, uri: str, log: Callable[[Mapping[str, float], int], None]
    ) -> None:
        super().__init__(
            run_id, sampling_interval=_SAMPLING_SECONDS, resume_logging=True, tracking_uri=uri
        )
        self._log = log

    def monitor(self) -> None:
        """Samples until `finish`; a run shorter than the interval gets one sample."""
        ended = False
        while not ended:
            for _ in range(self.samples_before_logging):
                self.collect_metrics()
                ended = self._shutdown_event.wait(self.sampling_interval)
                if ended:
                    break
            self.publish_metrics(self.aggregate_metrics())

    def publish_metrics(self, metrics: Mapping[str, float]) -> None:
        """Logs the sampled metrics."""
        prefix = self._metrics_prefix + (f"{self.node_id}/" if self.node_id else "")
        self._log({prefix + name: value for name, value in metrics.items()}, self._logging_step)
        self._logging_step += 1
        for monitor in self.monitors:
            monitor.clear_metrics()

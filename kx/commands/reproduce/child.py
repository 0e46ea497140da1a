"""The separate process of `kx reproduce`, which trains a recorded config."""

from __future__ import annotations

import json
from pathlib import Path

from omegaconf import OmegaConf

from kx.config import Composed
from kx.run import report_errors


def main(job_file: str) -> None:
    """Trains the config of a job file, writes the new run's id, and exits.

    Args:
        job_file: Path to the JSON file, with the keys `config`, `overrides`, `choices`, `of` (id of
            the recorded run) and `result` (path of the file for the new id).
    """
    words = json.loads(Path(job_file).read_text(encoding="utf-8"))

    def action() -> None:
        from kx.process import choose_backend, import_quietly

        choose_backend(words["config"].get("backend", "tensorflow"))
        import_quietly()
        from kx.training import train

        job = Composed(OmegaConf.create(words["config"]), words["overrides"], words["choices"])
        run = train(job, tags={"kx.reproduces": words["of"]})
        Path(words["result"]).write_text(run.id, encoding="utf-8")

    raise SystemExit(report_errors(action))

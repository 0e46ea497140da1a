"""The config: its schema, and the functions that compose, check and build it.

Imports no TensorFlow, Keras or MLflow, so that the mistakes of a config are reported
within about a second.
"""

from kx.config.build import build
from kx.config.compose import (
    CONF_DIR,
    EXPERIMENTS_DIR,
    Composed,
    add_project_to_path,
    compose,
    compose_all,
    experiment_files,
    hydra_session,
    load_yaml,
    plain,
    project_dir,
    resolved,
)

__all__ = [
    "CONF_DIR",
    "EXPERIMENTS_DIR",
    "Composed",
    "add_project_to_path",
    "build",
    "compose",
    "compose_all",
    "experiment_files",
    "hydra_session",
    "load_yaml",
    "plain",
    "project_dir",
    "resolved",
]

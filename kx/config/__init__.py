"""The config: its schema, and the functions that compose, check and build it.

Imports no TensorFlow, Keras or MLflow, so that the mistakes of a config are reported
within about a second.
"""

from kx.config.build import build
from kx.config.compose import (
    Composed,
    add_project_to_path,
    compose,
    compose_all,
    hydra_session,
    load_yaml,
    plain,
    resolved,
)
from kx.config.places import CONF_DIR, EXPERIMENTS_DIR, experiment_files, project_dir

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

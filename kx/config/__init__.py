"""The config: its schema, how it is composed, checked and built.

Imports no TensorFlow, Keras or MLflow: a config that is wrong is told so in
about a second.
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

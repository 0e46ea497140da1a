"""What the fork server imports before the first job: nothing here may start TensorFlow.

A device query, an operation or a tensor would start threads, which no fork survives.
"""

import os

from kx.launch.here import hidden_stderr

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

with hidden_stderr():
    import keras  # noqa: F401
    import mlflow  # noqa: F401
    import sklearn.metrics  # noqa: F401
    import tensorflow  # noqa: F401

    import kx.report.reports
    import kx.tracking.mlflow
    import kx.training  # noqa: F401

"""Choices that kx does not support, each with the reason and an alternative."""

_STRATEGIES = (
    "What works: default (one device), mirrored (all GPUs of this machine), one_device,"
    " multi_worker (several machines), model_parallel (with backend=jax)."
)
_OTHER_STRATEGIES = {
    "multi_worker_mirrored": "It is called multi_worker here.",
    "parameter_server": "Keras 3 fails to train under ParameterServerStrategy.",
    "central_storage": "Keras 3 fails to train under CentralStorageStrategy.",
    "data_parallel": (
        "On TensorFlow, keras.distribution is accepted and does nothing; on JAX it is"
        " strategy=model_parallel strategy.model_devices=1."
    ),
}
_HYDRA = {
    "hydra": "Hydra's own settings are chosen already, and stay.",
    "hydra/launcher": (
        "kx launches jobs itself: each in a fresh process, since TensorFlow leaks memory, policies"
        " and layer names from job to job. Use -m with launcher.workers=N (launcher=local)."
    ),
    "hydra/sweeper": (
        "kx makes the jobs of a sweep itself, all checked before the first begins. Use -m with"
        " values, ranges and globs: -m model=cnn,mlp 'optimizer.learning_rate=choice(1e-3,3e-4)'."
    ),
}

# Hydra's own settings, by the start of their path, and their equivalents in kx.
_SETTINGS = {
    "hydra.launcher": _HYDRA["hydra/launcher"],
    "hydra.sweeper": _HYDRA["hydra/sweeper"],
    "hydra.run": "The folder of a run is run_dir=FOLDER.",
    "hydra.sweep": "Each job of a sweep has a folder of its own in runs/.",
    "hydra.output_subdir": "A run keeps its config in its own folder (run_dir).",
    "hydra.searchpath": "Further folders of options: --config-dir FOLDER.",
    "hydra.mode": "For a sweep: -m.",
    "hydra.job": "kx starts its jobs itself, in the current folder, with its environment.",
    "hydra.callbacks": "Callbacks are Keras's: callbacks.NAME={_target_: module.Class}.",
    "hydra.overrides": "It is what the command line says.",
    "hydra.runtime": "It is what Hydra finds.",
}


def setting_reason(key: str) -> str | None:
    """Returns why a setting of Hydra's is refused, or None if it is not.

    Args:
        key: Path of the key.
    """
    return next(
        (why for name, why in _SETTINGS.items() if key == name or key.startswith(f"{name}.")), None
    )


def reason(group: str, choice: object) -> str | None:
    """Returns why an option is refused, or None if it is not.

    Args:
        group: Name of the config group.
        choice: Name of the option.
    """
    if group in _HYDRA:
        return _HYDRA[group]
    if group == "strategy" and str(choice) in _OTHER_STRATEGIES:
        return f"{_OTHER_STRATEGIES[str(choice)]} {_STRATEGIES}"
    return None

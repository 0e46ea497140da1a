"""Choices that exist elsewhere and not here, each with its reason and with what works."""

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
    "hydra/launcher": (
        "kx launches jobs itself: each in a fresh process, since TensorFlow leaks memory, policies"
        " and layer names from job to job. Use -m with launcher.workers=N (launcher=local)."
    ),
    "hydra/sweeper": (
        "kx makes the jobs of a sweep itself, all checked before the first begins. Use -m with"
        " values, ranges and globs: -m model=cnn,mlp 'optimizer.learning_rate=choice(1e-3,3e-4)'."
    ),
}


def reason(group: str, choice: object) -> str | None:
    """Returns why an option is refused, or None if it is not.

    Args:
        group: the config group.
        choice: the option's name.
    """
    if group in _HYDRA:
        return _HYDRA[group]
    if group == "strategy" and str(choice) in _OTHER_STRATEGIES:
        return f"{_OTHER_STRATEGIES[str(choice)]} {_STRATEGIES}"
    return None

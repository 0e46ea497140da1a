"""The Python API: `kx.train(...)`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from kx.config import add_project_to_path, compose
from kx.config.overrides import word
from kx.config.schema import PIPELINE_KEYS
from kx.contracts.examples import Examples
from kx.contracts.specs import Data, Spec, Specs
from kx.data.sources.arrays.own import own_examples
from kx.errors import ConfigError
from kx.fit.model.checks import output_shape
from kx.fit.own import checked_callbacks, optimizer_words
from kx.launch.multi_process import is_team, refuse_teams
from kx.process import choose_backend
from kx.runs import Run, load_run
from kx.tracking.records import finished_record
from kx.tracking.resume import recorded_words
from kx.tracking.store import full_uri
from kx.training import train as train_job


def train(
    *overrides: str,
    model: keras.Model | str | None = None,
    data: Any = None,
    optimizer: keras.optimizers.Optimizer | Mapping[str, Any] | str | None = None,
    callbacks: Sequence[keras.callbacks.Callback] | Mapping[str, Any] | str | None = None,
    quiet: bool = False,
    **keys: Any,
) -> Run:
    """Trains a model and returns the finished run.

    Args:
        *overrides: Overrides as on the command line: `"model=cnn"`,
            `"optimizer.learning_rate=1e-3"`.
        model: Name of an option, or a `keras.Model` that gives raw scores (logits); what it
            was compiled with is not used.
        data: Name of an option, a `kx.Examples` or `kx.Data`, or your own examples: a
            `tf.data.Dataset` of `(inputs, targets)`, batched or not, a pair of
            arrays, or a dict with `"train"` and optionally `"validation"`
            and `"test"` whose values are any of these.
        optimizer: Name of an option, a dict of its arguments, or a Keras optimizer of a class
            that an option has. The config records its arguments.
        callbacks: Name of an option, a dict of entries, or your own Keras callbacks, which
            run after those of the config.
        quiet: Whether to show no progress. Defaults to False.
        **keys: Additional overrides of top-level keys: `epochs=3`; a dict sets
            the keys below: `optimizer={"learning_rate": 1e-3}`.

    Returns:
        The finished run: `run.metrics`, `run.history`, `run.predict(…)` …

    Raises:
        ConfigError: If the config has mistakes. Its message lists all of them.

    Example:
        run = kx.train("model=cnn", "data=digits", epochs=3)
        run.metrics["test/accuracy"]
    """
    add_project_to_path()
    own_callbacks: list[keras.callbacks.Callback] = []
    if callbacks is not None and not isinstance(callbacks, str | Mapping):
        own_callbacks = checked_callbacks(callbacks)
    words = _overrides(overrides, model, data, optimizer, callbacks, keys)
    own_model = _own_model(model, takes_own_data=not isinstance(data, str | None))
    own_data = None
    if data is not None and not isinstance(data, str):
        _refuse_keys_of_options(words)
        own_data = data if isinstance(data, Data | Examples) else _examples_of(data, own_model)
        if not any(word.startswith("task=") for word in words):
            words.append(f"task={_fitting_task(own_data, own_model)}")
    job = compose(recorded_words(words))
    choose_backend(job.config.backend)
    if is_team(job):
        refuse_teams([job])
    own = {"model": own_model, "data": own_data, "callbacks": own_callbacks or None}
    given = [kind for kind, item in own.items() if item is not None]
    done = None if given else finished_record(job)
    if done is not None and done.uri is not None and done.run_id is not None:
        return load_run(done.run_id, uri=full_uri(done.uri, job.config.tracking.uri))
    if own_model is not None:
        job.choices["model"] = own_model.name
    if own_data is not None:
        job.choices["data"] = own_data.name
    tags = {"kx.own_objects": ",".join(given)} if given else {}
    return train_job(
        job, data=own_data, core=own_model, callbacks=own_callbacks, quiet=quiet, tags=tags
    )


def _overrides(
    overrides: Sequence[str],
    model: Any,
    data: Any,
    optimizer: Any,
    callbacks: Any,
    keys: Mapping[str, Any],
) -> list[str]:
    """Returns the arguments of `train` that a config can express, as overrides."""
    for one in overrides:
        if not isinstance(one, str):
            raise ConfigError(
                "kx.train takes overrides one by one: kx.train('model=cnn', 'epochs=3', …)."
                f" Received: {one!r}."
            )
    words = [*_words_of(optimizer, callbacks), *overrides, *_words(keys)]
    if isinstance(model, str):
        words.insert(0, f"model={model}")
    elif isinstance(model, Mapping):
        words += _words(model, "model.")
    if isinstance(data, str):
        words.insert(0, f"data={data}")
    elif data is not None and not any(word.startswith("augment=") for word in words):
        words.append("augment=none")  # the default augmentation is for the default data
    return words


def _own_model(model: Any, *, takes_own_data: bool) -> keras.Model | None:
    """Returns the user's own model, or None if the config names one.

    Raises:
        ConfigError: If it is not a model, or is not built although its shapes are needed.
    """
    if model is None or isinstance(model, str | Mapping):
        return None
    if not isinstance(model, keras.Model):
        raise ConfigError(
            "model: expected an option's name, a mapping of its arguments or a keras.Model."
            f" Received: {model!r}."
        )
    if model.compiled:
        print(
            f"note: what {model.name!r} was compiled with is not used: its optimizer is"
            " kx.train(optimizer=…), its loss and metrics are those of the task (task.loss=…)",
            file=sys.stderr,
        )
    if takes_own_data and not model.built:
        raise ConfigError(
            f"The model {model.name!r} is not built: begin it with keras.Input(shape), or"
            " call it once on a batch."
        )
    return model


def _refuse_keys_of_options(words: Sequence[str]) -> None:
    """Raises an error for overrides of a data option, where the examples are the user's own.

    Raises:
        ConfigError: If there is such an override.
    """
    for one in words:
        key = one.lstrip("+~").partition("=")[0]
        if key == "data" or (key.startswith("data.") and key[5:] not in PIPELINE_KEYS):
            raise ConfigError(
                f"{one} is for a data option, and data=… of kx.train has the examples themselves."
                " Divide them yourself: data={'train': (x, y), 'validation': (…), 'test': (…)}; or"
                " save them, and take data=arrays."
            )


def _words_of(optimizer: Any, callbacks: Any) -> list[str]:
    """Returns the overrides for an optimizer and callbacks, the user's own callbacks excepted."""
    if isinstance(optimizer, type):
        raise ConfigError(
            f"optimizer: expected an object, not a class: {optimizer.__name__}(learning_rate=1e-3)."
        )
    if isinstance(optimizer, keras.optimizers.Optimizer):
        words = optimizer_words(optimizer)
    else:
        words = [] if optimizer is None else _words({"optimizer": optimizer})
    return words + (
        _words({"callbacks": callbacks}) if isinstance(callbacks, str | Mapping) else []
    )


def _words(keys: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Returns keyword arguments as overrides."""
    words = []
    for key, value in keys.items():
        if isinstance(value, Mapping) and "_target_" not in value:
            words += _words(value, f"{prefix}{key}.")
        else:
            words.append(word(f"{prefix}{key}", value))
    return words


def _examples_of(data: Any, model: keras.Model | None) -> Examples:
    """Returns a user's own examples in the form that the user's own model takes."""
    if model is None:
        return own_examples(data)
    wanted = getattr(model, "inputs", None)

    def num_scores(inputs: Specs) -> int | None:
        shape = output_shape(model, inputs)
        single = isinstance(shape, tuple) and shape and isinstance(shape[-1], int)
        return shape[-1] if single else None  # several outputs raise a ConfigError later

    return own_examples(
        data,
        input_rank=len(wanted[0].shape) if wanted else None,
        input_dtype=wanted[0].dtype if wanted else None,
        num_scores=num_scores,
    )


def _fitting_task(data: Data | Examples, model: keras.Model | None) -> str:
    inputs, targets = (
        (data.input_spec, data.target_spec)
        if isinstance(data, Examples)
        else (data.inputs, data.targets)
    )
    if isinstance(targets, Spec) and targets.kind == "mask" and targets.class_names is not None:
        return "segmentation"
    if not isinstance(targets, Spec) or len(targets.shape) > 1:
        form = f"shape {targets.shape}" if isinstance(targets, Spec) else f"fields {list(targets)}"
        raise ConfigError(
            f"The targets have the {form}, for which no task is shipped. Name your"
            " own: task=NAME (docs/architecture.md, Contracts)."
        )
    if targets.class_names is None:
        return "regression"
    shape = None if model is None else output_shape(model, inputs)
    if isinstance(shape, tuple) and shape[-1] == 1 and targets.num_classes == 2:
        return "binary"
    return "classification" if targets.shape == () else "multilabel"

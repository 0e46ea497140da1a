"""`kx summary`: layers, parameters, operations and memory of a model."""

from __future__ import annotations

import functools
import math

import keras
import tensorflow as tf

from kx.config import Composed
from kx.contracts.fields import map_fields, named_fields, values_of
from kx.fit.display import summary_text
from kx.fit.model.checks import ends_of
from kx.fit.model.learner import Built, optimizers_of


def forward_flops(model: keras.Model, length: int = 1) -> int:
    """Returns the floating-point operations of a forward pass on one example.

    A multiplication and an addition count as two operations, as in TensorFlow's
    profiler; operations unknown to it are not counted.

    Args:
        model: Built model.
        length: Size of the axes of any size: the number of tokens of a text. Defaults to 1.
    """
    tf.get_logger().setLevel("ERROR")  # the profiler logs its own deprecations
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2_as_graph,
    )

    inputs, _ = ends_of(model)
    specs = map_fields(
        lambda x: tf.TensorSpec((1, *(size or length for size in x.shape[1:])), x.dtype), inputs
    )
    function = tf.function(lambda x: model(x, training=False))
    _, graph_def = convert_variables_to_constants_v2_as_graph(function.get_concrete_function(specs))
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(graph_def, name="")
        options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
        options["output"] = "none"
        profile = tf.compat.v1.profiler.profile(graph, cmd="op", options=options)
    return int(profile.total_float_ops)


def memory_bytes(built: Built, batch_size: int, length: int = 1) -> dict[str, int]:
    """Returns an estimate of the memory of a training step, by purpose.

    Args:
        built: Built model, and its learner, which is compiled.
        batch_size: Number of examples in a batch.
        length: Size of the axes of any size: the number of tokens of a text. Defaults to 1.

    Returns:
        Bytes of `"weights"`, `"gradients"`, `"optimizer"` and `"activations"`.
    """
    learner = built.learner
    weights = sum(math.prod(v.shape) * _bytes(v.dtype) for v in learner.variables)
    gradients = sum(math.prod(v.shape) * _bytes(v.dtype) for v in learner.trainable_variables)
    slots = 0
    for optimizer in optimizers_of(learner):
        if not optimizer.built:
            optimizer.build(learner.trainable_variables)
        slots += sum(math.prod(v.shape) * _bytes(v.dtype) for v in optimizer.variables)
    outputs = 0
    for layer in _leaf_layers(built.model):
        tensors = getattr(layer, "output", None)
        for tensor in keras.tree.flatten(tensors):
            count = math.prod(size or length for size in tensor.shape[1:])
            outputs += count * _bytes(layer.compute_dtype or "float32")
    return {
        "weights": weights,
        "gradients": gradients,
        "optimizer": slots,
        "activations": outputs * batch_size,
    }


_NOUNS = {"train": "steps", "validation": "episodes", "test": "episodes"}


def _leaf_layers(model: keras.Model) -> list[keras.layers.Layer]:
    leaves = []
    for layer in model.layers:
        leaves += _leaf_layers(layer) if isinstance(layer, keras.Model) else [layer]
    return leaves


def _bytes(dtype: str) -> int:
    return tf.as_dtype(dtype).size


def show_summary(job: Composed) -> None:
    """Prints the summary of a config's model, without training it.

    Args:
        job: Composed config.
    """
    from kx.fit.batches import make_data
    from kx.fit.fit import phase_line
    from kx.fit.model.assemble import assemble, make_optimizer
    from kx.fit.model.builder import compile_options
    from kx.fit.model.phases import make_plan
    from kx.run_names import named_runs
    from kx.runs import load_run
    from kx.strategy import prepare_process
    from kx.tasks.make import make_task

    config = job.config
    prepare_process(config)
    data = make_data(config)
    load = functools.partial(load_run, uri=config.tracking.uri)
    named = named_runs(config, "task", load)
    task = make_task(
        config.task, data.inputs, data.targets, data.facts, named=named,
        environment=data.environment,
    )  # fmt: skip
    built = assemble(config, data, task, named=named_runs(config, "model", load))
    model = built.model
    padded = [one for one in values_of(data.inputs) if one.padding_value is not None]
    length = max((one.shape[0] for one in padded), default=1)
    phases = make_plan(config, data).phases
    lines, memory = [], dict[str, int]()
    for phase in reversed(phases):  # ends in the state of the first phase
        if phase.prepare is not None:
            phase.prepare(model)
        optimizer = make_optimizer(config, 1, learning_rate=phase.learning_rate)
        task.compile(built.learner, optimizer, **compile_options(config))
        lines.append(phase_line(built, phase))
        for what, size in memory_bytes(built, config.batch_size, length).items():
            memory[what] = max(size, memory.get(what, 0))
    print(summary_text(model))
    if len(phases) > 1:
        print("\n".join(reversed(lines)))
    for name, split in data.splits.items():
        noun = "examples" if data.environment is None else _NOUNS[name]
        print(f"{f'{name} {noun}':<24}{int(split.cardinality()):>14,}")
    for name, spec in named_fields(data.inputs, "prepared input").items():
        print(f"{name:<24}{spec.dtype + ' ' + str(spec.shape):>14}")
    for name, output in named_fields(task.outputs, "scores").items():
        print(f"{name:<24}{math.prod(size or 1 for size in output.shape):>14,}")
    print(f"{'FLOPs, forward, 1 example':<24}{forward_flops(model, length):>13,}")
    for what, size in memory.items():
        label = f"{what} (batch of {config.batch_size})" if what == "activations" else what
        print(f"{label:<28}{size / 2**20:>10,.1f} MiB")

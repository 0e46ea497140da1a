"""A hand-written deep Q-learning on CartPole-v1: one tf.function to act, one to learn.

The loop is that of CleanRL's dqn.py (https://docs.cleanrl.dev/rl-algorithms/dqn/), in TensorFlow:
a ring of NumPy arrays is the memory. Prints the seconds of each 1,000 steps.

    plain_dqn.py --epochs 6
"""

from __future__ import annotations

import argparse
import time

import gymnasium
import keras
import numpy as np
import tensorflow as tf
from result import print_result

SIZE, BATCH_SIZE, STARTS, EVERY, TARGET_STEPS, STEPS = 50_000, 64, 1000, 4, 500, 1000


def network() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(2),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=6)
    args = parser.parse_args()
    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    environment = gymnasium.make("CartPole-v1")
    model, target = network(), network()
    target.set_weights(model.get_weights())
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)
    huber = keras.losses.Huber()

    @tf.function(input_signature=[tf.TensorSpec([1, 4])])
    def best(observation: tf.Tensor) -> tf.Tensor:
        return tf.argmax(model(observation, training=False)[0])

    @tf.function
    def learn(before, action, reward, after, terminated):  # type: ignore[no-untyped-def]
        by = tf.argmax(model(after, training=False), axis=1)
        there = tf.gather(target(after, training=False), by, batch_dims=1)
        wanted = reward + 0.99 * (1 - terminated) * there
        with tf.GradientTape() as tape:
            found = tf.gather(model(before, training=True), action, batch_dims=1)
            loss = huber(wanted, found)
        weights = model.trainable_variables
        optimizer.apply(tape.gradient(loss, weights), weights)

    seen, seen_after = (np.zeros((SIZE, 4), "float32") for _ in range(2))
    actions = np.zeros(SIZE, "int32")
    rewards, ends = (np.zeros(SIZE, "float32") for _ in range(2))
    observation, _ = environment.reset(seed=0)
    seconds, begun = [], time.perf_counter()
    for age in range(args.epochs * STEPS):
        exploration = max(0.05, 1 - 0.95 * age / 10_000)
        if generator.random() < exploration:
            action = int(generator.integers(2))
        else:
            action = int(best(tf.constant(observation[None])))
        after, reward, terminated, truncated, _ = environment.step(action)
        place = age % SIZE
        seen[place], seen_after[place] = observation, after
        actions[place], rewards[place], ends[place] = action, reward, terminated
        observation = environment.reset()[0] if terminated or truncated else after
        number = age + 1
        if number > STARTS and number % EVERY == 0:
            places = generator.integers(0, min(number, SIZE), BATCH_SIZE)
            memory = (seen, actions, rewards, seen_after, ends)
            learn(*(tf.constant(one[places]) for one in memory))
        if number % TARGET_STEPS == 0:
            target.set_weights(model.get_weights())
        if number % STEPS == 0:
            seconds.append(time.perf_counter() - begun)
            begun = time.perf_counter()
    print_result(step_seconds=seconds)


if __name__ == "__main__":
    main()

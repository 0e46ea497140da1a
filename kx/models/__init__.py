"""Model builders: functions `(inputs, outputs, *, <sizes>) -> keras.Model`.

A builder depends only on shapes and its own sizes. Its model takes normalized
input, gives raw scores, is not compiled, and consists of Keras layers.
"""

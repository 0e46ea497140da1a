"""Model builders: functions `(inputs, outputs, *, <sizes>) -> keras.Model`.

A builder knows shapes and its own sizes, nothing else. It sees normalized
input and returns an uncompiled model that gives raw scores, in pure Keras.
"""

"""Evaluates checkpoints beside the training: a small supervisor and warm workers.

The supervisor side (everything but `worker`, `load`, `batches`, `rows` and `publish`) needs the
standard library and watchdog only; the worker side runs in a subprocess and imports torch and
pyarrow.
"""

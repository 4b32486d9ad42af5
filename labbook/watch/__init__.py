"""Evaluates checkpoints beside the training: a small supervisor and warm workers.

The supervisor side needs the standard library and watchdog only. The worker side (`worker`, and
what it imports: `materialise` and `way_in` to the run's code, `program`, `bench`, `session`,
`load`, `rows`, `publish`) runs in a subprocess and imports torch and pyarrow.
"""

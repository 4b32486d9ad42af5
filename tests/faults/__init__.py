"""What goes wrong on purpose, many times over: `python -m tests.faults`."""

# make demo     train the example with a watcher beside it, and look at the result (about two minutes)
# make test     the whole test suite
# make bench    the benchmarks, beside floors and other trackers (installed apart, 2 GB, into .venv-peers)
# make faults   thousands of interrupted saves, watchers killed and paused, random keys (a quarter of an hour)
# make planted  how many of two hundred planted mistakes `labbook check` finds, and its false alarms
# make check    ruff and mypy
# Each sets up .venv first where it has to. PYTHON=/path/to/python picks the interpreter (3.11 or newer).

.PHONY: help demo test bench faults planted check

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed -n 1,7p

demo:
	@.ci/venv example
	@.venv/bin/python examples/digits/demo.py

test:
	@.ci/venv dev
	@.ci/test

bench:
	@.ci/venv dev
	@tests/benchmarks/setup-peers
	@.venv/bin/python -m tests.benchmarks --peers

faults:
	@.ci/venv dev
	@.venv/bin/python -W ignore -m tests.faults

planted:
	@.ci/venv dev
	@.venv/bin/python -m tests.planted -v

check:
	@.ci/venv dev
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m ruff format --check .
	@.venv/bin/python -m mypy

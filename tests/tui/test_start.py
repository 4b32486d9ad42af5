"""What the first frame costs: no numpy, no Arrow, no git, no torch before it."""

from __future__ import annotations

import subprocess
import sys

from tests.tui.lab import environment

HEAVY = ("numpy", "pyarrow", "torch", "git", "duckdb", "polars", "pandas", "PIL", "tree_sitter")


def test_the_first_frame_loads_nothing_heavy() -> None:
    code = (
        "import sys, labbook_tui.start, labbook_tui.app\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_command_line_loads_no_textual_for_other_verbs() -> None:
    code = "import sys, labbook.cli, labbook.cli.terminal\nprint('textual' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_without_a_terminal_it_names_the_way_out() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "labbook.cli", "tui"],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "Error: the terminal program needs a terminal on stdin and stderr; "
        "in a pipe use labbook ls\n"
    )

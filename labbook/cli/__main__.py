"""`python -m labbook.cli`: the same as `labbook`."""

from labbook.cli import main

main(prog_name="labbook")

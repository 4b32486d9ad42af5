"""The rules: one a file, or a tight family a file; see `labbook.checks.rule`."""

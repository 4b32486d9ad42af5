"""`labbook check`: the craft of training nets as rules that run; see `labbook.checks.rule`."""

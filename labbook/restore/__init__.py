"""Gives a run's code back, runs it again, and tells whether the two agree.

Invariant: restoring executes nothing of a book and writes nowhere but below the folder named; only
`rerun` executes, after the whole command has been shown.
"""

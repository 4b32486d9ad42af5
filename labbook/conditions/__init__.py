"""What a run was started with: arguments, code, packages, machine, environment, seeds.

Invariant: recording conditions never changes the program: nothing is monkey-patched, no
third-party library is imported that the program has not imported itself, the user's repository
is only read, and what cannot be found out is null with a reason, never guessed.
"""

"""What frameworks call: their logger and callback interfaces, using labbook's client alone.

One framework a module, imported only by those who use it. The scripts for git are in `git/`.
"""

"""Pictures as the terminal itself can show them: which protocol, its bytes, what is on screen."""

from __future__ import annotations

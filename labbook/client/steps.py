"""The implicit step: a name logged again begins the next one.

After an explicit step the implicit ones continue from it. Not thread-safe by itself: the run calls
it under the journal's lock.
"""

from __future__ import annotations

from labbook.journal.writer import RowSchema

__all__ = ["Steps"]

_LOOP = 20
"""So many steps in a row, all begun by one name while others wait, look like a validation loop."""


class Steps:
    """Where a run stands."""

    def __init__(self, first: int = 0) -> None:
        self.current = first
        self.seen: dict[RowSchema, None] = {}
        """What was logged at the current step."""
        self._leader: RowSchema | None = None  # whose repetition began the step before
        self._first: RowSchema | None = None
        self._in_a_row = 0
        self.looping: str | None = None
        """A metric that advances the step in a loop of its own; set once, for the run to tell."""

    def explicit(self, schema: RowSchema, step: int) -> int:
        """Note an explicit step."""
        if step != self.current:
            self.current = step
            self.seen = {}
        self.seen[schema] = None
        return step

    def implicit(self, schema: RowSchema) -> int:
        """Return the step of a call that named none."""
        seen = self.seen
        if schema in seen or any(not s.nameset.isdisjoint(schema.nameset) for s in seen):
            self._advance(schema)
        self.seen[schema] = None
        return self.current

    def _advance(self, schema: RowSchema) -> None:
        self.current += 1
        self.seen = {}
        if self._first is None:
            self._first = schema
        if schema is self._leader:
            self._in_a_row += 1
        else:
            # another name takes over again after a long row of one that did not come first
            if self._in_a_row >= _LOOP and self._leader is not self._first:
                self.looping = ", ".join(self._leader.names) if self._leader else None
            self._leader, self._in_a_row = schema, 1

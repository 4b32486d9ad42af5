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
        self.first: RowSchema | None = None
        self.rest: list[RowSchema] = []
        """What was logged at the current step: `first`, then `rest`."""
        self._leader: RowSchema | None = None  # whose repetition began the step before
        self._opener: RowSchema | None = None
        self._in_a_row = 0
        self.looping: str | None = None
        """A metric that advances the step in a loop of its own; set once, for the run to tell."""

    def explicit(self, schema: RowSchema, step: int) -> int:
        """Note an explicit step."""
        if step == self.current:
            if schema is not self.first and schema not in self.rest:
                self.rest.append(schema)
        else:
            self.current, self.first = step, schema
            if self.rest:
                self.rest = []
        return step

    def implicit(self, schema: RowSchema) -> int:
        """Return the step of a call that named none."""
        first = self.first
        if schema is first:
            self._advance(schema)
        elif first is None:
            self.first = schema
        elif any(not s.nameset.isdisjoint(schema.nameset) for s in (first, *self.rest)):
            self._advance(schema)
        else:
            self.rest.append(schema)
        return self.current

    def _advance(self, schema: RowSchema) -> None:
        self.current += 1
        self.first = schema
        if self.rest:
            self.rest = []
        if self._opener is None:
            self._opener = schema
        if schema is self._leader:
            self._in_a_row += 1
        else:
            # another name takes over again after a long row of one that did not come first
            if self._in_a_row >= _LOOP and self._leader is not self._opener:
                self.looping = ", ".join(self._leader.names) if self._leader else None
            self._leader, self._in_a_row = schema, 1

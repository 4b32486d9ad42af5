"""Text from a run, made safe for a terminal.

Names, messages and paths in a book come from programs and from other people: an escape sequence in
one must not reach the screen. Standard library only.
"""

from __future__ import annotations

import re

__all__ = ["clean"]

_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # OSC, DCS …
    r"|\x1b[ -/]*[0-~]"  # other escapes
)
_BREAKS = re.compile(r"\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")
# C0, DEL, C1; marks that reorder or hide text; halves of surrogate pairs
_CONTROLS = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]"
)
_SURROGATES = re.compile("[\ud800-\udfff]")


def clean(text: object, *, lines: bool = False) -> str:
    """Return `text` without escape sequences, control characters and marks that reorder text.

    A tab becomes a space, and so does the end of a line unless `lines` keeps line ends as "\\n".
    """
    result = _SEQUENCES.sub("", str(text))
    result = _BREAKS.sub("\n" if lines else " ", result).replace("\t", " ")
    return _SURROGATES.sub("\ufffd", _CONTROLS.sub("", result))

"""How pictures reach this terminal, by what it says of itself in the environment.

Nothing is asked of the terminal: an answer that comes late, over ssh, would be read as keys.
tmux and screen take the sequences for themselves, so none is ever sent through them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

from labbook.errors import MisuseError

__all__ = ["Images", "images_for"]

Images = Literal["kitty", "sixel", "blocks", "off"]

_KITTY_TERMS = ("xterm-kitty", "xterm-ghostty")
_SIXEL_PROGRAMS = ("iTerm.app", "WezTerm")
"""WezTerm knows kitty's too, but answers it even when told not to."""
_SIXEL_TERMS = ("foot", "mlterm", "contour", "yaft")
_KONSOLE_WITH_SIXEL = 220400


def images_for(wish: str, environ: Mapping[str, str], *, has_cells: bool = True) -> Images:
    """The protocol for a wish: auto, kitty, sixel, blocks or off.

    `has_cells` says whether the driver knows what stands in each cell; without that, pictures would
    be written over. Raises `MisuseError` for one that cannot work here.
    """
    if wish in {"blocks", "off"}:
        return cast("Images", wish)
    within = _multiplexer(environ)
    if wish == "auto":
        return "blocks" if within or not has_cells else _said(environ)
    if within:
        raise MisuseError(
            f"--images {wish}: {within} keeps pictures from the terminal; use --images blocks, or "
            f"open labbook outside {within}"
        )
    if not has_cells:
        raise MisuseError(f"--images {wish} needs labbook's own driver: leave out --plain-driver")
    return cast("Images", wish)


def _multiplexer(environ: Mapping[str, str]) -> str:
    term = environ.get("TERM", "")
    if environ.get("TMUX") or term.startswith("tmux"):
        return "tmux"
    if environ.get("STY") or term.startswith("screen"):
        return "screen"
    return "zellij" if environ.get("ZELLIJ") else ""


def _said(environ: Mapping[str, str]) -> Images:
    """What the terminal's own variables say; TERM alone comes through ssh."""
    term, program = environ.get("TERM", ""), environ.get("TERM_PROGRAM", "")
    if environ.get("NO_COLOR"):
        return "blocks"
    if term in _KITTY_TERMS or environ.get("KITTY_WINDOW_ID") or program == "ghostty":
        return "kitty"
    konsole = environ.get("KONSOLE_VERSION", "")
    has_sixel = konsole.isdecimal() and int(konsole) >= _KONSOLE_WITH_SIXEL
    if has_sixel or term.split("-")[0] in _SIXEL_TERMS or program in _SIXEL_PROGRAMS:
        return "sixel"
    return "blocks"

"""Prints a score: figures first, then what was missed, misnamed and alarmed wrongly, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import mean

from tests.planted.scoring import Score, Seen, wilson


def print_score(score: Score) -> None:
    """Print all of it."""
    if score.faults:
        _faults(score)
    if score.clean:
        hits = len(score.alarmed)
        _share("false alarms", hits, len(score.clean), "clean programs with a warn or fail")
    _exact(score)
    times = score.seconds()
    if times:
        print(f"{'seconds':<20} median {times[0]:.1f}, 95th percentile {times[1]:.1f}")
    _lists(score)


def _share(title: str, hits: int, n: int, what: str) -> None:
    low, high = wilson(hits, n)
    share = f"{hits}/{n} = {hits / n:.1%}"
    print(f"{title:<20} {share:<18} ({low:.1%} to {high:.1%})  {what}")


def _faults(score: Score) -> None:
    n = len(score.faults)
    _share("detection", sum(s.is_detected for s in score.faults), n, "any warn or fail")
    first = sum(s.is_right_first for s in score.faults)
    _share("right rule first", first, n, "the first that is not folded names the fault")
    _share("right rule", sum(s.is_right for s in score.faults), n, "any that is not folded does")
    detected = [s for s in score.faults if s.is_detected]
    if detected:
        alarms = mean(len(s.alarms) for s in detected)
        folded = mean(len(s.folded) for s in detected)
        print(f"{'alarms a fault':<20} {alarms:.2f} after folding, and {folded:.2f} folded")


def _exact(score: Score) -> None:
    print(f"\n{'exact check':<30} {'faults':>7} {'missed':>7} {'false alarms':>13}")
    for row in score.exact():
        print(f"{row.check:<30} {row.n:>7} {len(row.missed):>7} {len(row.false):>13}")
        for name in row.missed:
            print(f"    missed        {name}")
        for name in row.false:
            print(f"    false alarm   {name}")
    print()


def _lists(score: Score) -> None:
    missed = [s for s in score.faults if not s.is_detected and not s.error]
    wrong = [s for s in score.faults if s.is_detected and not s.is_right]
    later = [s for s in score.faults if s.is_right and not s.is_right_first]
    everything = [*score.faults, *score.clean]
    _list("missed", missed, lambda s: f"wanted {_some(s.rules)}; notes: {_some(s.notes)}")
    _list("wrong rule", wrong, lambda s: f"wanted {_some(s.rules)}; said {_said(s)}")
    _list("right rule, not first", later, _said)
    _list("false alarms", score.alarmed, _said)
    _list("no report", [s for s in everything if s.error], lambda s: s.error)
    _list("rules that broke", [s for s in everything if s.broken], lambda s: _some(s.broken))


def _list(title: str, seen: Sequence[Seen], text: Callable[[Seen], str]) -> None:
    if not seen:
        return
    print(f"\n{title}: {len(seen)}")
    for s in sorted(seen, key=lambda s: s.program.name):
        print(f"  {s.program.name:<42} {text(s)}")


def _said(s: Seen) -> str:
    folded = f" (folded: {_some(s.folded)})" if s.folded else ""
    return _some(s.alarms) + folded


def _some(names: Iterable[str], limit: int = 4) -> str:
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (", ".join(names[:limit]) or "none") + more

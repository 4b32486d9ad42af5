"""The filter language of the run table, on the command line and in the terminal program.

    filter     = any ; any = all { "or" all } ; all = one { ["and"] one }
    one        = ( "not" | "-" ) one | "(" any ")" | FIELD operator VALUES | WORD
    operator   = "=" "==" "!=" "<" "<=" ">" ">=" "~" (contains) "!~" ":"
    VALUES     = VALUE { ( "," | "|" ) VALUE }     any of them; of none of them after != and !~

    lr>1e-3 and model=cnn and state=running and dirty
    val/loss<0.5 state:running,failed since:7d -tag:debug name~vit mixup

A space means and. A value is a word or a quoted text, which is taken as it stands; a word that is a
number is compared as one, `true`, `false` and `null` are themselves (as are `yes`, `no` and
`unknown` for what is true or false), and `age` and `duration` take 30s, 10m, 2h, 7d. Fields are
those of `labbook.book.fields`. Text is compared without regard to case.

`:` is the loose equal: text contains the value, a state begins with it, an age is at most it, and a
number equals it. `since:7d` and `since:2026-11-20` are about when a run began.

A WORD that is a field asks whether it is there and neither false, zero nor empty. Any other word,
and every quoted one, is looked for in name, id, state, group, tags and arguments.

A run that lacks the field fails every comparison with it except `=null`: nothing is known to be
unequal either.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labbook.book.fields import Field, Fields
from labbook.errors import MisuseError

if TYPE_CHECKING:
    from labbook.book.summary import RunSummary

__all__ = ["Test", "parse"]

Test = Callable[["RunSummary"], bool]

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<bracket>[()])
      | (?P<operator>==|!=|<=|>=|!~|[=<>~:])
      | (?P<quoted>"[^"]*"|'[^']*')
      | (?P<minus>-(?=[^\s)]))
      | (?P<word>[^\s()=<>~!"'&]+)
    )""",
    re.VERBOSE,
)
# what begins like an operator is a slip, such as lr>>1; but ~/data is a path
_VALUE = re.compile(
    r"""\s*(?:(?P<quoted>"[^"]*"|'[^']*')|(?P<word>(?:~/|[^\s()"'=<>!~:])[^\s()]*))"""
)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_ORDERINGS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_CONSTANTS = {"true": True, "yes": True, "false": False, "no": False}


def parse(text: str, fields: Fields) -> Test:
    """Return the test that a filter means; raises `MisuseError` that shows where it breaks off."""
    parser = _Parser(text, fields)
    test = parser.any()
    if parser.kind:
        raise parser.error("expected another condition or the end")
    return test


class _Parser:
    """One filter being read: `kind` and `token` are the next token, "" and "" at the end."""

    def __init__(self, text: str, fields: Fields) -> None:
        self.text, self.fields = text, fields
        self.start = self.end = 0
        self.kind = self.token = ""
        self._advance()

    def _advance(self, pattern: re.Pattern[str] = _TOKEN) -> None:
        self.start = self.end
        match = pattern.match(self.text, self.end)
        if match is None:
            if self.text[self.end :].strip() and pattern is _TOKEN:
                raise self.error("cannot be read")
            self.kind = self.token = ""
            return
        self.kind = match.lastgroup or ""
        self.token = match[self.kind]
        self.start, self.end = match.start(self.kind), match.end()

    def error(self, what: str) -> MisuseError:
        rest = self.text[self.start :].strip()
        place = f"at {rest!r}" if rest else "at its end"
        return MisuseError(f"filter {self.text!r} {what} {place}")

    def _is(self, word: str) -> bool:
        return self.kind in {"word", "bracket", "minus"} and self.token.lower() == word

    def _take(self, word: str) -> bool:
        if self._is(word):
            self._advance()
            return True
        return False

    def any(self) -> Test:
        tests = [self.all()]
        while self._take("or"):
            tests.append(self.all())
        return tests[0] if len(tests) == 1 else lambda run: any(test(run) for test in tests)

    def all(self) -> Test:
        tests = [self.one()]
        while self._take("and") or not (not self.kind or self._is("or") or self._is(")")):
            tests.append(self.one())
        return tests[0] if len(tests) == 1 else lambda run: all(test(run) for test in tests)

    def one(self) -> Test:
        if self._take("not") or self._take("-"):
            test = self.one()
            return lambda run: not test(run)
        if self._take("("):
            test = self.any()
            if not self._take(")"):
                raise self.error("expected ')'")
            return test
        if self.kind not in {"word", "quoted"} or self._is("and") or self._is("or"):
            raise self.error("expected a field")
        return self._condition()

    def _condition(self) -> Test:
        """A comparison, a field alone, or a word to look for."""
        token, is_quoted = _unquoted(self.token), self.kind == "quoted"
        if ":" in token and not is_quoted:
            token = self._before_colon(token)
            self.end = self.start + len(token)
            if not token:
                raise self.error("expected a field")
        start, self.start = self.start, self.end
        after = _TOKEN.match(self.text, self.end)
        if after is None or after.lastgroup != "operator":
            self._advance()
            is_asked = not is_quoted and token in self.fields
            return (
                _is_set(self.fields[token]) if is_asked else _mentions(token.lower(), self.fields)
            )
        self.start = start
        is_since = token.lower() == "since" and not is_quoted
        field = self.fields["age" if is_since else token]
        self._advance()
        return self._since() if is_since else self._comparison(field)

    def _before_colon(self, word: str) -> str:
        """The field in `FIELD:VALUE`; a series may have a colon in its name."""
        first = word.partition(":")[0]
        if first.lower() == "since" or self.fields.is_of_all(first):
            return first
        parts = word.split(":")
        longer = (":".join(parts[:n]) for n in range(len(parts), 1, -1))
        return next((name for name in longer if name in self.fields), first)

    def _values(self, symbol: str) -> list[tuple[str, bool]]:
        """The alternatives after an operator, and whether each is quoted; the first may be all."""
        self._advance(_VALUE)
        if not self.kind:
            is_open = self.text[self.end :].lstrip()[:1] in {'"', "'"}
            raise self.error("has a quote that is not closed" if is_open else _expected(symbol))
        token, is_quoted = self.token, self.kind == "quoted"
        parts = [] if is_quoted else [part for part in re.split(r"[,|]", token) if part]
        if not is_quoted and not parts:
            raise self.error(_expected(symbol))
        self._advance()
        return [(token, is_quoted), *((part, False) for part in parts if part != token)]

    def _comparison(self, field: Field) -> Test:
        symbol = self.token
        values = self._values(symbol)
        if symbol in _ORDERINGS or field.is_seconds:
            values = values[1:] or values
        wanted = [_wanted(token, is_quoted, field) for token, is_quoted in values]
        get = field.get
        if symbol == "!=":
            return lambda run: _is_unequal(get(run), wanted)
        if symbol == "!~":
            return lambda run: _lacks(get(run), wanted)
        holds = _loose(field) if symbol == ":" else _HOLDS[symbol]
        if len(wanted) == 1:
            only = wanted[0]
            return lambda run: holds(get(run), only)

        def test(run: RunSummary) -> bool:
            value = get(run)
            return any(holds(value, one) for one in wanted)

        return test

    def _since(self) -> Test:
        """`since:7d`, or since a day as `created` says it."""
        token, is_quoted = self._values(self.token)[0]
        if re.match(r"\d{4}-", _unquoted(token)):
            created, day = self.fields["created"].get, _unquoted(token)
            return lambda run: (created(run) or "") >= day
        age = self.fields["age"]
        wanted = _wanted(token, is_quoted, age)
        return lambda run: _ordered(age.get(run), wanted, operator.le)


@dataclass(frozen=True)
class _Wanted:
    """The right side of a comparison, as text and as what else the word can mean."""

    text: str
    number: float | None = None
    constant: bool | None = None
    is_null: bool = False


def _expected(symbol: str) -> str:
    return f"expected a value after {symbol!r}"


def _unquoted(token: str) -> str:
    return token[1:-1] if token[:1] in {'"', "'"} else token


def _wanted(token: str, is_quoted: bool, field: Field) -> _Wanted:
    text = _unquoted(token).lower()
    if is_quoted and not field.is_seconds:
        return _Wanted(text)
    if text in {"null", "none"} or (text == "unknown" and field.name == "dirty"):
        return _Wanted(text, is_null=True)
    if text in _CONSTANTS:
        return _Wanted(text, constant=_CONSTANTS[text])
    factor, digits = 1, text
    if field.is_seconds and text[-1:] in _SECONDS:
        factor, digits = _SECONDS[text[-1]], text[:-1]
    try:
        return _Wanted(text, number=float(digits) * factor)
    except ValueError:
        if field.is_seconds:
            raise MisuseError(
                f"{field.name} is compared with a time such as 30s or 2h, not {token!r}"
            ) from None
        return _Wanted(text)


def _is_set(field: Field) -> Test:
    return lambda run: bool(field.get(run))


def _mentions(word: str, fields: Fields) -> Test:
    """Whether the word stands in what a run is called or was given."""
    return lambda run: word in fields.text_of(run)


def _loose(field: Field) -> Callable[[Any, _Wanted], bool]:
    """What `:` means for a field."""
    if field.is_seconds:
        return lambda value, wanted: _ordered(value, wanted, operator.le)
    if field.name == "state":
        return lambda value, wanted: _text(value).startswith(wanted.text)

    def holds(value: Any, wanted: _Wanted) -> bool:
        if isinstance(value, str | tuple | list):
            return not wanted.is_null and wanted.text in _text(value)
        return _is_equal(value, wanted)

    return holds


def _contains(value: Any, wanted: _Wanted) -> bool:
    return value is not None and not wanted.is_null and wanted.text in _text(value)


def _lacks(value: Any, wanted: list[_Wanted]) -> bool:
    if value is None or any(one.is_null for one in wanted):
        return False
    return not any(one.text in _text(value) for one in wanted)


def _is_unequal(value: Any, wanted: list[_Wanted]) -> bool:
    return value is not None and not any(_is_equal(value, one) for one in wanted)


def _ordered(value: Any, wanted: _Wanted, order: Callable[[Any, Any], bool]) -> bool:
    if value is None or wanted.is_null:
        return False
    if _is_number(value):
        return wanted.number is not None and order(value, wanted.number)
    return order(_text(value), wanted.text)


def _is_equal(value: Any, wanted: _Wanted) -> bool:
    if value is None or wanted.is_null:
        return value is None and wanted.is_null
    if isinstance(value, tuple | list):
        return any(_is_equal(item, wanted) for item in value)
    if isinstance(value, bool) and wanted.constant is not None:
        return value is wanted.constant
    if _is_number(value) and wanted.number is not None:
        return value == wanted.number or (math.isnan(value) and math.isnan(wanted.number))
    return _text(value) == wanted.text


def _by(order: Callable[[Any, Any], bool]) -> Callable[[Any, _Wanted], bool]:
    return lambda value, wanted: _ordered(value, wanted, order)


_HOLDS: dict[str, Callable[[Any, _Wanted], bool]] = {
    "=": _is_equal,
    "==": _is_equal,
    "~": _contains,
    **{symbol: _by(order) for symbol, order in _ORDERINGS.items()},
}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    if isinstance(value, tuple | list):
        return " ".join(map(_text, value))
    return str(value).lower()

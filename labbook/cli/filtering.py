"""The filter language of --where: `lr>1e-3 and model=cnn and state=running and dirty`.

    filter     = any ; any = all { "or" all } ; all = one { "and" one }
    one        = "not" one | "(" any ")" | FIELD [ operator VALUE ]
    operator   = "=" "==" "!=" "<" "<=" ">" ">=" "~" (contains) "!~"

A field alone asks whether it is there and neither false, zero nor empty. A value is a word or a
quoted text (one that begins like an operator is quoted); a word that is a number is compared as
one, `true`, `false` and `null` are themselves, and `age` and `duration` take 30s, 10m, 2h, 7d.
Fields are those of `labbook.cli.fields`. Text is compared without regard to case. A run that lacks
the field fails every comparison with it except `=null`: nothing is known to be unequal either.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labbook.cli.fields import Field, Fields
from labbook.errors import MisuseError

if TYPE_CHECKING:
    from labbook.book.summary import RunSummary

__all__ = ["Test", "parse"]

Test = Callable[["RunSummary"], bool]

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<bracket>[()])
      | (?P<operator>==|!=|<=|>=|!~|[=<>~])
      | (?P<quoted>"[^"]*"|'[^']*')
      | (?P<word>[^\s()=<>~!"']+)
    )""",
    re.VERBOSE,
)
_VALUE = re.compile(r"""\s*(?:(?P<quoted>"[^"]*"|'[^']*')|(?P<word>[^\s()"'][^\s()]*))""")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_ORDERINGS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def parse(text: str, fields: Fields) -> Test:
    """Return the test that a filter means; raises `MisuseError` that shows where it breaks off."""
    parser = _Parser(text, fields)
    test = parser.any()
    if parser.kind:
        raise parser.error("expected 'and', 'or' or the end")
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
            if self.text[self.end :].strip():
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

    def _take(self, word: str) -> bool:
        if self.kind in {"word", "bracket"} and self.token.lower() == word:
            self._advance()
            return True
        return False

    def any(self) -> Test:
        tests = [self.all()]
        while self._take("or"):
            tests.append(self.all())
        return lambda run: any(test(run) for test in tests)

    def all(self) -> Test:
        tests = [self.one()]
        while self._take("and"):
            tests.append(self.one())
        return lambda run: all(test(run) for test in tests)

    def one(self) -> Test:
        if self._take("not"):
            test = self.one()
            return lambda run: not test(run)
        if self._take("("):
            test = self.any()
            if not self._take(")"):
                raise self.error("expected ')'")
            return test
        if self.kind not in {"word", "quoted"}:
            raise self.error("expected a field")
        field = self.fields[_unquoted(self.token)]
        self._advance()
        if self.kind != "operator":
            return lambda run: bool(field.get(run))
        return self._comparison(field)

    def _comparison(self, field: Field) -> Test:
        symbol = self.token
        if self.text[self.end :].lstrip()[:1] in tuple("=<>~!"):  # a second operator is no value
            self.start = self.end
            raise self.error(f"expected a value after {symbol!r}")
        self._advance(_VALUE)
        if not self.kind:
            raise self.error(f"expected a value after {symbol!r}")
        wanted = _wanted(self.token, self.kind == "quoted", field)
        self._advance()
        return lambda run: _compare(field.get(run), symbol, wanted)


@dataclass(frozen=True)
class _Wanted:
    """The right side of a comparison, as text and as what else the word can mean."""

    text: str
    number: float | None = None
    constant: bool | None = None
    is_null: bool = False


def _unquoted(token: str) -> str:
    return token[1:-1] if token[:1] in {'"', "'"} else token


def _wanted(token: str, is_quoted: bool, field: Field) -> _Wanted:
    text = _unquoted(token).lower()
    if is_quoted:
        return _Wanted(text)
    if text in {"null", "none"}:
        return _Wanted(text, is_null=True)
    if text in {"true", "false"}:
        return _Wanted(text, constant=text == "true")
    factor, digits = 1, text
    if field.is_seconds and text[-1] in _SECONDS:
        factor, digits = _SECONDS[text[-1]], text[:-1]
    try:
        return _Wanted(text, number=float(digits) * factor)
    except ValueError:
        if field.is_seconds:
            raise MisuseError(
                f"{field.name} is compared with a time such as 30s or 2h, not {token!r}"
            ) from None
        return _Wanted(text)


def _compare(value: Any, symbol: str, wanted: _Wanted) -> bool:
    if symbol in {"=", "=="}:
        return _is_equal(value, wanted)
    if symbol == "!=":
        return value is not None and not _is_equal(value, wanted)
    if value is None or wanted.is_null:
        return False
    if symbol in {"~", "!~"}:
        return (wanted.text in _text(value)) is (symbol == "~")
    left: Any
    right: Any
    if _is_number(value) and wanted.number is not None:
        left, right = value, wanted.number
    else:
        left, right = _text(value), wanted.text
    return bool(_ORDERINGS[symbol](left, right))


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


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    if isinstance(value, tuple | list):
        return " ".join(map(_text, value))
    return str(value).lower()

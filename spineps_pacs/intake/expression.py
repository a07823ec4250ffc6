"""A site's own words on its series: a small language over header values, parsed once, unable to do anything else.

    SeriesDescription ~ "t2.*sag" and not (ManufacturerModelName = "Aera" or EchoTime < 80)
    t2.*sag

Without any operator, the whole is a regular expression on the series description. Operators: ~ and !~ (regular
expression, anywhere, upper and lower case alike), = != (texts, upper and lower case alike; numbers), < <= > >=
(numbers). `and` binds closer than `or`. An absent value is an empty text, and no number.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from spineps_pacs.domain.errors import SettingsError

Value = str | float | None
Lookup = Callable[[str], Value]
Test = Callable[[Lookup], bool]

_TOKEN = re.compile(r"""\s*(?:(\(|\)|!~|~|!=|<=|>=|=|<|>)|"([^"]*)"|'([^']*)'|([^\s()!~=<>"']+))""")
_OPERATOR = re.compile("[~=<>]")
_ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_LONGEST = 4000


@dataclass(frozen=True)
class Expression:
    """A parsed expression."""

    source: str
    test: Test

    def __call__(self, lookup: Lookup) -> bool:
        return self.test(lookup)


@dataclass(frozen=True)
class _Token:
    text: str
    quoted: bool
    at: int


def parse(source: str, names: frozenset[str]) -> Expression:
    """The expression, or SettingsError with what is wrong and where."""
    if len(source) > _LONGEST:
        raise SettingsError(f"an expression of {len(source)} characters is too long, {_LONGEST} are allowed")
    if not _OPERATOR.search(source):
        return Expression(source, _matches("SeriesDescription", _pattern(source, source), wanted=True))
    parser = _Parser(source, _tokens(source), names)
    try:
        test = parser.alternatives()
    except RecursionError as error:
        raise SettingsError(f"the expression {source[:40]!r}... is nested too deeply") from error
    parser.end()
    return Expression(source, test)


def _tokens(source: str) -> list[_Token]:
    found, at = [], 0
    while at < len(source.rstrip()):
        match = _TOKEN.match(source, at)
        if match is None:
            raise SettingsError(f"the expression {source!r} cannot be read at character {at + 1}")
        sign, double, single, word = match.groups()
        quoted = double is not None or single is not None
        found.append(_Token(next(part for part in (sign, double, single, word) if part is not None), quoted, at + 1))
        at = match.end()
    return found


class _Parser:
    """Recursive descent, one method a rule of the grammar."""

    def __init__(self, source: str, tokens: list[_Token], names: frozenset[str]) -> None:
        self._source, self._tokens, self._names, self._at = source, tokens, names, 0

    def alternatives(self) -> Test:
        tests = [self._conjunction()]
        while self._word("or"):
            tests.append(self._conjunction())
        return tests[0] if len(tests) == 1 else lambda lookup: any(test(lookup) for test in tests)

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise self._fault(f"{self._tokens[self._at].text!r} was not expected")

    def _conjunction(self) -> Test:
        tests = [self._factor()]
        while self._word("and"):
            tests.append(self._factor())
        return tests[0] if len(tests) == 1 else lambda lookup: all(test(lookup) for test in tests)

    def _factor(self) -> Test:
        if self._word("not"):
            inner = self._factor()
            return lambda lookup: not inner(lookup)
        if self._word("("):
            inner = self.alternatives()
            if not self._word(")"):
                raise self._fault("a bracket is not closed")
            return inner
        return self._comparison()

    def _comparison(self) -> Test:
        name = self._next("a name")
        if name.quoted or name.text not in self._names:
            raise self._fault(f"{name.text!r} is no name; there are {', '.join(sorted(self._names))}")
        sign = self._next("an operator").text
        wanted = self._next("a value")
        if sign in ("~", "!~"):
            return _matches(name.text, _pattern(wanted.text, self._source), wanted=sign == "~")
        if sign in ("=", "!="):
            return _equals(name.text, wanted.text, wanted=sign == "=")
        if sign in _ORDER:
            return _compares(name.text, _ORDER[sign], self._number(wanted.text))
        raise self._fault(f"{sign!r} is no operator; there are ~ !~ = != < <= > >=")

    def _number(self, text: str) -> float:
        try:
            return float(text)
        except ValueError as error:
            raise self._fault(f"{text!r} is no number") from error

    def _word(self, text: str) -> bool:
        here = self._tokens[self._at] if self._at < len(self._tokens) else None
        found = here is not None and not here.quoted and here.text.lower() == text
        self._at += found
        return found

    def _next(self, what: str) -> _Token:
        if self._at >= len(self._tokens):
            raise self._fault(f"{what} is missing at the end")
        self._at += 1
        return self._tokens[self._at - 1]

    def _fault(self, what: str) -> SettingsError:
        return SettingsError(f"the expression {self._source!r} cannot be read: {what}")


def _pattern(text: str, source: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.IGNORECASE)
    except (re.error, RecursionError, OverflowError) as error:
        raise SettingsError(f"{text!r} in {source!r} is no regular expression: {error}") from error


def _matches(name: str, pattern: re.Pattern[str], *, wanted: bool) -> Test:
    return lambda lookup: bool(pattern.search(_text(lookup(name)))) == wanted


def _equals(name: str, value: str, *, wanted: bool) -> Test:
    def test(lookup: Lookup) -> bool:
        found = lookup(name)
        same = _number(value) == found if isinstance(found, float) else _text(found).lower() == value.lower()
        return same == wanted

    return test


def _compares(name: str, compare: Callable[[float, float], bool], limit: float) -> Test:
    def test(lookup: Lookup) -> bool:
        found = lookup(name)
        number = found if isinstance(found, float) else _number(_text(found))
        return number is not None and bool(compare(number, limit))

    return test


def _text(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else value or ""


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None

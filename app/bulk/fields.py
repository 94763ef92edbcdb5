"""One value of a row at a time: text or JSON in, a checked value out, and every refusal remembered with its column."""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeVar

from app.bulk import errors
from app.bulk.rows import Finding
from app.catalog.selectors import ChipSelector, check_chip_name
from app.kit.errors import ErrorCode
from app.kit.money import MAX_FEN, parse_cny
from app.kit.time import EARLIEST, LATEST, floor_hour, format_rfc3339, parse_rfc3339

Value = TypeVar("Value")

MAX_CARDS: Final = 100_000
MAX_PRICE_FEN: Final = 100_000_000
MAX_GBPS: Final = 1_000_000
MAX_BLOCKS: Final = 1_000
MAX_PRIORITY: Final = 1_000
MAX_HOURS: Final = 20_000
MAX_REF: Final = 120
MAX_TEXT: Final = 200
MAX_CITY: Final = 100
_MAX_SELECTOR: Final = 2_000
_HOUR_DECIMALS: Final = 12
_QUANTITY_DECIMALS: Final = 3
_MAX_QUANTITY: Final = 1_000_000
_SHOWN: Final = 60
_WHOLE: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)
_FINER_THAN_MICROSECONDS: Final = re.compile(r"[.,][0-9]{6}0*[1-9]", re.ASCII)


class BadValue(Exception):  # noqa: N818  always caught where the row is read
    """A value that can't be taken."""

    def __init__(self, code: ErrorCode, **params: object) -> None:
        super().__init__(code.code)
        self.code = code
        self.params = params


class Fields:
    """The raw values of one row; each is taken by name, and what is wrong with it goes into `bad`."""

    __slots__ = ("_bad", "_before", "_file", "_line", "_raw")

    def __init__(self, file: str, line: int, raw: Mapping[str, Any], bad: list[Finding]) -> None:
        """Begin a row.

        Args:
            file: the file's name.
            line: the physical line that the row begins on.
            raw: the values by column.
            bad: where refusals go.
        """
        self._file = file
        self._line = line
        self._raw = raw
        self._bad = bad
        self._before = len(bad)

    @property
    def is_good(self) -> bool:
        """Whether nothing of this row was refused so far."""
        return len(self._bad) == self._before

    def refuse(self, column: str | None, code: ErrorCode, **params: object) -> None:
        """Remember something wrong with this row."""
        self._bad.append(Finding(self._file, self._line, column, code.code, params))

    def take(self, column: str, parse: Callable[[Any], Value], default: Value) -> Value:
        """Return the parsed value; where it is refused, `default`, so that the row's other columns are read too."""
        try:
            return parse(self._raw[column])
        except BadValue as bad:
            self.refuse(column, bad.code, **bad.params)
            return default


def shown(value: object) -> str:
    """Return a value as errors quote it: not longer than a line."""
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def plain_text(value: Any, *, most: int = MAX_TEXT) -> str:
    """Return a text that can be stored.

    Raises:
        BadValue: if it is none, empty, too long, or has NUL or unpaired surrogates.
    """
    if not isinstance(value, str):
        raise BadValue(errors.WRONG_TYPE, wanted="a text")
    if not value:
        raise BadValue(errors.REQUIRED)
    if len(value) > most:
        raise BadValue(errors.TOO_LONG, most=most)
    if "\x00" in value or (not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value)):
        raise BadValue(errors.BAD_TEXT)
    return value


def reference(value: Any) -> str:
    """Return a reference.

    Raises:
        BadValue: if it is no text, too long, or has spaces at its ends or control characters.
    """
    text = plain_text(value, most=MAX_REF)
    if text != text.strip() or not text.isprintable():
        raise BadValue(errors.BAD_REF)
    return text


def city(value: Any) -> str:
    """Return a city's name.

    Raises:
        BadValue: if it is no printable text of at most 100 characters.
    """
    text = plain_text(value, most=MAX_CITY)
    if not text.isprintable():
        raise BadValue(errors.BAD_TEXT)
    return text


def chip_name(value: Any) -> str:
    """Return the name of a chip model.

    Raises:
        BadValue: if a selector could not mean it.
    """
    text = plain_text(value)
    try:
        check_chip_name(text)
    except ValueError as error:
        raise BadValue(errors.BAD_CHIP_NAME, why=str(error)) from None
    return text


def selector(value: Any) -> str:
    """Return a chip selector as written.

    Raises:
        BadValue: if it can't be parsed.
    """
    text = plain_text(value, most=_MAX_SELECTOR)
    try:
        ChipSelector.parse(text)
    except ValueError as error:
        raise BadValue(errors.BAD_SELECTOR, why=str(error)) from None
    return text


def choice(value: Any, choices: Collection[str]) -> str:
    """Return one of the choices.

    Raises:
        BadValue: if it is none of them.
    """
    if value not in choices:
        raise BadValue(errors.NOT_A_CHOICE, value=shown(value), choices=", ".join(choices))
    return str(value)


def in_range(value: int, low: int, high: int) -> int:
    """Return a whole number.

    Raises:
        BadValue: if it is outside the range.
    """
    if not low <= value <= high:
        raise BadValue(errors.OUT_OF_RANGE, value=shown(value), low=low, high=high)
    return value


def whole_of_text(value: str, low: int, high: int) -> int:
    """Return a whole number of a CSV cell.

    Raises:
        BadValue: if it is no number, not whole, or outside the range.
    """
    text = value.strip()
    if _WHOLE.fullmatch(text):
        return in_range(int(text), low, high)
    number = decimal_of_text(text)
    if number == number.to_integral_value():
        # `8.0` and `1e3` are whole in value but not written as a count.
        code = errors.NOT_WHOLE if low <= number <= high else errors.OUT_OF_RANGE
        raise BadValue(code, value=shown(text), low=low, high=high)
    raise BadValue(errors.NOT_WHOLE, value=shown(text))


def decimal_of_text(value: str) -> Decimal:
    """Return a decimal number of a CSV cell, exactly.

    Raises:
        BadValue: if it is empty or no number.
    """
    text = value.strip()
    if not text:
        raise BadValue(errors.REQUIRED)
    if not _NUMBER.fullmatch(text):
        raise BadValue(errors.NOT_A_NUMBER, value=shown(text))
    return Decimal(text)


def fen_of_text(value: str, most: int = MAX_PRICE_FEN) -> int:
    """Return an amount in fen of a CSV cell in decimal CNY.

    Raises:
        BadValue: if it is no number, negative, too large, or has more than two decimals.
    """
    try:
        fen = parse_cny(value)
    except ValueError:
        number = decimal_of_text(value)
        if not 0 <= number <= Decimal(most) / 100:
            raise BadValue(errors.OUT_OF_RANGE, value=shown(number), low=0, high=most // 100) from None
        exponent = number.as_tuple().exponent
        if isinstance(exponent, int) and exponent < -2:  # noqa: PLR2004  cents
            raise BadValue(errors.TOO_PRECISE, value=shown(number), most=2) from None
        return int(number * 100)
    if fen > most:
        raise BadValue(errors.OUT_OF_RANGE, value=shown(value), low=0, high=most // 100)
    return fen


def hours(number: Decimal) -> Decimal:
    """Return hours as asked for.

    Raises:
        BadValue: unless 0 < hours ≤ 20 000 with at most 12 decimals.
    """
    return _bounded(number, Decimal(MAX_HOURS), _HOUR_DECIMALS)


def quantity(number: Decimal) -> Decimal:
    """Return GB or TFLOPS.

    Raises:
        BadValue: unless 0 < quantity ≤ 1 000 000 with at most 3 decimals.
    """
    return _bounded(number, Decimal(_MAX_QUANTITY), _QUANTITY_DECIMALS)


def _bounded(number: Decimal, most: Decimal, decimals: int) -> Decimal:
    if number <= 0:
        raise BadValue(errors.NOT_POSITIVE, value=shown(number))
    if number > most:
        raise BadValue(errors.OUT_OF_RANGE, value=shown(number), low=0, high=most)
    if number != number.quantize(Decimal(1).scaleb(-decimals)):
        raise BadValue(errors.TOO_PRECISE, value=shown(number), most=decimals)
    return number


def moment(value: Any) -> datetime:
    """Return an RFC 3339 time with offset as aware UTC, exactly.

    Raises:
        BadValue: if it is malformed, naive, finer than microseconds, or outside 2000–2200.
    """
    if not isinstance(value, str):
        raise BadValue(errors.WRONG_TYPE, wanted="an RFC 3339 time as text")
    text = value.strip()
    if not text:
        raise BadValue(errors.REQUIRED)
    try:
        found = parse_rfc3339(text)
    except (ValueError, OverflowError):
        raise _refused_moment(text) from None
    if len(text) > len("2026-12-01T09:00:00.123456") and _FINER_THAN_MICROSECONDS.search(text):
        raise BadValue(errors.TOO_PRECISE, value=shown(text), most=6)
    return found


def _refused_moment(text: str) -> BadValue:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return BadValue(errors.NOT_A_TIME, value=shown(text))
    if found.tzinfo is None:
        return BadValue(errors.NAIVE_TIME, value=shown(text))
    return BadValue(errors.OUT_OF_RANGE, value=shown(text), low=EARLIEST.year, high=LATEST.year)


def hour_moment(value: Any) -> datetime:
    """Return a time on a whole hour (UTC).

    Raises:
        BadValue: as `moment`, and if it is not on a whole hour.
    """
    found = moment(value)
    if floor_hour(found) != found:
        raise BadValue(errors.NOT_WHOLE_HOUR, value=shown(value))
    return found


def revenue_of_text(value: str) -> int:
    """Return a year's revenue in fen of a CSV cell in CNY.

    Raises:
        BadValue: as `fen_of_text`.
    """
    return fen_of_text(value, MAX_FEN)


def check_window(fields: Fields, column: str, start: datetime, end: datetime) -> None:
    """Refuse a window that does not end after it starts; one too short for its hours is valid."""
    if start >= end:
        fields.refuse(column, errors.WINDOW_ENDS_FIRST, end=format_rfc3339(end))


def check_blocks(fields: Fields, blocks: int, min_blocks: int) -> None:
    """Refuse more blocks at least than there are."""
    if min_blocks > blocks:
        fields.refuse("min_blocks", errors.MIN_BLOCKS, min_blocks=min_blocks, blocks=blocks)

"""Time: aware UTC, half-open intervals, reservations on whole hours."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

HOUR: Final = timedelta(hours=1)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Far enough for any deadline, near enough that no arithmetic on it overflows.
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present as aware UTC."""
    return datetime.now(UTC)


def floor_hour(moment: datetime) -> datetime:
    """Return the whole UTC hour at or before an aware moment."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def ceil_hour(moment: datetime) -> datetime:
    """Return the whole UTC hour at or after an aware moment."""
    floor = floor_hour(moment)
    return floor if floor == moment else floor + HOUR


def hour_index(moment: datetime) -> int:
    """Return the whole hours from 1970-01-01T00:00Z to a moment that is on a whole hour."""
    return int((moment - EPOCH) // HOUR)


def from_hour_index(hour: int) -> datetime:
    """Return the moment of an hour index."""
    return EPOCH + hour * HOUR


def parse_rfc3339(text: str) -> datetime:
    """Return an RFC 3339 time with offset as aware UTC.

    Raises:
        ValueError: if it is malformed, has no offset, or lies outside 2000–2200.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is not an RFC 3339 time such as 2026-12-01T09:00:00+08:00") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset; write for example 2026-12-01T09:00:00+08:00")
    moment = moment.astimezone(UTC)
    if not EARLIEST <= moment <= LATEST:
        raise ValueError(f"{text!r} is not between the years 2000 and 2200")
    return moment


def format_rfc3339(moment: datetime) -> str:
    """Return a moment as RFC 3339 in UTC with `Z`."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")

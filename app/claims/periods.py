"""The periods that are claimed: calendar ones in the programme's time zone.

They are named `2026`, `2026-H2`, `2026-Q4` and `2026-12`.

Pure; nothing here knows of the database.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

Cadence = Literal["month", "quarter", "half_year", "year"]

_MONTHS: Final[dict[Cadence, int]] = {"month": 1, "quarter": 3, "half_year": 6, "year": 12}
_NAMES: Final[dict[Cadence, re.Pattern[str]]] = {
    "month": re.compile(r"(2[01][0-9]{2})-(0[1-9]|1[0-2])", re.ASCII),
    "quarter": re.compile(r"(2[01][0-9]{2})-Q([1-4])", re.ASCII),
    "half_year": re.compile(r"(2[01][0-9]{2})-H([12])", re.ASCII),
    "year": re.compile(r"(2[01][0-9]{2})", re.ASCII),
}
EXAMPLES: Final[dict[Cadence, str]] = {"month": "2026-12", "quarter": "2026-Q4", "half_year": "2026-H2", "year": "2026"}


@dataclass(frozen=True, slots=True)
class Period:
    """A calendar period `[start, end)` of a time zone, in aware UTC."""

    name: str
    year: int
    start: datetime
    end: datetime

    def until(self, within_days: int | None) -> datetime | None:
        """Return until when it can be claimed; None where there is no end."""
        return None if within_days is None else self.end + timedelta(days=within_days)


def parse_period(name: str, cadence: Cadence, zone: ZoneInfo) -> Period:
    """Return the period of that name.

    Raises:
        ValueError: if it is not the name of a period of this cadence.
    """
    match = _NAMES[cadence].fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is not a {cadence} such as {EXAMPLES[cadence]}")
    index = int(match[2]) - 1 if match.lastindex == 2 else 0  # noqa: PLR2004  the second group
    return _period(int(match[1]), index, cadence, zone)


def period_of(moment: datetime, cadence: Cadence, zone: ZoneInfo) -> Period:
    """Return the period that a moment lies in."""
    local = moment.astimezone(zone)
    return _period(local.year, (local.month - 1) // _MONTHS[cadence], cadence, zone)


def _period(year: int, index: int, cadence: Cadence, zone: ZoneInfo) -> Period:
    months = _MONTHS[cadence]
    last = year * 12 + (index + 1) * months
    start = datetime(year, index * months + 1, 1, tzinfo=zone)
    end = datetime(last // 12, last % 12 + 1, 1, tzinfo=zone)
    names = {
        "month": f"{year}-{index + 1:02d}",
        "quarter": f"{year}-Q{index + 1}",
        "half_year": f"{year}-H{index + 1}",
        "year": f"{year}",
    }
    return Period(names[cadence], year, start.astimezone(UTC), end.astimezone(UTC))

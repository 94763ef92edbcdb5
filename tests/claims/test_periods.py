"""Calendar periods in a programme's time zone, at the turn and a moment before."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from app.claims.periods import Cadence, parse_period, period_of

SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    ("cadence", "name", "start", "end"),
    [
        ("month", "2026-12", (2026, 11, 30), (2026, 12, 31)),
        ("quarter", "2026-Q4", (2026, 9, 30), (2026, 12, 31)),
        ("quarter", "2027-Q1", (2026, 12, 31), (2027, 3, 31)),
        ("half_year", "2026-H2", (2026, 6, 30), (2026, 12, 31)),
        ("year", "2026", (2025, 12, 31), (2026, 12, 31)),
    ],
)
def test_a_period_is_a_calendar_one_of_its_zone(
    cadence: Cadence, name: str, start: tuple[int, int, int], end: tuple[int, int, int]
) -> None:
    period = parse_period(name, cadence, SHANGHAI)
    # Midnight in Shanghai is 16:00 UTC of the day before.
    assert period.start == datetime(*start, 16, tzinfo=UTC)
    assert period.end == datetime(*end, 16, tzinfo=UTC)
    assert period_of(period.start, cadence, SHANGHAI) == period
    assert period_of(period.end - timedelta(microseconds=1), cadence, SHANGHAI) == period
    assert period_of(period.end, cadence, SHANGHAI) != period
    assert period.until(None) is None
    assert period.until(30) == period.end + timedelta(days=30)


@pytest.mark.parametrize(
    ("cadence", "name"),
    [
        ("quarter", "2026-Q0"), ("quarter", "2026-Q5"), ("quarter", "2026-12"), ("quarter", "2026"),
        ("month", "2026-13"), ("month", "2026-1"), ("half_year", "2026-H3"), ("year", "26"), ("year", "2026-Q1"),
        ("quarter", " 2026-Q1"), ("quarter", "２０２６-Q1"), ("year", "9999"),
    ],
)  # fmt: skip
def test_what_is_no_period_of_a_cadence(cadence: Cadence, name: str) -> None:
    with pytest.raises(ValueError, match="such as"):
        parse_period(name, cadence, SHANGHAI)

"""When a pool is used up: worked out by hand, and the edges of the window and of the year."""

from datetime import UTC, datetime, timedelta

import pytest

from app.reports.forecast import Forecast, Pace, Verdict, forecast, window_of

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
YEAR_END = datetime(2026, 12, 31, 16, tzinfo=UTC)  # 2027-01-01 in Asia/Shanghai


def pace(drawn_fen: int, days: int = 28) -> Pace:
    return Pace(NOW - timedelta(days=days), NOW, drawn_fen)


def test_by_hand() -> None:
    """280 000 drawn in 28 days are 10 000 a day: 45 000 that are left last 4 days and a half."""
    assert pace(280_000).fen_per_day == 10_000
    assert forecast(45_000, pace(280_000), YEAR_END) == Forecast(
        Verdict.RUNS_OUT, used_up_at=NOW + timedelta(days=4, hours=12)
    )


def test_the_first_whole_second_at_which_nothing_is_left() -> None:
    """At a fen each 7 s, 3 fen are gone after 21 s; at 2 fen in 7 s after 10.5, so at the 11th."""
    week = 7 * 86_400
    assert forecast(3, Pace(NOW - timedelta(days=7), NOW, week // 7), YEAR_END).used_up_at == NOW + timedelta(
        seconds=21
    )
    found = forecast(3, Pace(NOW - timedelta(days=7), NOW, 2 * week // 7), YEAR_END)
    assert found.used_up_at == NOW + timedelta(seconds=11)


def test_what_lasts_to_the_year_s_end_tells_what_is_left_then() -> None:
    days = (YEAR_END - NOW) / timedelta(days=1)
    left = 3_000_000
    found = forecast(left, pace(280_000), YEAR_END)
    assert (found.verdict, found.used_up_at) == (Verdict.LASTS, None)
    assert found.left_at_year_end_fen == left - int(10_000 * days)


def test_at_the_very_end_of_the_year_it_lasts() -> None:
    seconds = int((YEAR_END - NOW).total_seconds())
    window = Pace(NOW - timedelta(seconds=seconds), NOW, 1_000)
    assert forecast(1_000, window, YEAR_END) == Forecast(Verdict.LASTS, left_at_year_end_fen=0)
    assert forecast(999, window, YEAR_END).verdict is Verdict.RUNS_OUT


@pytest.mark.parametrize(
    ("left", "drawn", "until", "verdict"),
    [
        (None, 10, NOW, Verdict.NO_CAP),
        (0, 10, NOW, Verdict.USED_UP),
        (100, 0, NOW, Verdict.NO_PACE),
        (100, -5, NOW, Verdict.NO_PACE),
        (100, 10, YEAR_END, Verdict.YEAR_OVER),
        (0, 10, YEAR_END, Verdict.YEAR_OVER),
    ],
)
def test_where_nothing_can_be_forecast(left: int | None, drawn: int, until: datetime, verdict: Verdict) -> None:
    assert forecast(left, Pace(until - timedelta(days=1), until, drawn), YEAR_END) == Forecast(verdict)


def test_the_window() -> None:
    opened = NOW - timedelta(days=10)
    assert window_of(NOW, opened, 7) == NOW - timedelta(days=7)
    assert window_of(NOW, opened, 28) == opened
    assert window_of(NOW, NOW - timedelta(hours=3), 28) == NOW - timedelta(days=1)

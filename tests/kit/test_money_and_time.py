from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kit import money, time


@pytest.mark.parametrize(("text", "fen"), [("0", 0), ("12", 1200), ("12.5", 1250), ("12.50", 1250), (" 0.07 ", 7)])
def test_cny_to_fen(text: str, fen: int) -> None:
    assert money.parse_cny(text) == fen


@pytest.mark.parametrize("text", ["", "-1", "1.234", "1.000", "1e3", "１２", "1,5", "nan", ".5", "5.", "01", "9" * 14])
def test_what_is_not_an_amount(text: str) -> None:
    with pytest.raises(ValueError, match="CNY"):
        money.parse_cny(text)


@given(st.integers(min_value=0, max_value=10**15 - 1))
def test_cny_round_trip(fen: int) -> None:
    assert money.parse_cny(money.format_cny(fen)) == fen


def test_negative_amounts_are_written_with_a_sign() -> None:
    assert money.format_cny(-5) == "-0.05"


@given(st.integers(0, 10**9), st.integers(1, 10**6))
def test_rounding_half_up(numerator: int, denominator: int) -> None:
    rounded = money.round_half_up(numerator, denominator)
    assert -denominator <= 2 * (numerator - rounded * denominator) < denominator


def test_instance_month_to_card_hour() -> None:
    # 8 cards for 730 hours are 5 840 card-hours: 58 400.00 CNY are 10.00 CNY each.
    assert money.card_hour_fen_from_instance_month(5_840_000, 8) == 1000
    assert money.card_hour_fen_from_instance_month(5_842_919, 8) == 1000
    assert money.card_hour_fen_from_instance_month(5_842_920, 8) == 1001


def test_rates_in_parts_per_million() -> None:
    assert money.ppm(Decimal("0.5")) == 500_000
    assert money.floor_rate(333_333, 100) == 33
    for wrong in ("1.1", "-0.1", "0.0000001"):
        with pytest.raises(ValueError, match="parts per million"):
            money.ppm(Decimal(wrong))


def test_hours_are_utc_hours_also_from_half_hour_zones() -> None:
    moment = time.parse_rfc3339("2026-12-01T09:00:00+05:30")
    assert moment == datetime(2026, 12, 1, 3, 30, tzinfo=UTC)
    assert time.ceil_hour(moment) == datetime(2026, 12, 1, 4, tzinfo=UTC)
    assert time.floor_hour(moment) == datetime(2026, 12, 1, 3, tzinfo=UTC)


@given(st.integers(0, 2_000_000))
def test_hour_index_round_trip(hour: int) -> None:
    moment = time.from_hour_index(hour)
    assert time.hour_index(moment) == hour
    assert time.ceil_hour(moment) == moment
    assert time.ceil_hour(moment + timedelta(microseconds=1)) == moment + time.HOUR


@pytest.mark.parametrize(
    "text", ["2026-12-01T09:00:00", "2026-12-01", "yesterday", "1999-12-31T23:00:00Z", "1764550800"]
)
def test_what_is_not_a_moment(text: str) -> None:
    with pytest.raises(ValueError, match=r"offset|RFC 3339|between the years"):
        time.parse_rfc3339(text)


def test_moments_are_written_in_utc() -> None:
    assert time.format_rfc3339(time.parse_rfc3339("2026-12-01T09:00:00+08:00")) == "2026-12-01T01:00:00Z"

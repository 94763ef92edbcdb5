"""Billing and redemption never drift: any partition of a delivery into periods gives the same totals."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kit.money import PPM
from app.settlements.arithmetic import (
    Metered,
    billed_total_fen,
    delivered_card_seconds,
    line_fen,
    paid_ahead_card_seconds,
)
from app.vouchers.instalments import Redeemable, redeemed_totals_fen
from app.vouchers.rules import TierTerms, subsidy_fen

PRICES = st.integers(0, 10_000)
PERIODS = st.lists(st.integers(0, 10_000_000), min_size=1, max_size=12)
RATES = st.integers(0, PPM)
AMOUNTS = st.integers(1, 10**12)


def bill(price_fen: int, periods: Sequence[int]) -> list[int]:
    """The lines of periods, each from the total so far."""
    lines: list[int] = []
    for last in range(1, len(periods) + 1):
        lines.append(line_fen(price_fen, sum(periods[:last]), sum(lines)))
    return lines


@pytest.mark.parametrize(
    ("price_fen", "card_seconds", "fen"),
    [(0, 3600, 0), (850, 3600, 850), (850, 1, 0), (1800, 1, 1), (1799, 1, 0), (1, 1800, 1), (1, 1799, 0), (3, 600, 1)],
)
def test_a_total_is_rounded_half_up(price_fen: int, card_seconds: int, fen: int) -> None:
    assert billed_total_fen(price_fen, card_seconds) == fen


def test_three_thirds_of_a_fen_are_one_fen() -> None:
    assert bill(1, [1200, 1200, 1200]) == [0, 1, 0]  # 1/3 → 0, 2/3 → 1, 3/3 → 1


@given(PRICES, PERIODS)
def test_any_partition_is_billed_the_same(price_fen: int, periods: list[int]) -> None:
    lines = bill(price_fen, periods)
    assert sum(lines) == billed_total_fen(price_fen, sum(periods))
    assert min(lines) >= 0


@given(PRICES, PERIODS, st.data())
def test_a_correction_leaves_what_was_right_from_the_start(
    price_fen: int, periods: list[int], data: st.DataObject
) -> None:
    billed = sum(bill(price_fen, periods))
    position = data.draw(st.integers(0, len(periods) - 1))
    corrected = [*periods[:position], data.draw(st.integers(0, 10_000_000)), *periods[position + 1 :]]
    assert billed + line_fen(price_fen, sum(corrected), billed) == sum(bill(price_fen, corrected))


def test_what_is_paid_ahead_shrinks_by_shortfalls_only() -> None:
    hour = 3600
    assert paid_ahead_card_seconds(8, 10 * hour, []) == 80 * hour
    full, short = Metered(2 * hour, 16 * hour), Metered(hour, 5 * hour)
    assert paid_ahead_card_seconds(8, 10 * hour, [full]) == 80 * hour
    assert paid_ahead_card_seconds(8, 10 * hour, [full, short]) == 77 * hour
    assert delivered_card_seconds([full, short]) == 21 * hour


@given(st.integers(1, 64), st.lists(st.tuples(st.integers(1, 100_000), RATES), min_size=1, max_size=8))
def test_prepaid_and_in_arrears_agree_once_all_is_reported(cards: int, periods: list[tuple[int, int]]) -> None:
    reports = [Metered(seconds, cards * seconds * part // PPM) for seconds, part in periods]
    reserved = sum(report.seconds for report in reports)
    assert paid_ahead_card_seconds(cards, reserved, reports) == delivered_card_seconds(reports)


def redeem(rate_ppm: int, voucher_fen: int, lines: Sequence[int]) -> list[int]:
    """The redemptions of lines, each from the totals so far."""
    redeemed: list[int] = []
    for last in range(1, len(lines) + 1):
        [total] = redeemed_totals_fen([Redeemable(rate_ppm, voucher_fen, sum(lines[:last]))])
        redeemed.append(total - sum(redeemed))
    return redeemed


def test_chengdu() -> None:
    """A contract of 3 000 000 CNY earns min(50 %, 1 000 000): four settlements of 750 000."""
    assert redeem(500_000, 100_000_000, [75_000_000] * 4) == [37_500_000, 37_500_000, 25_000_000, 0]


@given(RATES, AMOUNTS, st.lists(AMOUNTS, min_size=1, max_size=12))
def test_any_partition_redeems_the_same(rate_ppm: int, voucher_fen: int, lines: list[int]) -> None:
    redeemed = redeem(rate_ppm, voucher_fen, lines)
    assert min(redeemed) >= 0
    assert sum(redeemed) == min(rate_ppm * sum(lines) // PPM, voucher_fen)
    assert all(sum(redeemed[:n]) <= rate_ppm * sum(lines[:n]) // PPM for n in range(1, len(lines) + 1))


@given(RATES, AMOUNTS, AMOUNTS)
def test_it_is_the_rule_s_own_amount(rate_ppm: int, voucher_fen: int, base_fen: int) -> None:
    terms = TierTerms("p", "t", rate_ppm, min_fen=0, cap_fen=None, fixed=True, budgets=())
    assert redeemed_totals_fen([Redeemable(rate_ppm, voucher_fen, base_fen)]) == [
        subsidy_fen(terms, base_fen, [voucher_fen])
    ]


@dataclass(frozen=True)
class Stack:
    vouchers: list[tuple[int, int]]
    ceiling_ppm: int

    def totals(self, base_fen: int) -> list[int]:
        found = [Redeemable(rate, amount, base_fen) for rate, amount in self.vouchers]
        return redeemed_totals_fen(found, self.ceiling_ppm)


STACKS = st.builds(Stack, st.lists(st.tuples(RATES, AMOUNTS), min_size=1, max_size=4), RATES)


@given(STACKS, AMOUNTS)
def test_stacked_vouchers_keep_within_rate_amount_and_ceiling(stack: Stack, base_fen: int) -> None:
    totals = stack.totals(base_fen)
    assert sum(totals) <= stack.ceiling_ppm * base_fen // PPM
    for total, (rate, amount) in zip(totals, stack.vouchers, strict=True):
        assert 0 <= total <= min(rate * base_fen // PPM, amount)


@given(STACKS, AMOUNTS, AMOUNTS)
def test_more_settled_never_takes_a_redemption_back(stack: Stack, base_fen: int, more_fen: int) -> None:
    before, after = stack.totals(base_fen), stack.totals(base_fen + more_fen)
    assert all(low <= high for low, high in zip(before, after, strict=True))


def test_a_ceiling_leaves_the_second_what_the_first_does_not_take() -> None:
    stack = Stack([(500_000, 10_000), (500_000, 90_000)], 600_000)
    assert stack.totals(10_000) == [5_000, 1_000]  # 60 % of 10 000
    assert stack.totals(100_000) == [10_000, 50_000]  # the first is used up: 60 000 less 10 000, at most half
    assert stack.totals(1_000_000) == [10_000, 90_000]

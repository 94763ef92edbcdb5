"""Signals at their thresholds: just below, just above."""

from datetime import UTC, datetime, timedelta

import pytest

from app.contracts.signals import (
    RECENT,
    SPLIT_WITHIN,
    Sale,
    Signal,
    SignalCode,
    affiliated_parties,
    claimed_above_metered,
    raised_prices,
    reused_proofs,
    split_contracts,
    tell_signal,
)

NOW = datetime(2026, 12, 1, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)


def sale(price_fen: int = 1_000, *, ago: timedelta = MOMENT, amount_fen: int = 0, voucher: bool = False) -> Sale:
    return Sale(NOW - ago, price_fen, amount_fen, voucher)


def codes(found: list[Signal]) -> list[SignalCode]:
    return [signal.code for signal in found]


def test_affiliated_parties() -> None:
    assert affiliated_parties("ctr_1", affiliated=False, buyer="a", supplier="b") == []
    [found] = affiliated_parties("ctr_1", affiliated=True, buyer="a", supplier="b")
    assert (found.code, found.of, found.found) == (SignalCode.AFFILIATED_PARTIES, "ctr_1", "a, b")


def test_a_price_is_raised_above_a_tenth_over_the_median() -> None:
    sales = [sale(1_000, voucher=True)] * 3
    assert raised_prices("ctr_1", 1_100, NOW, sales) == []
    assert codes(raised_prices("ctr_1", 1_101, NOW, sales)) == [SignalCode.PRICE_ABOVE_RECENT]
    # One cheap sale among dear ones is no usual price.
    assert raised_prices("ctr_1", 1_100, NOW, [sale(500), *sales]) != []  # but it was without a voucher
    assert codes(raised_prices("ctr_1", 1_100, NOW, [sale(500), *sales])) == [SignalCode.PRICE_ABOVE_NON_VOUCHER]


def test_only_recent_prices_count_and_none_of_them_say_nothing() -> None:
    assert raised_prices("ctr_1", 10**6, NOW, []) == []
    assert raised_prices("ctr_1", 2_000, NOW, [sale(ago=RECENT + MOMENT)]) == []
    assert len(raised_prices("ctr_1", 2_000, NOW, [sale(ago=RECENT)])) == 2


@pytest.mark.parametrize(
    ("own", "other", "signalled"),
    [
        (100_000, 90_000, True),
        (90_000, 100_000, True),
        (89_999, 100_000, False),
        (100_001, 100_000, False),
        (100_000, 89_999, False),
        (100_000, 100_001, False),
    ],
)
def test_contracts_just_under_a_threshold(own: int, other: int, *, signalled: bool) -> None:
    found = split_contracts("ctr_1", own, NOW, [sale(amount_fen=other)], [100_000])
    assert bool(found) == signalled


def test_contracts_far_apart_or_alone_are_not_split() -> None:
    assert split_contracts("ctr_1", 95_000, NOW, [], [100_000]) == []
    assert split_contracts("ctr_1", 95_000, NOW, [sale(amount_fen=95_000, ago=SPLIT_WITHIN)], [100_000]) != []
    assert split_contracts("ctr_1", 95_000, NOW, [sale(amount_fen=95_000, ago=SPLIT_WITHIN + MOMENT)], [100_000]) == []
    assert split_contracts("ctr_1", 95_000, NOW, [sale(amount_fen=95_000)], []) == []


def test_claimed_above_metered() -> None:
    assert claimed_above_metered({"vch_1": 100}, {"vch_1": 100}) == []
    [found] = claimed_above_metered({"vch_1": 101, "vch_2": 5}, {"vch_1": 100, "vch_2": 5})
    assert (found.of, found.found, found.against) == ("vch_1", "1.01", "1.00")
    assert codes(claimed_above_metered({"vch_1": 1}, {})) == [SignalCode.CLAIMED_ABOVE_METERED]


def test_the_same_proof_twice() -> None:
    one, other = "a" * 64, "b" * 64
    assert reused_proofs([("doc_1", one), ("doc_2", other), ("doc_1", one)], {}) == []
    [found] = reused_proofs([("doc_1", one), ("doc_2", one)], {})
    assert (found.of, found.against) == ("doc_2", "doc_1")
    [found] = reused_proofs([("doc_1", one)], {one: ["clm_1", "clm_2"]})
    assert (found.code, found.against) == (SignalCode.PROOF_REUSED, "clm_1, clm_2")


@pytest.mark.parametrize("code", SignalCode)
def test_each_is_told_in_both_languages(code: SignalCode) -> None:
    signal = Signal(code, "ctr_1", "found", "against")
    english, chinese = tell_signal(signal, "en"), tell_signal(signal, "zh-CN")
    assert "ctr_1" in english and "found" in english  # noqa: PT018
    assert "ctr_1" in chinese and chinese != english  # noqa: PT018

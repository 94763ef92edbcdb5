"""Congestion prices by chip class, on duals made by hand."""

from dataclasses import replace

import numpy as np
import pytest

from app.matching.core.config import Forbid, Share, SolverConfig
from app.matching.core.congestion import (
    PriceRun,
    UnknownChipError,
    buyers_by_class,
    by_day,
    class_prices,
    clip,
    find_classes,
    is_pool,
)
from app.matching.core.instance import Instance
from app.matching.core.outcome import CapacityDual, Duals, Outcome
from app.matching.core.solve import solve
from tests.matching.core.markets import T0, market, offer, request

CONFIG = SolverConfig(work_limit=1)


def with_duals(instance: Instance, *rows: CapacityDual) -> Outcome:
    return replace(solve(instance, CONFIG), duals=Duals(capacity=rows))


def row(ref: str, prices: list[int], first: int = T0, a: int = 1, b: int = 1) -> CapacityDual:
    return CapacityDual(ref, a, b, first, np.array(prices, dtype=np.int64))


def test_a_class_price_is_the_mean_over_its_cards_and_is_silent_where_it_has_none() -> None:
    offers = [offer("o1", cards=6, hours=4), offer("o2", cards=2, hours=8), offer("o3", chip="H20", hours=2)]
    outcome = with_duals(market(offers, []), row("o1", [100, 100, 100, 100]), row("o2", [500, 0, 0, 0, 7]))
    a_class, h_class = class_prices(market(offers, []), outcome)
    assert a_class.name == "A-class"
    # Hour 0: (6·100 + 2·500) / 8; hours 1–3: 600 / 8; hour 4 has o2 alone, then it is free.
    assert a_class.runs == (
        PriceRun(T0, 1, 200),
        PriceRun(T0 + 1, 3, 75),
        PriceRun(T0 + 4, 1, 7),
        PriceRun(T0 + 5, 3, 0),
    )
    assert h_class.runs == (PriceRun(T0, 2, 0),)


def test_a_rounded_row_counts_its_share_of_a_card_and_rounds_half_up() -> None:
    instance = market([offer("o1", cards=8, hours=2)], [])
    outcome = with_duals(instance, row("o1", [5, 5]), row("o1", [3, 0], a=1, b=2))
    # 5 + ⌊3/2 + ½⌋, then 5.
    assert class_prices(instance, outcome)[0].runs == (PriceRun(T0, 1, 7), PriceRun(T0 + 1, 1, 5))


def test_capacity_that_changes_and_prices_outside_it() -> None:
    steps = ((T0, 4), (T0 + 2, 0), (T0 + 5, 2), (T0 + 6, 0))
    instance = market([offer("o1", steps=steps)], [])
    outcome = with_duals(instance, row("o1", [9] * 20, first=T0 - 3))
    assert class_prices(instance, outcome)[0].runs == (PriceRun(T0, 2, 9), PriceRun(T0 + 5, 1, 9))


def test_numbers_beyond_64_bits_stay_exact() -> None:
    instance = market([offer("o1", cards=100_000, hours=1), offer("o2", cards=99_999, hours=1)], [])
    large = 2**57
    outcome = with_duals(instance, row("o1", [large]), row("o2", [large - 1]))
    [run] = class_prices(instance, outcome)[0].runs
    assert run.price_micro == (2 * (100_000 * large + 99_999 * (large - 1)) + 199_999) // (2 * 199_999)


def test_how_many_buyers_were_matched_in_a_class() -> None:
    requests = [request(f"q{i}", cards=1, buyer=f"b{i % 2}") for i in range(4)]
    instance = market([offer("o1"), offer("o2", chip="H20")], requests)
    one_class = replace(CONFIG, forbids=tuple(Forbid(each.ref, "o2") for each in requests))
    assert buyers_by_class(instance, solve(instance, one_class)) == {"A-class": 2}
    nobody = replace(CONFIG, shares=(Share("buyer/b0", 0), Share("buyer/b1", 0)))
    assert buyers_by_class(instance, solve(instance, nobody)) == {}


def test_filters() -> None:
    instance = market([offer("o1"), offer("o2", chip="H20")], [])
    assert find_classes(instance, ["H20", "A-class"]) == {"A-class", "H-class"}
    with pytest.raises(UnknownChipError, match=r"'910B' is neither .* classes are A-class, H-class"):
        find_classes(instance, ["910B"])
    runs = (PriceRun(10, 5, 1), PriceRun(15, 5, 2))
    assert clip(runs, 12, 16) == (PriceRun(12, 3, 1), PriceRun(15, 1, 2))
    assert clip(runs, None, None) == runs
    assert clip(runs, 20, None) == ()


def test_days_are_cut_at_midnight() -> None:
    instance = market([offer("o1", steps=((T0, 4), (T0 + 50, 0)))], [])
    prices = class_prices(instance, with_duals(instance))[0]
    days = by_day(prices, None, None)
    assert sum(run.hours for day in days for run in day.runs) == 50
    assert all(day.hour // 24 == (run.hour + run.hours - 1) // 24 for day in days for run in day.runs)
    assert len({day.hour // 24 for day in days}) == len(days) == 3


def test_pools_are_told_from_buyers_budgets() -> None:
    assert is_pool("open-example/pool/2026")
    for name in ("open-example/buyer/pool/2026", "p/pool/buyer/x", "p/buyer/b/2026", "p/pool/2026/x"):
        assert not is_pool(name)

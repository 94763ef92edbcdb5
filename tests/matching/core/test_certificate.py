"""The bound: the compiled arithmetic equals Python's integers, rounded rows are valid, and any duals bound."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.matching.core.certificate import DualsError, certified_bound, join_prices, reduced_value
from app.matching.core.columns import build_columns
from app.matching.core.config import Method, SolverConfig
from app.matching.core.outcome import CapacityDual, Duals
from app.matching.core.solve import solve
from tests.matching.core.markets import T0, market, offer, random_market, request
from tests.matching.core.oracle import optimum


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10**6), noise=st.integers(0, 2**32 - 1), scale=st.sampled_from([1, 10**6, 10**9]))
def test_any_duals_bound_the_optimum(seed: int, noise: int, scale: int) -> None:
    instance, config = random_market(seed, most_requests=3)
    best = optimum(instance, config)
    columns = build_columns(instance, config)
    random = np.random.default_rng(noise)
    capacity = tuple(
        CapacityDual(item.ref, a, b, item.steps[0][0], random.integers(0, scale, 6) * 50)
        for item in instance.offers
        for a, b in ((1, 1), (1, 2), (2, 3))
    )
    duals = Duals(
        capacity,
        {budget.name: int(random.integers(0, scale)) for budget in instance.budgets},
        {share.name: int(random.integers(0, scale)) for share in config.shares},
    )
    if best is not None:
        assert certified_bound(columns, duals) >= best[0]


@pytest.mark.parametrize("seed", range(12))
def test_compiled_bound_equals_exact_integers(seed: int) -> None:
    """Every pair by Python's integers gives the same bound as the compiled pass."""
    instance, config = random_market(seed)
    config = replace(config, pins=())
    columns = build_columns(instance, config)
    duals = solve(instance, replace(config, method=Method.FCFS)).duals
    prices = join_prices(columns, duals)
    total = 0
    for index, item in enumerate(instance.requests):
        low, high = int(columns.demand.pair_ptr[index]), int(columns.demand.pair_ptr[index + 1])
        values = [value for pair in range(low, high) if (value := reduced_value(columns, prices, pair)) is not None]
        total += item.blocks * max([0, *values])
    for row in duals.capacity:
        steps = dict(instance.offers[instance.offer_index[row.offer]].steps)
        cards = 0
        for hour in range(min(steps), row.first_hour + row.prices.size):
            cards = steps.get(hour, cards)
            if hour >= row.first_hour:
                total += cards * row.a // row.b * int(row.prices[hour - row.first_hour])
    total += sum(mu * budget.limit_fen for budget in instance.budgets if (mu := duals.budgets.get(budget.name, 0)))
    total += sum(int(nu) * int(limit) for nu, limit in zip(prices.nu, columns.share_limit, strict=True))
    assert certified_bound(columns, duals) == -(-total // 10**6)


def test_a_rounded_row_tightens_the_bound() -> None:
    """Two gangs of 2 on an offer of 3 cards: one fits. The plain row proves 1.5 of them, ⌊3/2⌋ = 1 proves 1."""
    instance = market([offer(cards=3, hours=1)], [request(f"q{i}", 2, 1, window=(0, 1)) for i in range(2)])
    columns = build_columns(instance, SolverConfig())
    plain = Duals((CapacityDual("o1", 1, 1, T0, np.array([50 * 10**6])),))
    rounded = Duals((CapacityDual("o1", 1, 2, T0, np.array([100 * 10**6])),))
    assert certified_bound(columns, plain) == 150
    assert certified_bound(columns, rounded) == 100


def test_magnitudes_beyond_64_bits_are_exact() -> None:
    big = request(cards=100_000, hours=10, most=900_000, weight=1000)
    instance = market([offer(cards=100_000, price=1)], [big])
    bound = certified_bound(build_columns(instance, SolverConfig()), Duals())
    assert bound == 1000 * (900_000 - 1) * 100_000 * 10


@pytest.mark.parametrize(
    "duals",
    [
        Duals((CapacityDual("o9", 1, 1, T0, np.array([1])),)),
        Duals((CapacityDual("o1", 1, 1, T0, np.array([-1])),)),
        Duals((CapacityDual("o1", 0, 1, T0, np.array([1])),)),
        Duals(budgets={"nothing": 1}),
        Duals(shares={"nothing": 1}),
    ],
)
def test_false_duals_are_refused(duals: Duals) -> None:
    with pytest.raises(DualsError):
        certified_bound(build_columns(market([offer()], [request()]), SolverConfig()), duals)

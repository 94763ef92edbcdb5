"""1 000 small random markets (CARDHOUR_ORACLE_MARKETS=1000; a short number by default) against brute force."""

import os
from dataclasses import replace

import pytest

from app.matching.core.config import Method, SolverConfig
from app.matching.core.instance import Instance
from app.matching.core.objective import rank
from app.matching.core.outcome import Outcome, Status
from app.matching.core.solve import solve
from app.matching.core.verify import verify
from tests.matching.core.markets import random_market
from tests.matching.core.oracle import optimum

MARKETS = int(os.environ.get("CARDHOUR_ORACLE_MARKETS", "60"))


def key(config: SolverConfig, outcome: Outcome) -> tuple[int, ...]:
    return rank(config, outcome.objectives)


def run(instance: Instance, config: SolverConfig, method: Method) -> Outcome:
    chosen = replace(config, method=method)
    outcome = solve(instance, chosen)
    verify(instance, chosen, outcome)
    return outcome


@pytest.mark.parametrize("seed", range(MARKETS))
def test_small_market_against_brute_force(seed: int) -> None:
    instance, config = random_market(seed)
    best = optimum(instance, config)
    exact = run(instance, config, Method.CPSAT)
    first = run(instance, config, Method.FCFS)
    engine = run(instance, config, Method.CLEAR)
    if best is None:
        assert {exact.status, first.status, engine.status} == {Status.INFEASIBLE}
        assert exact.detail
        return
    assert exact.status is Status.OPTIMAL
    assert key(config, exact) == best
    assert key(config, first) <= key(config, engine) <= best
    for outcome in (exact, first, engine):
        assert outcome.bound_fen is not None
        assert outcome.bound_fen >= best[0]

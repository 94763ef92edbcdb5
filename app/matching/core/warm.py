"""Compile ahead: run a toy market through every phase once, so that no run's time goes into compiling.

Worth a call at the start of a worker or a command; after the first time on a machine the code is read from disk.
"""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from app.matching.core.columns import build_columns
from app.matching.core.config import Method, SolverConfig
from app.matching.core.dive import dive, knapsacks_of
from app.matching.core.guide import guide_of
from app.matching.core.instance import Alternative, Budget, Chip, Component, Instance, Offer, Option, Request
from app.matching.core.pieces import freed
from app.matching.core.plan import empty_plan
from app.matching.core.prices import PriceSearch
from app.matching.core.search import Search
from app.matching.core.solve import solve
from app.matching.core.verify import verify
from app.matching.core.watch import Watch

_HOUR = 500_000
_SUBMITTED = datetime(2026, 1, 1, tzinfo=UTC)


def warm_up() -> None:
    """Clear and verify a toy market: two offers, three requests (one of two blocks), a subsidy."""
    component = Component("p", "t", 500_000, 0, None, False, ("p/pool/2026",))
    instance = Instance(
        chips=(Chip("c"),),
        offers=tuple(
            Offer(f"o{i}", "s", "r", "c", 8, None, 10, 10, "partner", ((_HOUR, 4), (_HOUR + 8, 0))) for i in range(2)
        ),
        requests=tuple(
            Request(
                f"q{i}",
                "b",
                _SUBMITTED,
                1,
                1 + i % 2,
                1 + i % 2,
                _HOUR,
                _HOUR + 8,
                (Alternative("any", 2 + i, 2 + i, most, most),),
            )
            for i in range(3)
            for most in ((2 + i) ** 2 * (5 + 8 * i),)
        ),
        budgets=(Budget("p/pool/2026", 1_000),),
        options=(Option("b", "partner", None, (component,)),),
    )
    config = SolverConfig(method=Method.CLEAR, work_limit=1)
    verify(instance, config, solve(instance, config))
    # What small markets, proved optimal at once, never come to.
    columns = build_columns(instance, config)
    search = PriceSearch(columns, config.seed)
    search.advance(0.0)
    guide = guide_of(columns, search.rows, search.best, search.best_reduced)
    requests = np.arange(columns.demand.weight.size)
    primal = Search(columns, empty_plan(columns), guide, config.seed, np.zeros(0, dtype=np.int64), requests)
    primal.greedy(requests, 1.0, 0.0)
    primal.improve(8, 0.0)
    freed(columns, primal.plan, np.arange(len(instance.offers), dtype=np.int32))
    _dive(instance)


def _dive(instance: Instance) -> None:
    """Dive into the market without its subsidy, all of it in one hour."""
    narrow = tuple(
        replace(
            request, blocks=1, min_blocks=1, deadline_hour=_HOUR + 1, alternatives=(Alternative("any", 2, 1, 90, 90),)
        )
        for request in instance.requests
    )
    columns = build_columns(replace(instance, requests=narrow, options=()), SolverConfig(work_limit=1))
    knapsacks = knapsacks_of(columns)
    if knapsacks is None:
        raise AssertionError("each offer of the market is a knapsack")
    watch = Watch(lambda: 0.0, seconds=None, work=1, progress=None, cancelled=None)
    worth = np.zeros(len(narrow), dtype=np.float64)
    dive(columns, knapsacks, worth, lambda: 0, lambda _plan: False, watch, 1.0)


if __name__ == "__main__":
    warm_up()

"""Large-neighbourhood search: CP-SAT on a piece of the plan, the rest staying as it is, again and again.

A piece is all that runs on a few offers, together with the requests that could run there and don't. It grows while
CP-SAT proves pieces optimal and shrinks where it can't. After D. Pisinger and S. Ropke, Large neighborhood search, in
Handbook of Metaheuristics (2010).
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from app.matching.core.columns import Columns
from app.matching.core.cpsat import Mask, build_model, count_intervals, solve_model
from app.matching.core.plan import Plan, copy_plan, take
from app.matching.core.watch import WORK_UNIT, Watch

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

# Offers of the first piece, what a piece grows and shrinks by, and the intervals that one has at most.
FIRST: Final = 2.0
GROWTH: Final = 1.05
SHRINKAGE: Final = 0.9
LARGEST: Final = 1_500
# CP-SAT's deterministic time for a piece, and what of it counts as a unit of work.
EFFORT: Final = 0.05
EFFORT_PER_WORK: Final = 0.05


def improve_pieces(
    columns: Columns,
    hopes: Callable[[], tuple[Mask, I64]],
    held: Callable[[], Plan],
    offer: Callable[[Plan], bool],
    watch: Watch,
) -> None:
    """Improve on pieces of the best plan until the limit is used.

    Args:
        columns: The clearing; its objective has one stage.
        hopes: Tells which pairs a better plan might use, and how many blocks of each request it has at least.
        held: Tells the best plan so far.
        offer: Takes a better one.
        watch: The run's limit.
    """
    dealer = np.random.default_rng(columns.config.seed)
    size, (mask, needed) = FIRST, hopes()
    with_offer = np.unique(columns.pairs.offer[mask])
    while with_offer.size and not watch.spent(1.0):
        offers = _near(columns, mask, with_offer, min(with_offer.size, round(size)), dealer)
        around, requests = freed(columns, held(), offers)
        inside = mask & np.isin(columns.pairs.offer, offers)
        inside &= np.isin(columns.pairs.request, requests)
        if count_intervals(columns, inside) > LARGEST:
            size = max(1.0, size * SHRINKAGE)
            # A look counts as work, so that a work limit ends this also where every single offer is too large.
            watch.add(WORK_UNIT // 100)
            continue
        asked = np.unique(columns.pairs.request[inside]).tolist()
        solved = solve_model(
            build_model(columns, asked, inside, around, needed),
            seconds=None,
            deterministic=EFFORT,
            workers=1,
            seed=columns.config.seed,
            hint=held(),
            tell=lambda _best, _bound: watch.cancelled(),
        )
        watch.add(int(EFFORT / EFFORT_PER_WORK * WORK_UNIT))
        size *= GROWTH if solved.proved else SHRINKAGE
        size = min(max(1.0, size), float(with_offer.size))
        if solved.plan is not None and offer(solved.plan):
            mask, needed = hopes()


def _near(columns: Columns, mask: Mask, with_offer: I32, count: int, dealer: np.random.Generator) -> I32:
    """Return offers that compete for the same requests: one by chance, then those of requests that could run there."""
    pairs = columns.pairs
    chosen = [int(dealer.choice(with_offer))]
    while len(chosen) < count:
        requests = np.unique(pairs.request[mask & (pairs.offer == chosen[int(dealer.integers(len(chosen)))])])
        others = np.setdiff1d(pairs.offer[mask & np.isin(pairs.request, requests)], chosen)
        if not others.size:
            others = np.setdiff1d(with_offer, chosen)
        chosen.append(int(dealer.choice(others)))
    return np.array(chosen, dtype=np.int32)


def freed(columns: Columns, plan: Plan, offers: I32) -> tuple[Plan, I64]:
    """Return the plan without what runs on the offers, and the requests with something unplaced then.

    Requests with pins stay as they are, and those that would be left with too few blocks.
    """
    pairs, demand = columns.pairs, columns.demand
    around = copy_plan(plan)
    slots = np.flatnonzero(around.pair >= 0)
    slots = slots[np.isin(pairs.offer[around.pair[slots]], offers)]
    request = pairs.request[around.pair[slots]]
    taken = np.bincount(request, minlength=demand.blocks.size)
    left = around.placed - taken
    stays = (left > 0) & (left < demand.min_blocks)
    stays[columns.pin_request] = True
    for slot in slots[~stays[request]].tolist():
        take(columns.supply, demand, pairs, columns.terms, around, slot)
    return around, np.flatnonzero((around.placed < demand.blocks) & ~stays)

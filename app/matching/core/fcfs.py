"""First come, first served: by submission, each block takes the feasible column with the least net cost.

Ties: the earliest start, then the lowest offer ref. Fewer than `min_blocks` placed: all are put back. Pinned requests
go first, so that their blocks find their place.
"""

# NumPy's stubs type an element read at an untyped index as an array; compiled code reads scalars.
# pyright: reportArgumentType=false, reportReturnType=false

import numpy as np
import numpy.typing as npt

from app.matching.core.columns import Columns, Demand, Pairs, Supply
from app.matching.core.compiled import compiled
from app.matching.core.kernels import earliest
from app.matching.core.plan import Plan, empty_slot, put, share_room, take
from app.matching.core.sigma import WIDTH, Terms, best_option

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]


@compiled
def cheapest(
    supply: Supply,
    demand: Demand,
    pairs: Pairs,
    terms: Terms,
    plan: Plan,
    no_mu: F64,
    request: int,
    only_offer: int,
    only_start: int,
    least_gain: float,
    unit: float,
    sparing: bool,
    sigma: I64,
) -> tuple[int, int, int]:
    """Return (pair, start, option) of the cheapest feasible column of a request, pair −1 if none; sets `sigma`.

    `only_offer` and `only_start` (−1: any) restrict it. A column whose score (max_net − C and `unit` per fen of
    subsidy, weighted) is below `least_gain` doesn't count. `sparing` takes as little subsidy as will do, and the column
    that needs the least.
    """
    best_pair, best_start, best_option_id = -1, -1, -1
    best_net = 0
    trial = np.zeros(WIDTH, dtype=np.int64)
    scratch = np.zeros(WIDTH, dtype=np.int64)
    for pair in range(demand.pair_ptr[request], demand.pair_ptr[request + 1]):
        offer = pairs.offer[pair]
        if only_offer >= 0 and offer != only_offer:
            continue
        if not share_room(supply, demand, pairs, plan, pair):
            continue
        cost = pairs.cost[pair]
        option, _ = best_option(
            terms,
            pairs.option_low[pair],
            pairs.option_high[pair],
            cost,
            cost - pairs.max_net[pair],
            plan.left,
            -1.0 if sparing else 1.0,
            no_mu,
            True,
            trial,
            scratch,
        )
        given = trial.sum()
        if option < -1 or pairs.score[pair] + unit * given < least_gain:
            continue
        net = given if sparing else cost - given
        if best_pair >= 0 and net > best_net:
            continue
        low, high = pairs.first[pair], pairs.last[pair]
        if only_start >= 0:
            low, high = max(low, only_start), min(high, only_start)
        hours = pairs.hours[pair]
        start = earliest(supply, plan.free, offer, pairs.cards[pair], hours, low, high + hours)
        if start < 0:
            continue
        if best_pair >= 0 and net == best_net:
            rank = (start, offer, pairs.alternative[pair])
            if rank > (best_start, pairs.offer[best_pair], pairs.alternative[best_pair]):
                continue
        best_pair, best_start, best_option_id, best_net = pair, start, option, net
        sigma[:] = trial
    return best_pair, best_start, best_option_id


@compiled
def place_request(
    supply: Supply,
    demand: Demand,
    pairs: Pairs,
    terms: Terms,
    plan: Plan,
    no_mu: F64,
    request: int,
    least_gain: float,
    unit: float,
    sparing: bool,
) -> int:
    """Place as many blocks of a request as fit, cheapest first; put all back below `min_blocks`. Return the placed."""
    sigma = np.zeros(WIDTH, dtype=np.int64)
    before = plan.placed[request]
    fresh = np.empty(demand.blocks[request], dtype=np.int64)
    count = 0
    while plan.placed[request] < demand.blocks[request]:
        pair, start, option = cheapest(
            supply, demand, pairs, terms, plan, no_mu, request, -1, -1, least_gain, unit, sparing, sigma
        )
        if pair < 0:
            break
        slot = empty_slot(demand, plan, request)
        put(supply, demand, pairs, terms, plan, slot, pair, start, option, sigma)
        fresh[count] = slot
        count += 1
    if plan.placed[request] < demand.min_blocks[request]:
        for index in range(count):
            take(supply, demand, pairs, terms, plan, fresh[index])
    return plan.placed[request] - before


@compiled
def _place_all(
    supply: Supply,
    demand: Demand,
    pairs: Pairs,
    terms: Terms,
    plan: Plan,
    order: I64,
    no_mu: F64,
    least_gain: float,
    sigma_score: F64,
    sparing: bool,
) -> None:
    for request in order:
        # A single block fits with the largest subsidy if it fits at all.
        if not sparing or demand.blocks[request] - plan.placed[request] > 1:
            place_request(supply, demand, pairs, terms, plan, no_mu, request, least_gain, sigma_score[request], sparing)


def submission_order(columns: Columns) -> I64:
    """Return the requests by submission, then ref."""
    requests = columns.instance.requests
    return np.array(
        sorted(range(len(requests)), key=lambda index: (requests[index].submitted_at, index)), dtype=np.int64
    )


def fill_up(columns: Columns, plan: Plan, order: I64, least_gain: float, *, sparing: bool = False) -> None:
    """Place, in `order`, every block that still fits: cheapest net first, with the largest subsidy still left.

    `sparing` gives each block only the subsidy that it needs: the largest for one can leave too little for the next,
    and a request of several blocks that fits would be left out.
    """
    no_mu = np.zeros(columns.budget_limit.size, dtype=np.float64)
    _place_all(
        columns.supply,
        columns.demand,
        columns.pairs,
        columns.terms,
        plan,
        order,
        no_mu,
        least_gain,
        columns.sigma_score,
        sparing,
    )


def serve_in_order(columns: Columns, plan: Plan) -> None:
    """Clear by first come, first served, on top of what the plan already holds (the pinned blocks)."""
    fill_up(columns, plan, submission_order(columns), -np.inf)

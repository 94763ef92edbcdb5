"""A plan in the making: what each block has been given, and what is left of capacity, budgets and shares."""

# NumPy's stubs type an element read at an untyped index as an array; compiled code reads scalars.
# pyright: reportArgumentType=false, reportReturnType=false

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.matching.core.columns import NONE, Columns, Demand, Pairs, Supply
from app.matching.core.compiled import lean
from app.matching.core.sigma import WIDTH, Terms, set_amounts

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]


class Plan(NamedTuple):
    """Slots (one per block; pair −1 where it has nothing) and residuals; changed in place by `put` and `take`."""

    pair: I32
    start: I32
    option: I32
    sigma: I64
    placed: I32
    free: I32
    left: I64
    share_left: I64


def empty_plan(columns: Columns) -> Plan:
    """Return a plan in which nothing is matched."""
    return Plan(
        pair=np.full(columns.slots, NONE, dtype=np.int32),
        start=np.zeros(columns.slots, dtype=np.int32),
        option=np.full(columns.slots, NONE, dtype=np.int32),
        sigma=np.zeros((columns.slots, WIDTH), dtype=np.int64),
        placed=np.zeros(columns.demand.weight.size, dtype=np.int32),
        free=columns.supply.capacity.copy(),
        left=columns.budget_limit.copy(),
        share_left=columns.share_limit.copy(),
    )


def copy_plan(plan: Plan) -> Plan:
    """Return an independent copy."""
    return Plan(*(array.copy() for array in plan))


@lean
def move(supply: Supply, demand: Demand, pairs: Pairs, terms: Terms, plan: Plan, slot: int, sign: int) -> None:
    """Take what a slot holds out of the residuals (`sign` 1) or give it back (−1)."""
    pair = plan.pair[slot]
    offer = pairs.offer[pair]
    cards = sign * pairs.cards[pair]
    row = supply.row_ptr[offer] + plan.start[slot] - supply.first_hour[offer]
    for hour in range(row, row + pairs.hours[pair]):
        plan.free[hour] -= cards
    request = pairs.request[pair]
    plan.placed[request] += sign
    option = plan.option[slot]
    if option >= 0:
        first = terms.component_ptr[option]
        for component in range(first, terms.component_ptr[option + 1]):
            amount = sign * plan.sigma[slot, component - first]
            for index in range(terms.budget_ptr[component], terms.budget_ptr[component + 1]):
                plan.left[terms.budget[index]] -= amount
    use = cards * pairs.hours[pair]
    if demand.share[request] >= 0:
        plan.share_left[demand.share[request]] -= use
    if supply.share[offer] >= 0:
        plan.share_left[supply.share[offer]] -= use


@lean
def put(
    supply: Supply,
    demand: Demand,
    pairs: Pairs,
    terms: Terms,
    plan: Plan,
    slot: int,
    pair: int,
    start: int,
    option: int,
    sigma: I64,
) -> None:
    """Give an empty slot a start of a pair with an option and its amounts."""
    plan.pair[slot] = pair
    plan.start[slot] = start
    plan.option[slot] = option
    set_amounts(plan.sigma[slot], sigma, WIDTH)
    move(supply, demand, pairs, terms, plan, slot, 1)


@lean
def take(supply: Supply, demand: Demand, pairs: Pairs, terms: Terms, plan: Plan, slot: int) -> None:
    """Empty a slot."""
    move(supply, demand, pairs, terms, plan, slot, -1)
    plan.pair[slot] = -1


@lean
def empty_slot(demand: Demand, plan: Plan, request: int) -> int:
    """Return an empty slot of a request, or −1."""
    for slot in range(demand.slot_ptr[request], demand.slot_ptr[request + 1]):
        if plan.pair[slot] < 0:
            return slot
    return -1


@lean
def share_room(supply: Supply, demand: Demand, pairs: Pairs, plan: Plan, pair: int) -> bool:
    """Whether the share rows have room for one more block of a pair."""
    use = pairs.cards[pair] * pairs.hours[pair]
    own = demand.share[pairs.request[pair]]
    other = supply.share[pairs.offer[pair]]
    return (own < 0 or plan.share_left[own] >= use) and (other < 0 or plan.share_left[other] >= use)

"""Price-guided insertion: the feasible place of the greatest worth less β times the price of the hours taken."""

# NumPy's stubs type an element read at an untyped index as an array; compiled code reads scalars.
# pyright: reportArgumentType=false, reportReturnType=false

from typing import Final

import numpy as np
import numpy.typing as npt

from app.matching.core.book import Book, enter, leave
from app.matching.core.columns import Demand, Pairs, Supply
from app.matching.core.compiled import lean
from app.matching.core.guide import Guide
from app.matching.core.plan import Plan, empty_slot, share_room
from app.matching.core.sigma import WIDTH, Terms, best_option, set_amounts

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

# How much dearer a start feels that splits the free time of an offer.
LOOSE: Final = 0.3


@lean
def snug_window(
    supply: Supply, pairs: Pairs, paid: F64, at: int, free: I32, pair: int, loose: float, work: I64
) -> tuple[int, float]:
    """Return (start, price) of the feasible start with the least price, start −1 if none.

    A start with room for the same gang both before and after it splits the free time: its price counts `loose` more.
    """
    offer = pairs.offer[pair]
    cards = pairs.cards[pair]
    hours = pairs.hours[pair]
    row = supply.row_ptr[offer] - supply.first_hour[offer]
    first = pairs.first[pair]
    last = pairs.last[pair]
    end_hour = supply.row_ptr[offer + 1] - row
    best = -1
    least = 0.0
    least_true = 0.0
    start = first
    known = first
    while start <= last:
        # From the far end: the last hour that is too full rules out all starts up to it.
        end = start + hours
        hour = end - 1
        while hour >= known and free[row + hour] >= cards:
            hour -= 1
        work[0] += end - hour
        if hour >= known:
            start = hour + 1
            known = start
            continue
        known = end
        total = paid[at + end] - paid[at + start]
        if best < 0 or total < least:
            snug = (
                start == supply.first_hour[offer]  # noqa: PLR1714 - a set would be built for every start
                or start == first
                or start == last
                or end == end_hour
                or free[row + start - 1] < cards
                or free[row + end] < cards
            )
            price = total if snug else total * (1.0 + loose)
            if best < 0 or price < least:
                best = start
                least = price
                least_true = total
        start += 1
    return best, least_true


@lean
def best_place(
    supply: Supply,
    demand: Demand,
    pairs: Pairs,
    terms: Terms,
    guide: Guide,
    plan: Plan,
    book: Book,
    low_pair: int,
    high_pair: int,
    beta: float,
    floor: float,
    sigma: I64,
    trial: I64,
    scratch: I64,
    work: I64,
) -> tuple[int, int, int]:
    """Return (pair, start, option) of the feasible column with the greatest worth − β·Σλ above `floor`.

    Among the ranked pairs low…high−1 of one request.
    """
    best_pair, best_start, best_option_id, best = -1, -1, -1, floor
    for index in range(low_pair, high_pair):
        pair = guide.ranked[index]
        if guide.worth[pair] - beta * guide.least[pair] <= best or book.full[pair] == book.freed[pairs.offer[pair]]:
            continue
        if not share_room(supply, demand, pairs, plan, pair):
            continue
        value = pairs.score[pair]
        option = -1
        cost = pairs.cost[pair]
        if pairs.option_high[pair] > pairs.option_low[pair]:
            option, gain = best_option(
                terms, pairs.option_low[pair], pairs.option_high[pair], cost, cost - pairs.max_net[pair], plan.left,
                guide.sigma_score[pairs.request[pair]], guide.budget, True, trial, scratch,
            )  # fmt: skip
            if option < -1:
                continue
            value += gain
        if value - beta * guide.least[pair] <= best:
            continue
        start, price = snug_window(supply, pairs, guide.paid, guide.pair_at[pair], plan.free, pair, LOOSE, work)
        if start < 0:
            book.full[pair] = book.freed[pairs.offer[pair]]
            continue
        value -= beta * pairs.cards[pair] * price
        if value > best:
            best_pair, best_start, best_option_id, best = pair, start, option, value
            set_amounts(sigma, trial, WIDTH if option >= 0 else 0)
    return best_pair, best_start, best_option_id


@lean
def insert(
    supply: Supply,
    demand: Demand,
    pairs: Pairs,
    terms: Terms,
    guide: Guide,
    plan: Plan,
    book: Book,
    request: int,
    only: int,
    beta: float,
    floor: float,
    slots: I64,
    count: int,
    scratch: I64,
    work: I64,
) -> tuple[int, float]:
    """Place as many blocks of a request as fit, all or none below `min_blocks`; by the pair `only` unless that is −1.

    `scratch` is 3 × WIDTH. Appends the slots used to `slots`; returns (count, worth gained).
    """
    before = count
    gained = 0.0
    low_pair, high_pair = demand.pair_ptr[request], demand.pair_ptr[request + 1]
    if only >= 0:
        for index in range(low_pair, high_pair):
            if guide.ranked[index] == only:
                low_pair, high_pair = index, index + 1
                break
    while plan.placed[request] < demand.blocks[request] and count < slots.size:
        pair, start, option = best_place(
            supply, demand, pairs, terms, guide, plan, book, low_pair, high_pair, beta, floor,
            scratch[0], scratch[1], scratch[2], work,
        )  # fmt: skip
        if pair < 0:
            break
        slot = empty_slot(demand, plan, request)
        gained += enter(supply, demand, pairs, terms, guide, plan, book, slot, pair, start, option, scratch[0])
        slots[count] = slot
        count += 1
    if plan.placed[request] < demand.min_blocks[request]:
        while count > before:
            count -= 1
            leave(supply, demand, pairs, terms, plan, book, slots[count])
        return before, 0.0
    return count, gained


@lean
def insert_all(
    supply: Supply,
    demand: Demand,
    pairs: Pairs,
    terms: Terms,
    guide: Guide,
    plan: Plan,
    book: Book,
    order: I64,
    beta: float,
    floor: float,
    slots: I64,
    scratch: I64,
    work: I64,
) -> float:
    """Insert requests in an order, what is above `floor`; return the worth gained."""
    gained = 0.0
    for request in order:
        _, more = insert(
            supply, demand, pairs, terms, guide, plan, book, request, -1, beta, floor, slots, 0, scratch, work
        )  # fmt: skip
        gained += more
    return gained

"""Ruin and recreate, compiled.

A round frees blocks of an offer around an hour, or makes room for one block, and goes on to where the freed blocks
could go as well; it tries them and a few neighbours again in a noisy order, and goes back unless the sum of worths is
at least what it was (less a tolerance that cools down).
"""

# NumPy's stubs type an element read at an untyped index as an array; compiled code reads scalars.
# pyright: reportArgumentType=false, reportReturnType=false

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from app.matching.core.book import Book, enter, leave
from app.matching.core.columns import Demand, Pairs, Supply
from app.matching.core.compiled import lean
from app.matching.core.guide import Guide
from app.matching.core.insertion import insert
from app.matching.core.plan import Plan
from app.matching.core.sigma import WIDTH, Terms, set_amounts

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
U64 = npt.NDArray[np.uint64]

MAX_FREED: Final = 64
MAX_TRIED: Final = 96
MAX_TOUCHED: Final = 4096
# How often a round makes room for one block instead of freeing blocks at random.
EJECT: Final = 0.2
# Found by trials on generated markets: blocks freed at once, hours around a start, how often a further offer joins in,
# requests tried besides, how often prices guide fully and how much otherwise, and the noise of the order.
MAX_RUINED: Final = 30.0
SPREAD: Final = 96.0
FURTHER: Final = 0.65
MAX_NEIGHBOURS: Final = 20.0
GUIDED: Final = 0.5
LOOSELY_GUIDED: Final = 0.3
NOISE: Final = 0.8
# How often a round looks for a request with something unplaced to make room for.
DRAWS: Final = 16


@lean
def next_random(state: U64) -> float:
    """Return a number in [0, 1) and move the generator (xorshift64*) on."""
    word = state[0]
    word ^= word >> np.uint64(12)
    word ^= word << np.uint64(25)
    word ^= word >> np.uint64(27)
    state[0] = word
    return float((word * np.uint64(2685821657736338717)) >> np.uint64(11)) / 9007199254740992.0


class Freed(NamedTuple):
    """The undo log of one ruin: what the freed slots held."""

    slot: I64
    pair: I32
    start: I32
    option: I32
    sigma: I64
    stamp: I64


def no_freed() -> Freed:
    """Return an empty log."""
    return Freed(
        slot=np.zeros(MAX_FREED, dtype=np.int64),
        pair=np.zeros(MAX_FREED, dtype=np.int32),
        start=np.zeros(MAX_FREED, dtype=np.int32),
        option=np.zeros(MAX_FREED, dtype=np.int32),
        sigma=np.zeros((MAX_FREED, WIDTH), dtype=np.int64),
        stamp=np.zeros(MAX_FREED, dtype=np.int64),
    )


class Scrap(NamedTuple):
    """Room to work in: requests to try with the only pair or −1, their sort keys, slots used, slots picked, amounts."""

    tried: I64
    key: F64
    slots: I64
    picked: I64
    scratch: I64


def no_scrap() -> Scrap:
    """Return empty room to work in."""
    return Scrap(
        tried=np.zeros((MAX_TRIED, 2), dtype=np.int64),
        key=np.zeros(MAX_TRIED, dtype=np.float64),
        slots=np.zeros(MAX_TOUCHED, dtype=np.int64),
        picked=np.zeros(MAX_FREED, dtype=np.int64),
        scratch=np.zeros((3, WIDTH), dtype=np.int64),
    )


@lean
def _free_slot(
    supply: Supply,
    demand: Demand,
    pairs: Pairs,
    terms: Terms,
    plan: Plan,
    book: Book,
    freed: Freed,
    count: int,
    slot: int,
) -> int:
    """Free a slot, and its request's others where too few would be left; return the new length of the log."""
    request = book.slot_request[slot]
    low, high = demand.slot_ptr[request], demand.slot_ptr[request + 1]
    if demand.blocks[request] > 1 and plan.placed[request] - 1 < demand.min_blocks[request]:
        if plan.placed[request] + count > MAX_FREED:
            return count
        for other in range(low, high):
            if plan.pair[other] >= 0 and book.locked[other]:
                return count
    else:
        low, high = slot, slot + 1
    if count + high - low > MAX_FREED:
        return count
    for other in range(low, high):
        if plan.pair[other] < 0 or book.locked[other]:
            continue
        freed.slot[count] = other
        freed.pair[count] = plan.pair[other]
        freed.start[count] = plan.start[other]
        freed.option[count] = plan.option[other]
        set_amounts(freed.sigma[count], plan.sigma[other], WIDTH)
        freed.stamp[count] = book.freed[pairs.offer[plan.pair[other]]]
        count += 1
        leave(supply, demand, pairs, terms, plan, book, other)
    return count


@lean
def _ruin(
    supply: Supply,
    demand: Demand,
    pairs: Pairs,
    terms: Terms,
    plan: Plan,
    book: Book,
    freed: Freed,
    count: int,
    offer: int,
    low: int,
    high: int,
    most: int,
    picked: I64,
    state: U64,
) -> int:
    """Free up to `most` blocks of an offer that overlap [low, high), those met by chance first."""
    slot = book.head[offer]
    seen = 0
    size = 0
    while slot >= 0:
        start = plan.start[slot]
        if start < high and start + pairs.hours[plan.pair[slot]] > low and not book.locked[slot]:
            seen += 1
            if size < most:
                picked[size] = slot
                size += 1
            else:
                at = int(next_random(state) * seen)
                if at < most:
                    picked[at] = slot
        slot = book.after[slot]
    for index in range(size):
        if plan.pair[picked[index]] >= 0:
            count = _free_slot(supply, demand, pairs, terms, plan, book, freed, count, picked[index])
    return count


@lean
def _eject(
    supply: Supply,
    demand: Demand,
    pairs: Pairs,
    terms: Terms,
    plan: Plan,
    book: Book,
    freed: Freed,
    pair: int,
    start: int,
    state: U64,
) -> int:
    """Free blocks until the pair fits at this start, those that are worth little for what they use first."""
    offer = pairs.offer[pair]
    end = start + pairs.hours[pair]
    row = supply.row_ptr[offer] - supply.first_hour[offer]
    count = 0
    for _ in range(MAX_FREED):
        tight = -1
        for hour in range(row + start, row + end):
            if plan.free[hour] < pairs.cards[pair]:
                tight = hour - row
                break
        if tight < 0:
            break
        # Of the blocks that run at the first hour that is too full, the least worth per card-hour, with some noise.
        slot = book.head[offer]
        poorest = -1
        least = 0.0
        while slot >= 0:
            held = plan.pair[slot]
            begin = plan.start[slot]
            if begin <= tight < begin + pairs.hours[held] and not book.locked[slot]:
                use = 1.0 * pairs.cards[held] * pairs.hours[held]
                felt = book.worth[slot] / use * (0.6 + 0.8 * next_random(state))
                if poorest < 0 or felt < least:
                    poorest = slot
                    least = felt
            slot = book.after[slot]
        if poorest < 0:
            break
        before = count
        count = _free_slot(supply, demand, pairs, terms, plan, book, freed, count, poorest)
        if count == before:
            break
    return count


@lean
def _add(tried: I64, count: int, request: int, only: int) -> int:
    """Append a request unless it is there, with the only pair to try or −1; return the new length."""
    for index in range(count):
        if tried[index, 0] == request:
            return count
    tried[count, 0] = request
    tried[count, 1] = only
    return count + 1


@lean
def _neighbours(
    demand: Demand,
    pairs: Pairs,
    plan: Plan,
    book: Book,
    offer: int,
    low: int,
    high: int,
    tried: I64,
    count: int,
    most: int,
    state: U64,
) -> int:
    """Add requests with unplaced blocks that could run on the offer around [low, high)."""
    begin, end = book.offer_ptr[offer], book.offer_ptr[offer + 1]
    # Pairs are by first start: those that begin before `high`.
    left, right = begin, end
    while left < right:
        middle = (left + right) // 2
        if pairs.first[book.offer_pair[middle]] < high:
            left = middle + 1
        else:
            right = middle
    size = left - begin
    if size <= 0:
        return count
    for _ in range(4 * most):
        if most <= 0 or count >= tried.shape[0]:
            break
        # Skewed to those that begin late, as they are the likelier to overlap.
        draw = next_random(state)
        pair = book.offer_pair[begin + size - 1 - int(draw * draw * size)]
        request = pairs.request[pair]
        if plan.placed[request] == demand.blocks[request] or pairs.last[pair] + pairs.hours[pair] <= low:
            continue
        before = count
        count = _add(tried, count, request, pair)
        most -= count - before
    return count


@lean
def _sort_tried(
    pairs: Pairs,
    demand: Demand,
    guide: Guide,
    tried: I64,
    first: int,
    count: int,
    key: F64,
    mode: float,
    noise: float,
    state: U64,
) -> None:
    """Order the requests to try by a noisy key: reduced value, density of value, or size."""
    for index in range(first, count):
        request = tried[index, 0]
        pair = demand.pair_ptr[request]
        use = 1.0 * pairs.cards[pair] * pairs.hours[pair]
        if mode < 0.4:  # noqa: PLR2004 - three orders by chance
            value = guide.reduced[request] / use
        elif mode < 0.8:  # noqa: PLR2004
            value = pairs.top[pair] / use
        else:
            value = use
        key[index] = value * (1.0 + noise * (next_random(state) - 0.5))
    for index in range(first + 1, count):
        request, only, value = tried[index, 0], tried[index, 1], key[index]
        at = index
        while at > first and key[at - 1] < value:
            tried[at, 0], tried[at, 1], key[at] = tried[at - 1, 0], tried[at - 1, 1], key[at - 1]
            at -= 1
        tried[at, 0], tried[at, 1], key[at] = request, only, value


@lean
def _follow(
    supply: Supply,
    demand: Demand,
    pairs: Pairs,
    terms: Terms,
    guide: Guide,
    plan: Plan,
    book: Book,
    freed: Freed,
    count: int,
    spread: int,
    most: int,
    picked: I64,
    state: U64,
) -> int:
    """Go on to where freed blocks could go as well, around when they were, and free up to `most` blocks there."""
    while 0 < count < MAX_FREED and next_random(state) < FURTHER:
        index = int(next_random(state) * count)
        request = book.slot_request[freed.slot[index]]
        draw = next_random(state)
        width = demand.pair_ptr[request + 1] - demand.pair_ptr[request]
        pair = guide.ranked[demand.pair_ptr[request] + int(draw * draw * width)]
        low = freed.start[index] - spread
        high = freed.start[index] + pairs.hours[freed.pair[index]] + spread
        most = 1 + int(next_random(state) * most)
        offer = pairs.offer[pair]
        count = _ruin(supply, demand, pairs, terms, plan, book, freed, count, offer, low, high, most, picked, state)
    return count


@lean
def _pick(demand: Demand, plan: Plan, requests: I64, state: U64) -> tuple[int, bool]:
    """Return a request, and whether room is to be made for it: then something of it is unplaced."""
    request = requests[int(next_random(state) * requests.size)]
    if next_random(state) >= EJECT:
        return request, False
    for _ in range(DRAWS):
        if plan.placed[request] < demand.blocks[request]:
            return request, True
        request = requests[int(next_random(state) * requests.size)]
    return request, plan.placed[request] < demand.blocks[request]


@lean
def _undo(
    supply: Supply,
    demand: Demand,
    pairs: Pairs,
    terms: Terms,
    guide: Guide,
    plan: Plan,
    book: Book,
    freed: Freed,
    count: int,
    slots: I64,
    used: int,
) -> None:
    """Take out what was put in, and put back what was freed."""
    for index in range(used - 1, -1, -1):
        leave(supply, demand, pairs, terms, plan, book, slots[index])
    for index in range(count - 1, -1, -1):
        enter(
            supply, demand, pairs, terms, guide, plan, book, freed.slot[index], freed.pair[index],
            freed.start[index], freed.option[index], freed.sigma[index],
        )  # fmt: skip
        # As full as it was.
        book.freed[pairs.offer[freed.pair[index]]] = freed.stamp[index]


@lean
def improve(
    supply: Supply,
    demand: Demand,
    pairs: Pairs,
    terms: Terms,
    guide: Guide,
    plan: Plan,
    book: Book,
    freed: Freed,
    requests: I64,
    state: U64,
    rounds: int,
    tolerance: float,
    scrap: Scrap,
    work: I64,
) -> float:
    """Ruin and recreate `rounds` times; return the change of the sum of worths."""
    tried, key, slots, scratch = scrap.tried, scrap.key, scrap.slots, scrap.scratch
    total = 0.0
    for _ in range(rounds):
        request, eject = _pick(demand, plan, requests, state)
        low_pair, high_pair = demand.pair_ptr[request], demand.pair_ptr[request + 1]
        draw = next_random(state)
        pair = guide.ranked[low_pair + int(draw * draw * (high_pair - low_pair))]
        offer = pairs.offer[pair]
        start = pairs.first[pair] + int(next_random(state) * (pairs.last[pair] - pairs.first[pair] + 1))
        spread = int(next_random(state) * next_random(state) * SPREAD)
        low, high = start - spread, start + pairs.hours[pair] + spread
        most = 1 + int(next_random(state) * MAX_RUINED)
        if eject:
            count = _eject(supply, demand, pairs, terms, plan, book, freed, pair, start, state)
        else:
            count = _ruin(
                supply, demand, pairs, terms, plan, book, freed, 0, offer, low, high, most, scrap.picked, state
            )
        count = _follow(
            supply, demand, pairs, terms, guide, plan, book, freed, count, spread, most, scrap.picked, state
        )  # fmt: skip
        size = 0
        lost = 0.0
        if eject:
            size = _add(tried, size, request, -1)
        for index in range(count):
            lost += book.worth[freed.slot[index]]
            size = _add(tried, size, book.slot_request[freed.slot[index]], -1)
        if plan.placed[request] < demand.blocks[request]:
            size = _add(tried, size, request, -1)
        size = _neighbours(
            demand, pairs, plan, book, offer, low, high, tried, size, int(next_random(state) * MAX_NEIGHBOURS), state
        )
        _sort_tried(pairs, demand, guide, tried, 1 if eject else 0, size, key, next_random(state), NOISE, state)
        beta = 1.0 if next_random(state) < GUIDED else LOOSELY_GUIDED
        used = 0
        gained = 0.0
        for index in range(size):
            used, more = insert(
                supply, demand, pairs, terms, guide, plan, book, tried[index, 0], tried[index, 1], beta, -np.inf,
                slots, used, scratch, work,
            )  # fmt: skip
            gained += more
        if gained >= lost - tolerance * -np.log(next_random(state) + 1e-12):
            total += gained - lost
            continue
        _undo(supply, demand, pairs, terms, guide, plan, book, freed, count, slots, used)
    return total

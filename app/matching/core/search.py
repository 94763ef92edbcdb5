"""The primal side: price-guided greedy insertion, then compiled ruin-and-recreate.

A block's *worth* is its score plus (unit − Σμ) per fen of subsidy: a fen left in a budget counts at the budget's price,
as somebody else takes it in the end. Insertion looks for the greatest worth less β times the price of the hours taken.
Ruin-and-recreate frees the blocks of an offer around an hour, tries them and a few neighbours again in a noisy order,
and goes back unless the sum of worths is at least what it was (less a tolerance that cools down).
"""

# NumPy's stubs type an element read at an untyped index as an array; compiled code reads scalars.
# pyright: reportArgumentType=false, reportReturnType=false

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from app.matching.core.columns import Columns, Demand, Pairs, Supply
from app.matching.core.compiled import compiled, lean
from app.matching.core.plan import Plan, copy_plan, empty_slot, put, share_room, take
from app.matching.core.prices import Prices, cheapest_window, felt_prices
from app.matching.core.rows import Rows
from app.matching.core.sigma import WIDTH, Terms, best_option, set_amounts

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
U64 = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

MAX_FREED: Final = 64
MAX_TRIED: Final = 96
MAX_TOUCHED: Final = 4096
# How much dearer a start feels that splits the free time of an offer.
LOOSE: Final = 0.3
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


class Guide(NamedTuple):
    """What steers insertion: prices felt by gangs (see `core.rows`), per-request subsidy scores, reduced values.

    Hours [s, e) of a pair cost `paid[at + e] − paid[at + s]` per card with `at = pair_at[pair]`, for all its cards at
    least `least[pair]` wherever in its window. `worth` is that of a block of the pair while the budgets are untouched;
    `ranked` are the pairs of each request by worth − least.
    """

    paid: F64
    pair_at: I64
    least: F64
    worth: F64
    ranked: I32
    budget: F64
    sigma_score: F64
    reduced: F64


class Book(NamedTuple):
    """Who is where: per slot its worth and its neighbours in the list of its offer; per offer its pairs by start.

    `freed` has a new stamp for an offer whenever a block leaves it; a pair for which there was no room since then
    carries the same stamp in `full` and needs no second look. `stamp` is the last one given.
    """

    worth: F64
    head: I32
    after: I32
    before: I32
    locked: Mask
    slot_request: I32
    offer_ptr: I64
    offer_pair: I32
    freed: I64
    full: I64
    stamp: I64


def guide_of(columns: Columns, rows: Rows, prices: Prices, reduced: F64) -> Guide:
    """Return the guide of these prices."""
    felt = felt_prices(columns, rows, prices)
    pairs = columns.pairs
    least = np.zeros(pairs.offer.size, dtype=np.float64)
    _least_prices(columns.supply, pairs, rows, felt, least)
    worth = np.zeros(pairs.offer.size, dtype=np.float64)
    _free_worth(pairs, columns.terms, columns.budget_limit, columns.sigma_score, prices.budget, worth)
    return Guide(
        paid=np.concatenate(([0.0], np.cumsum(felt))),
        pair_at=rows.pair_at,
        least=least,
        worth=worth,
        ranked=np.lexsort((np.arange(pairs.offer.size), least - worth, pairs.request)).astype(np.int32),
        budget=prices.budget,
        sigma_score=columns.sigma_score,
        reduced=reduced,
    )


@lean
def _least_prices(supply: Supply, pairs: Pairs, rows: Rows, felt: F64, least: F64) -> None:
    for pair in range(pairs.offer.size):
        _, price = cheapest_window(supply, pairs, felt, rows.pair_at[pair], supply.capacity, pair, False)
        least[pair] = pairs.cards[pair] * price


@compiled
def _free_worth(pairs: Pairs, terms: Terms, limit: I64, sigma_score: F64, mu: F64, worth: F64) -> None:
    """Set the worth of each pair with the best subsidy of untouched budgets."""
    sigma = np.zeros(WIDTH, dtype=np.int64)
    scratch = np.zeros(WIDTH, dtype=np.int64)
    for pair in range(pairs.offer.size):
        cost = pairs.cost[pair]
        _, gain = best_option(
            terms, pairs.option_low[pair], pairs.option_high[pair], cost, cost - pairs.max_net[pair], limit,
            sigma_score[pairs.request[pair]], mu, False, sigma, scratch,
        )  # fmt: skip
        worth[pair] = pairs.score[pair] + gain


def new_book(columns: Columns) -> Book:
    """Return the book of an empty plan."""
    offers = columns.supply.price.size
    order = np.lexsort((columns.pairs.first, columns.pairs.offer)).astype(np.int32)
    counts = np.bincount(columns.pairs.offer, minlength=offers)
    return Book(
        worth=np.zeros(columns.slots, dtype=np.float64),
        head=np.full(offers, -1, dtype=np.int32),
        after=np.full(columns.slots, -1, dtype=np.int32),
        before=np.full(columns.slots, -1, dtype=np.int32),
        locked=np.zeros(columns.slots, dtype=np.bool_),
        slot_request=np.repeat(np.arange(columns.demand.blocks.size), columns.demand.blocks).astype(np.int32),
        offer_ptr=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        offer_pair=order,
        freed=np.zeros(offers, dtype=np.int64),
        full=np.full(order.size, -1, dtype=np.int64),
        stamp=np.zeros(1, dtype=np.int64),
    )


@lean
def next_random(state: U64) -> float:
    """Return a number in [0, 1) and move the generator (xorshift64*) on."""
    word = state[0]
    word ^= word >> np.uint64(12)
    word ^= word << np.uint64(25)
    word ^= word >> np.uint64(27)
    state[0] = word
    return float((word * np.uint64(2685821657736338717)) >> np.uint64(11)) / 9007199254740992.0


@lean
def _link(book: Book, offer: int, slot: int) -> None:
    head = book.head[offer]
    book.after[slot] = head
    book.before[slot] = -1
    if head >= 0:
        book.before[head] = slot
    book.head[offer] = slot


@lean
def _unlink(book: Book, offer: int, slot: int) -> None:
    after, before = book.after[slot], book.before[slot]
    if before >= 0:
        book.after[before] = after
    else:
        book.head[offer] = after
    if after >= 0:
        book.before[after] = before


@lean
def worth_of(pairs: Pairs, terms: Terms, guide: Guide, pair: int, option: int, sigma: I64) -> float:
    """Return the worth of a block of a pair under an option with these amounts."""
    worth = pairs.score[pair]
    if option >= 0:
        first = terms.component_ptr[option]
        for component in range(first, terms.component_ptr[option + 1]):
            unit = guide.sigma_score[pairs.request[pair]]
            for index in range(terms.budget_ptr[component], terms.budget_ptr[component + 1]):
                unit -= guide.budget[terms.budget[index]]
            worth += unit * sigma[component - first]
    return worth


@lean
def enter(
    supply: Supply,
    demand: Demand,
    pairs: Pairs,
    terms: Terms,
    guide: Guide,
    plan: Plan,
    book: Book,
    slot: int,
    pair: int,
    start: int,
    option: int,
    sigma: I64,
) -> float:
    """Put a block into the plan and the book; return its worth."""
    put(supply, demand, pairs, terms, plan, slot, pair, start, option, sigma)
    _link(book, pairs.offer[pair], slot)
    book.worth[slot] = worth_of(pairs, terms, guide, pair, option, sigma)
    return book.worth[slot]


@lean
def leave(supply: Supply, demand: Demand, pairs: Pairs, terms: Terms, plan: Plan, book: Book, slot: int) -> float:
    """Take a block out of the plan and the book; return the worth it had."""
    offer = pairs.offer[plan.pair[slot]]
    _unlink(book, offer, slot)
    book.stamp[0] += 1
    book.freed[offer] = book.stamp[0]
    take(supply, demand, pairs, terms, plan, slot)
    return book.worth[slot]


@lean
def _load(pairs: Pairs, terms: Terms, guide: Guide, plan: Plan, book: Book) -> float:
    """Enter what a plan holds into an empty book; return the sum of worths."""
    total = 0.0
    for slot in range(plan.pair.size):
        pair = plan.pair[slot]
        if pair >= 0:
            _link(book, pairs.offer[pair], slot)
            book.worth[slot] = worth_of(pairs, terms, guide, pair, plan.option[slot], plan.sigma[slot])
            total += book.worth[slot]
    return total


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
def _greedy(
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
    gained = 0.0
    for request in order:
        _, more = insert(
            supply, demand, pairs, terms, guide, plan, book, request, -1, beta, floor, slots, 0, scratch, work
        )  # fmt: skip
        gained += more
    return gained


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
        pair = book.offer_pair[begin + int((1.0 - draw * draw) * size)]
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
        request = requests[int(next_random(state) * requests.size)]
        eject = next_random(state) < EJECT
        if eject:
            for _ in range(DRAWS):
                if plan.placed[request] < demand.blocks[request]:
                    break
                request = requests[int(next_random(state) * requests.size)]
            eject = plan.placed[request] < demand.blocks[request]
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
        while 0 < count < MAX_FREED and next_random(state) < FURTHER:
            # Where another of the freed blocks could go as well, around where it was.
            index = int(next_random(state) * count)
            other = book.slot_request[freed.slot[index]]
            draw = next_random(state)
            width = demand.pair_ptr[other + 1] - demand.pair_ptr[other]
            second = guide.ranked[demand.pair_ptr[other] + int(draw * draw * width)]
            begin = freed.start[index] - spread
            end = freed.start[index] + pairs.hours[freed.pair[index]] + spread
            most = 1 + int(next_random(state) * most)
            count = _ruin(
                supply, demand, pairs, terms, plan, book, freed, count, pairs.offer[second], begin, end, most,
                scrap.picked, state,
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
                supply, demand, pairs, terms, guide, plan, book, tried[index, 0], tried[index, 1], beta, -np.inf, slots, used, scratch,
                work,
            )  # fmt: skip
            gained += more
        if gained >= lost - tolerance * -np.log(next_random(state) + 1e-12):
            total += gained - lost
            continue
        for index in range(used - 1, -1, -1):
            leave(supply, demand, pairs, terms, plan, book, slots[index])
        for index in range(count - 1, -1, -1):
            enter(
                supply, demand, pairs, terms, guide, plan, book, freed.slot[index], freed.pair[index],
                freed.start[index], freed.option[index], freed.sigma[index],
            )  # fmt: skip
            # As full as it was.
            book.freed[pairs.offer[freed.pair[index]]] = freed.stamp[index]
    return total


@lean
def top_up(pairs: Pairs, terms: Terms, plan: Plan, order: I64, needed_only: bool) -> None:
    """Raise each block's amounts, in `order`, as far as its option and what is left of the budgets allow.

    With `needed_only` only `fixed` components are raised, which may not stay below their maximum.
    """
    for slot in order:
        option = plan.option[slot]
        if option < 0:
            continue
        cost = pairs.cost[plan.pair[slot]]
        first = terms.component_ptr[option]
        last = terms.component_ptr[option + 1]
        total = plan.sigma[slot].sum()
        ceiling = cost
        if terms.ceiling_ppm[option] >= 0:
            rate = terms.ceiling_ppm[option]
            ceiling = rate * (cost // 1_000_000) + rate * (cost % 1_000_000) // 1_000_000
        for component in range(first, last):
            if needed_only and not terms.fixed[component]:
                continue
            rate = terms.rate_ppm[component]
            full = min(terms.cap_fen[component], rate * (cost // 1_000_000) + rate * (cost % 1_000_000) // 1_000_000)
            more = min(full - plan.sigma[slot, component - first], ceiling - total)
            for index in range(terms.budget_ptr[component], terms.budget_ptr[component + 1]):
                more = min(more, plan.left[terms.budget[index]])
            if more <= 0:
                continue
            plan.sigma[slot, component - first] += more
            total += more
            for index in range(terms.budget_ptr[component], terms.budget_ptr[component + 1]):
                plan.left[terms.budget[index]] -= more


@lean
def reopen(pairs: Pairs, terms: Terms, plan: Plan, order: I64) -> None:
    """Cut amounts back to what each block needs, and choose an option for blocks that could take one.

    Only for blocks whose options are single components that aren't `fixed`; others stay as they are.
    """
    for slot in order:
        pair = plan.pair[slot]
        if plan.option[slot] < 0:
            # A block without subsidy may take the first option whose minimum is 0.
            for option in range(pairs.option_low[pair], pairs.option_high[pair]):
                first = terms.component_ptr[option]
                single = terms.component_ptr[option + 1] - first == 1
                if single and terms.min_fen[first] == 0 and not terms.fixed[first]:
                    plan.option[slot] = option
                    set_amounts(plan.sigma[slot], plan.sigma[slot], 0)
                    break
            continue
        first = terms.component_ptr[plan.option[slot]]
        if terms.component_ptr[plan.option[slot] + 1] - first != 1 or terms.fixed[first]:
            continue
        need = max(terms.min_fen[first], pairs.cost[pair] - pairs.max_net[pair])
        less = plan.sigma[slot, 0] - max(0, need)
        if less > 0:
            plan.sigma[slot, 0] -= less
            for index in range(terms.budget_ptr[first], terms.budget_ptr[first + 1]):
                plan.left[terms.budget[index]] += less


class Search:
    """A plan under improvement, with its book."""

    def __init__(self, columns: Columns, plan: Plan, guide: Guide, seed: int, locked: I64, hopeful: I64) -> None:
        self.columns = columns
        self.plan = plan
        self.guide = guide
        self.book = new_book(columns)
        self.book.locked[locked] = True
        self.freed = no_freed()
        self.work = np.zeros(1, dtype=np.int64)
        # Any odd word will do as long as it isn't 0.
        self.state = np.array([0x9E3779B97F4A7C15 ^ (2 * seed + 1)], dtype=np.uint64)
        self.requests = hopeful
        self.value = float(_load(columns.pairs, columns.terms, guide, plan, self.book))
        self.scrap = no_scrap()

    def twin(self, seed: int) -> "Search":
        """Return an independent search from the same plan with another seed."""
        locked = np.flatnonzero(self.book.locked)
        return Search(self.columns, copy_plan(self.plan), self.guide, seed, locked, self.requests)

    def follow(self, other: "Search") -> None:
        """Go on from where another search is."""
        for mine, theirs in zip((*self.plan, *self.book), (*other.plan, *other.book), strict=True):
            np.copyto(mine, theirs)
        self.value = other.value

    def greedy(self, order: I64, beta: float, floor: float) -> None:
        """Insert requests in an order, as far as worth − β·Σλ is above `floor`."""
        columns = self.columns
        self.value += _greedy(
            columns.supply, columns.demand, columns.pairs, columns.terms, self.guide, self.plan, self.book, order,
            beta, floor, self.scrap.slots, self.scrap.scratch, self.work,
        )  # fmt: skip

    def improve(self, rounds: int, tolerance: float) -> None:
        """Ruin and recreate."""
        if not self.requests.size:
            return
        columns = self.columns
        self.value += improve(
            columns.supply, columns.demand, columns.pairs, columns.terms, self.guide, self.plan, self.book, self.freed,
            self.requests, self.state, rounds, tolerance, self.scrap, self.work,
        )  # fmt: skip


def share_out(columns: Columns, plan: Plan, generous: bool) -> None:
    """Share the budgets out anew among the placed blocks, the weightiest first.

    `generous`: up to the most that each may take (surplus); else only what each needs (thrift).
    """
    slots = np.flatnonzero(plan.pair >= 0).astype(np.int64)
    request = columns.pairs.request[plan.pair[slots]]
    weight = columns.demand.weight[request]
    order = slots[np.lexsort((slots, -weight))]
    reopen(columns.pairs, columns.terms, plan, order)
    top_up(columns.pairs, columns.terms, plan, order, not generous)

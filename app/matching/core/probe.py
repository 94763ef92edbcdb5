"""Compiled questions about one request alone against what is left; `core.explain` asks them for many at once.

A change is (step, to, offer, start, row): how far it goes, the new value, the place that then fits, and the
alternative changed. Of several the least step is taken, then the earliest start, the lowest offer, the first row.
"""

# NumPy's stubs type an element read at an untyped index as an array; compiled code reads scalars.
# pyright: reportArgumentType=false, reportReturnType=false

from typing import Final

import numpy as np
import numpy.typing as npt

from app.matching.core.compiled import compiled
from app.matching.core.kernels import (
    World,
    barred,
    best_terms,
    earliest,
    exponent,
    felt_cost,
    free_card_hours,
    largest_gang,
    most_subsidy,
    part_of,
    share_allows,
)
from app.matching.core.packing import (
    COST,
    HOURS,
    NO_ROW,
    NO_WIDER,
    OFFER,
    ROW,
    START,
    WIDER_CHIPS,
    WIDER_REGION,
    Asks,
    Changed,
    Held,
    Wider,
    accepts_wider,
    changed_to,
    new_held,
    pack,
)

I8 = npt.NDArray[np.int8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

# Reasons by their place in `explain.Reason`, kinds of change in `explain.KINDS`.
(
    NO_CHIP,
    NO_SITE,
    TOO_LARGE,
    NO_WINDOW,
    OVER_BUDGET,
    SUBSIDY_EXHAUSTED,
    MIN_BLOCKS,
    FRAGMENTED,
    FORBIDDEN,
    SHARE_LIMIT,
    NO_GAIN,
    OUTBID,
) = range(12)
# What may hold for a request on an offer.
SITE, LARGE, WINDOW, PAYABLE, PAYABLE_LEFT, GANG_FREE = 1, 2, 4, 8, 16, 32
ALLOWED, BARRED_FITS, SHARELESS_FITS, FITS, GAINS = 64, 128, 256, 512, 1024
# The reasons that hold where a fact holds nowhere, in their order.
LADDER: Final = (
    (NO_SITE, SITE),
    (TOO_LARGE, LARGE),
    (NO_WINDOW, WINDOW),
    (OVER_BUDGET, PAYABLE),
    (SUBSIDY_EXHAUSTED, PAYABLE_LEFT),
)
PRICE, DEADLINE, GANG, CHIPS, REGION = range(5)
KINDS: Final = 5
STEP, TO, AT_OFFER, AT_START, AT_ROW = range(5)
NONE: Final = -1
ANY_TERM: Final = np.int64(-1)
# Whether a packing need only be paid for.
GAINING: Final = np.bool_(False)
PAYABLE_ONLY: Final = np.bool_(True)
# Room for the rounding of a comparison in floating point.
ROUNDING: Final = 1.000001


@compiled
def _keep(found: I64, step: int, to: int, offer: int, start: int, row: int) -> None:
    """Keep a change where it ranks before the one found so far."""
    if found[AT_OFFER] >= 0:
        if step > found[STEP]:
            return
        if step == found[STEP] and (start > found[AT_START] or (start == found[AT_START] and offer >= found[AT_OFFER])):
            return
    found[STEP], found[TO], found[AT_OFFER], found[AT_START], found[AT_ROW] = step, to, offer, start, row


@compiled
def _facts_of(world: World, asks: Asks, ask: int, row: int, offer: int) -> int:
    """Return what holds for one alternative on one offer that it accepts, as bits."""
    supply, rules, left = world.supply, world.rules, world.left
    request, buyer, low, deadline = asks.request[ask], asks.buyer[ask], asks.low[ask], asks.deadline[ask]
    cards, hours = asks.cards[row], asks.hours[row]
    large = left.top_ever[offer] >= cards
    if not large or earliest(supply, left.capacity, offer, cards, hours, low, deadline) < 0:
        return SITE | LARGE if large else SITE
    facts = SITE | LARGE | WINDOW
    cost = supply.price[offer] * cards * hours
    given = most_subsidy(world.terms, rules, left.budget, buyer, offer, cost)
    if cost - given > asks.max_net[row]:
        full = most_subsidy(world.terms, rules, left.limit, buyer, offer, cost)
        return facts | PAYABLE if cost - full <= asks.max_net[row] else facts
    is_barred = barred(rules, request, offer)
    facts |= PAYABLE | PAYABLE_LEFT | (0 if is_barred else ALLOWED)
    if (
        left.longest[offer, exponent(cards)] < hours
        or earliest(supply, left.free, offer, cards, hours, low, deadline) < 0
    ):
        return facts
    facts |= GANG_FREE
    gains = felt_cost(rules, cost, given) <= asks.worth[row]
    if is_barred:
        return facts | BARRED_FITS if gains else facts
    if not share_allows(supply, rules, left.share, request, offer, cards * hours):
        return facts | SHARELESS_FITS if gains else facts
    return facts | FITS | (GAINS if gains else 0)


@compiled
def _facts(world: World, asks: Asks, ask: int) -> int:
    """Return what holds for a request on some offer that some alternative accepts, as bits."""
    facts = 0
    for row in range(asks.row_ptr[ask], asks.row_ptr[ask + 1]):
        group = asks.group[row]
        for index in range(asks.group_ptr[group], asks.group_ptr[group + 1]):
            facts |= _facts_of(world, asks, ask, row, asks.accepted[index])
    return facts


@compiled
def _no_chip(asks: Asks, wide: Wider, ask: int) -> bool:
    some = False
    for row in range(asks.row_ptr[ask], asks.row_ptr[ask + 1]):
        some |= wide.takes[asks.chips[row]].any()
    return not some


@compiled
def judge(world: World, asks: Asks, wide: Wider, ask: int) -> tuple[int, bool]:
    """Return the first reason that holds, and whether as many blocks as wanted fit and gain as things are."""
    if _no_chip(asks, wide, ask):
        return NO_CHIP, False
    facts = _facts(world, asks, ask)
    for reason, fact in LADDER:
        if facts & fact == 0:
            return reason, False
    gains = facts & GAINS != 0
    wanted = asks.wanted[ask]
    if wanted > 1 and facts & FITS != 0:
        held = new_held(wanted)
        as_is = changed_to(NO_ROW, 0, 0, asks.deadline[ask], NO_WIDER, NONE)
        gains = pack(world, asks, wide, ask, GAINING, as_is, held)
        # A method that gives each block all the subsidy there is may find too few where these fit side by side.
        if gains or not pack(world, asks, wide, ask, PAYABLE_ONLY, as_is, held):
            return MIN_BLOCKS, gains
    if facts & GANG_FREE == 0 and _enough_hours(world, asks, ask):
        return FRAGMENTED, gains
    if facts & BARRED_FITS != 0 or facts & ALLOWED == 0:
        return FORBIDDEN, gains
    last = OUTBID if facts & FITS == 0 or gains else NO_GAIN
    return SHARE_LIMIT if facts & SHARELESS_FITS != 0 else last, gains


@compiled
def _enough_hours(world: World, asks: Asks, ask: int) -> bool:
    """Whether the accepted offers that the buyer can pay have a block's card-hours free inside the window."""
    supply, rules, left = world.supply, world.rules, world.left
    low, deadline = asks.low[ask], asks.deadline[ask]
    for row in range(asks.row_ptr[ask], asks.row_ptr[ask + 1]):
        use = asks.cards[row] * asks.hours[row]
        group = asks.group[row]
        free = 0
        for index in range(asks.group_ptr[group], asks.group_ptr[group + 1]):
            offer = asks.accepted[index]
            cost = supply.price[offer] * use
            given = most_subsidy(world.terms, rules, left.budget, asks.buyer[ask], offer, cost)
            if cost - given <= asks.max_net[row]:
                free += free_card_hours(supply, left.free, offer, low, deadline)
            if free >= use:
                return True
    return False


@compiled
def _open(world: World, asks: Asks, ask: int, offer: int, cards: int, hours: int) -> bool:
    """Whether rules and shares let a block in, and as many cards are ever free for as long."""
    rules, left = world.rules, world.left
    request = asks.request[ask]
    return (
        left.longest[offer, exponent(cards)] >= hours
        and not barred(rules, request, offer)
        and share_allows(world.supply, rules, left.share, request, offer, cards * hours)
    )


@compiled
def _price_of_one(world: World, asks: Asks, ask: int, row: int, found: I64) -> None:
    supply, rules, left = world.supply, world.rules, world.left
    low, deadline, buyer = asks.low[ask], asks.deadline[ask], asks.buyer[ask]
    cards, hours = asks.cards[row], asks.hours[row]
    use = cards * hours
    before = asks.max_net[row] // use
    group = asks.group[row]
    for index in range(asks.group_ptr[group], asks.group_ptr[group + 1]):
        offer = asks.accepted[index]
        if not _open(world, asks, ask, offer, cards, hours):
            continue
        cost = supply.price[offer] * use
        felt = felt_cost(rules, cost, most_subsidy(world.terms, rules, left.budget, buyer, offer, cost))
        price = -(-felt // use)
        if found[AT_OFFER] >= 0 and price - before > found[STEP]:
            continue
        start = earliest(supply, left.free, offer, cards, hours, low, deadline)
        if start >= 0:
            _keep(found, price - before, price, offer, start, row)


@compiled
def _dearest(world: World, asks: Asks, row: int) -> int:
    """Return the highest price of the offers that a row accepts: no block needs more."""
    group = asks.group[row]
    dearest = 0
    for index in range(asks.group_ptr[group], asks.group_ptr[group + 1]):
        dearest = max(dearest, world.supply.price[asks.accepted[index]])
    return dearest


@compiled
def _deadline_of_one(world: World, asks: Asks, ask: int, row: int, horizon: int, found: I64) -> None:
    supply, rules, left = world.supply, world.rules, world.left
    low, buyer, before = asks.low[ask], asks.buyer[ask], asks.deadline[ask]
    cards, hours = asks.cards[row], asks.hours[row]
    group = asks.group[row]
    for index in range(asks.group_ptr[group], asks.group_ptr[group + 1]):
        offer = asks.accepted[index]
        if not _open(world, asks, ask, offer, cards, hours):
            continue
        cost = supply.price[offer] * cards * hours
        given = most_subsidy(world.terms, rules, left.budget, buyer, offer, cost)
        if felt_cost(rules, cost, given) > asks.worth[row]:
            continue
        until = horizon if found[AT_OFFER] < 0 else found[TO]
        start = earliest(supply, left.free, offer, cards, hours, low, until)
        if start >= 0:
            _keep(found, start + hours - before, start + hours, offer, start, row)


@compiled
def _cards_of_one(world: World, asks: Asks, ask: int, row: int, queue: I64, found: I64) -> None:
    supply, rules, left = world.supply, world.rules, world.left
    low, deadline = asks.low[ask], asks.deadline[ask]
    cards, hours = asks.cards[row], asks.hours[row]
    rate, _ = best_terms(world.terms, rules, left.budget, asks.buyer[ask])
    group = asks.group[row]
    for index in range(asks.group_ptr[group], asks.group_ptr[group + 1]):
        offer = asks.accepted[index]
        # Cost, worth and the rates grow with the gang: where the best rate is not enough, it never is.
        paid = supply.price[offer] * cards * hours * (1.0 - rate)
        if paid > asks.worth[row] * ROUNDING or barred(rules, asks.request[ask], offer):
            continue
        least = 1 if found[AT_OFFER] < 0 else max(1, cards - found[STEP])
        top = cards - 1
        if left.longest[offer, exponent(least)] < hours or top < least:
            continue
        top = min(top, largest_gang(supply, left.free, offer, hours, low, deadline, queue))
        gang = _largest_paid(world, asks, ask, row, offer, least, top)
        if gang >= least:
            start = earliest(supply, left.free, offer, gang, hours, low, deadline)
            _keep(found, cards - gang, gang, offer, start, row)


@compiled
def _largest_paid(world: World, asks: Asks, ask: int, row: int, offer: int, least: int, top: int) -> int:
    """Return the most cards from `top` down to `least` that the shares allow and the buyer can pay, else 0."""
    supply, rules, left = world.supply, world.rules, world.left
    cards, hours, worth = asks.cards[row], asks.hours[row], asks.worth[row]
    for gang in range(top, least - 1, -1):
        use = gang * hours
        cost = supply.price[offer] * use
        given = most_subsidy(world.terms, rules, left.budget, asks.buyer[ask], offer, cost)
        if felt_cost(rules, cost, given) <= part_of(worth, gang, cards) and share_allows(
            supply, rules, left.share, asks.request[ask], offer, use
        ):
            return gang
    return 0


@compiled
def _net_if_open(world: World, asks: Asks, ask: int, row: int, offer: int) -> int:
    """Return what a block costs the buyer on an offer, or −1 where rules, shares or money keep it out."""
    rules = world.rules
    cards, hours = asks.cards[row], asks.hours[row]
    if not _open(world, asks, ask, offer, cards, hours):
        return NONE
    cost = world.supply.price[offer] * cards * hours
    given = most_subsidy(world.terms, rules, world.left.budget, asks.buyer[ask], offer, cost)
    return cost - given if felt_cost(rules, cost, given) <= asks.worth[row] else NONE


@compiled
def _widen_one(world: World, asks: Asks, wide: Wider, ask: int, row: int, kind: int, found: I64) -> None:
    supply = world.supply
    cards, hours, worth = asks.cards[row], asks.hours[row], asks.worth[row]
    low, deadline = asks.low[ask], asks.deadline[ask]
    rate, fen = best_terms(world.terms, world.rules, world.left.budget, asks.buyer[ask])
    for offer in wide.by_price:
        cost = supply.price[offer] * cards * hours
        # Offers come by price, and the least that one may cost net grows with it: those from here on are too dear.
        least = cost - min(rate * cost, fen)
        if least > worth * ROUNDING or (found[AT_OFFER] >= 0 and least > found[STEP] * ROUNDING):
            break
        if not accepts_wider(asks, wide, ask, row, offer, kind, ANY_TERM):
            continue
        net = _net_if_open(world, asks, ask, row, offer)
        if net < 0 or (found[AT_OFFER] >= 0 and net > found[STEP]):
            continue
        start = earliest(supply, world.left.free, offer, cards, hours, low, deadline)
        if start >= 0:
            _keep(found, net, wide.chip_term[offer] if kind == WIDER_CHIPS else wide.region[offer], offer, start, row)


@compiled
def _best_by_term(world: World, asks: Asks, wide: Wider, ask: int, row: int, kind: int, best: I64) -> None:
    """Set `best` to the cheapest block of each term."""
    supply = world.supply
    cards, hours, worth = asks.cards[row], asks.hours[row], asks.worth[row]
    low, deadline = asks.low[ask], asks.deadline[ask]
    rate, fen = best_terms(world.terms, world.rules, world.left.budget, asks.buyer[ask])
    for offer in wide.by_price:
        cost = supply.price[offer] * cards * hours
        if cost - min(rate * cost, fen) > worth * ROUNDING:
            break
        if not accepts_wider(asks, wide, ask, row, offer, kind, ANY_TERM):
            continue
        term = wide.chip_term[offer] if kind == WIDER_CHIPS else wide.region[offer]
        net = _net_if_open(world, asks, ask, row, offer)
        if net < 0 or (best[term, AT_OFFER] >= 0 and net >= best[term, STEP]):
            continue
        start = earliest(supply, world.left.free, offer, cards, hours, low, deadline)
        if start >= 0:
            _keep(best[term], net, term, offer, start, row)


@compiled
def _as_changed(asks: Asks, ask: int, row: int, kind: int, value: int) -> Changed:
    """Return a change of a kind to a value."""
    cards, worth, deadline, wider, term = asks.cards[row], asks.worth[row], asks.deadline[ask], NO_WIDER, NONE
    if kind == PRICE:
        worth = value * cards * asks.hours[row]
    elif kind == DEADLINE:
        deadline = value
    elif kind == GANG:
        worth = part_of(worth, value, cards)
        cards = value
    else:
        wider, term = WIDER_CHIPS if kind == CHIPS else WIDER_REGION, value
    return changed_to(row, cards, worth, deadline, wider, term)


@compiled
def _cheapest_term(best: I64) -> int:
    term = NONE
    for other in range(best.shape[0]):
        if best[other, AT_OFFER] >= 0 and (term < 0 or best[other, STEP] < best[term, STEP]):
            term = other
    return term


@compiled
def least_of_several(
    world: World, asks: Asks, wide: Wider, ask: int, row: int, kind: int, low: int, high: int, best: I64, held: Held
) -> int:
    """Return the value nearest to the present one at which all wanted blocks fit, `NONE` without; sets `held`.

    Price and deadline lie in [low, high] and are bisected; cards go down from `high` to `low`; terms are those of
    `best`, the cheapest first.
    """
    trial = new_held(held.block.shape[0])
    least = NONE
    bisected = kind in (PRICE, DEADLINE)
    value = high
    while low <= high:
        if kind in (CHIPS, REGION):
            value = _cheapest_term(best)
            if value < 0:
                break
            best[value, AT_OFFER] = NONE
        fits = pack(world, asks, wide, ask, GAINING, _as_changed(asks, ask, row, kind, value), trial)
        if fits:
            least = value
            held.block[:] = trial.block
        if bisected:
            if fits:
                high = value - 1
            elif least < 0:
                break
            else:
                low = value + 1
            value = (low + high) // 2
        elif fits:
            break
        elif kind == GANG:
            high -= 1
            value = high
    return least


@compiled
def _stated(asks: Asks, wide: Wider, ask: int, row: int, kind: int, value: int, held: Held) -> int:
    """Return which of the blocks held to name: one that needs the change."""
    at = 0
    reach = -1
    for index in range(held.block.shape[0]):
        block = held.block[index]
        if kind == DEADLINE:
            need = block[START] + block[HOURS]
        elif kind == PRICE:
            need = block[COST] if block[ROW] == row else -1
        elif kind == GANG:
            need = 0 if block[ROW] == row else -1
        else:
            wider = WIDER_CHIPS if kind == CHIPS else WIDER_REGION
            need = 0 if accepts_wider(asks, wide, ask, block[ROW], np.int32(block[OFFER]), wider, value) else -1
        if need > reach:
            at, reach = index, need
    return at


@compiled
def _several(
    world: World, asks: Asks, wide: Wider, ask: int, row: int, kind: int, horizon: int, terms: int, found: I64
) -> None:
    """Find the least change of a kind with which several blocks fit side by side."""
    held = new_held(asks.wanted[ask])
    best = np.full((terms, KINDS), NONE, dtype=np.int64)
    low, high, before = 0, 0, 0
    if kind == PRICE:
        before = asks.max_net[row] // (asks.cards[row] * asks.hours[row])
        low, high = before + 1, _dearest(world, asks, row)
    elif kind == DEADLINE:
        before = asks.deadline[ask]
        low, high = before + 1, horizon
    elif kind == GANG:
        before = asks.cards[row]
        low, high = 1, before - 1
        if found[AT_OFFER] >= 0:
            low = max(low, before - found[STEP])
    else:
        _best_by_term(world, asks, wide, ask, row, WIDER_CHIPS if kind == CHIPS else WIDER_REGION, best)
    nets = best[:, STEP].copy()
    value = least_of_several(world, asks, wide, ask, row, kind, low, high, best, held)
    if value < 0:
        return
    step = nets[value] if kind in (CHIPS, REGION) else abs(value - before)
    block = held.block[_stated(asks, wide, ask, row, kind, value, held)]
    _keep(found, step, value, np.int32(block[OFFER]), block[START], block[ROW])


@compiled
def _one(
    world: World, asks: Asks, wide: Wider, ask: int, row: int, kind: int, horizon: int, queue: I64, found: I64
) -> None:
    """Find the least change of a kind with which one block fits."""
    if kind == PRICE:
        _price_of_one(world, asks, ask, row, found)
    elif kind == DEADLINE:
        _deadline_of_one(world, asks, ask, row, horizon, found)
    elif kind == GANG:
        _cards_of_one(world, asks, ask, row, queue, found)
    else:
        _widen_one(world, asks, wide, ask, row, WIDER_CHIPS if kind == CHIPS else WIDER_REGION, found)


@compiled
def _may_help(asks: Asks, ask: int, row: int, kind: int) -> bool:
    """Whether a change of a kind could help at all."""
    if kind == PRICE:
        # Where the value is capped below what the buyer would pay, paying more gains nothing.
        return asks.worth[row] >= asks.max_net[row]
    if kind == DEADLINE:
        return True
    if kind == REGION and not asks.regional[ask]:
        return False
    return asks.deadline[ask] - asks.low[ask] >= asks.hours[row]


@compiled
def answer(
    world: World, asks: Asks, wide: Wider, horizon: int, terms: int, reason: I8, changes: I64, queue: I64
) -> None:
    """Set each request's reason, and its changes by kind: (step, to, offer, start, row), offer −1 where none helps.

    `terms` is the greater number of chip terms or regions; `queue` has room for the longest window.
    """
    for ask in range(asks.request.size):
        code, already = judge(world, asks, wide, ask)
        reason[ask] = code
        if already:
            continue
        for kind in range(KINDS):
            for row in range(asks.row_ptr[ask], asks.row_ptr[ask + 1]):
                if not _may_help(asks, ask, row, kind):
                    continue
                found = changes[ask, kind]
                if asks.wanted[ask] == 1:
                    _one(world, asks, wide, ask, row, kind, horizon, queue, found)
                else:
                    _several(world, asks, wide, ask, row, kind, horizon, terms, found)

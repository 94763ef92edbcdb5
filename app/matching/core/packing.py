"""Whether several blocks of one request fit what is left side by side, compiled.

Blocks may take different alternatives, offers and starts. They are placed one after another, each where it draws the
least subsidy, then at the least cost, then earliest; an offer is filled from the left, which is the best for blocks of
equal size. With one alternative and one budget in play nothing is missed; where alternatives of different sizes
compete for the same hours, a packing that only a search would find may be.
"""

# NumPy's stubs type an element read at an untyped index as an array; compiled code reads scalars.
# pyright: reportArgumentType=false, reportReturnType=false

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from app.kit.money import PPM
from app.matching.core.compiled import compiled
from app.matching.core.kernels import World, barred, earliest, exponent, least_draw, share_allows, subsidy_needed
from app.matching.core.sigma import NOTHING_ALLOWED, WIDTH

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# Constants that compiled functions are given are NumPy's: a plain one would have each function compiled once more.
TAKE: Final = np.int64(1)
GIVE_BACK: Final = np.int64(-1)
NO_ROW: Final = -1
NO_WIDER: Final = 0
WIDER_CHIPS: Final = 1
WIDER_REGION: Final = 2


class Asks(NamedTuple):
    """Requests to explain, `row_ptr[u]:row_ptr[u + 1]` their alternatives, and the offers that each accepts.

    `wanted` blocks more must fit; `regional`: the site names regions. `worth` is what a block's gain starts from:
    `max_net`, or less where the value is capped. `site` and `chips` are rows of `Wider`. Hours count from the columns'
    base hour.
    """

    request: I64
    buyer: I64
    low: I64
    deadline: I64
    wanted: I64
    regional: Mask
    row_ptr: I64
    site: I64
    cards: I64
    hours: I64
    max_net: I64
    worth: I64
    group: I64
    chips: I64
    group_ptr: I64
    accepted: I32


class Wider(NamedTuple):
    """What else there is to accept.

    By chip selector: the models that it takes, and those that meet its minimum. By site: the offers that it lets
    through, and those that it would with any region. By offer: model, chip term, region. And the offers by price.
    """

    takes: Mask
    meets: Mask
    inside: Mask
    anywhere: Mask
    model: I64
    chip_term: I64
    region: I64
    by_price: I32


class Changed(NamedTuple):
    """A request changed: one row with other cards and worth, a deadline, one more term for chips or region."""

    row: int
    cards: int
    worth: int
    deadline: int
    wider: int
    term: int


class Held(NamedTuple):
    """Blocks being placed: offer, start, row, cards, hours, option and cost of each, and its amounts."""

    block: I64
    sigma: I64


OFFER, START, ROW, CARDS, HOURS, OPTION, COST = range(7)


@compiled
def changed_to(row: int, cards: int, worth: int, deadline: int, wider: int, term: int) -> Changed:
    """Return a change; a function of its own, so that constants and variables make one type."""
    return Changed(row, cards, worth, deadline, wider, term)


@compiled
def new_held(wanted: int) -> Held:
    """Return room for `wanted` blocks."""
    return Held(np.zeros((wanted, 7), dtype=np.int64), np.zeros((wanted, WIDTH), dtype=np.int64))


@compiled
def accepts_wider(asks: Asks, wide: Wider, ask: int, row: int, offer: int, wider: int, term: int) -> bool:
    """Whether an offer is outside what a row accepts, and inside once `term` is accepted too; any term if −1."""
    model, selector, site = wide.model[offer], asks.chips[row], asks.site[ask]
    if wider == WIDER_CHIPS:
        fits = wide.inside[site, offer] and wide.meets[selector, model] and not wide.takes[selector, model]
        return fits and (term < 0 or wide.chip_term[offer] == term)
    fits = wide.takes[selector, model] and wide.anywhere[site, offer] and not wide.inside[site, offer]
    return fits and (term < 0 or wide.region[offer] == term)


@compiled
def _hold(world: World, request: int, held: Held, index: int, sign: int) -> None:
    """Take a block out of what is left (`sign` 1) or give it back (−1)."""
    supply, terms, left = world.supply, world.terms, world.left
    offer, option = held.block[index, OFFER], held.block[index, OPTION]
    cards = sign * held.block[index, CARDS]
    row = supply.row_ptr[offer] - supply.first_hour[offer] + held.block[index, START]
    for hour in range(row, row + held.block[index, HOURS]):
        left.free[hour] -= cards
    use = cards * held.block[index, HOURS]
    own = world.rules.buyer_share[request]
    if own >= 0:
        left.share[own] -= use
    if supply.share[offer] >= 0:
        left.share[supply.share[offer]] -= use
    if option >= 0:
        first = terms.component_ptr[option]
        for component in range(first, terms.component_ptr[option + 1]):
            for at in range(terms.budget_ptr[component], terms.budget_ptr[component + 1]):
                left.budget[terms.budget[at]] -= sign * held.sigma[index, component - first]


@compiled
def _next_place(
    world: World, asks: Asks, wide: Wider, ask: int, plain: bool, changed: Changed, held: Held, count: int
) -> bool:
    """Set `held[count]` to the block with the least draw, cost and start; return whether there is one."""
    supply, rules, left = world.supply, world.rules, world.left
    request, buyer, low = asks.request[ask], asks.buyer[ask], asks.low[ask]
    sigma = np.zeros(WIDTH, dtype=np.int64)
    scratch = np.zeros(WIDTH, dtype=np.int64)
    found = False
    best_draw = best_cost = best_start = 0
    for row in range(asks.row_ptr[ask], asks.row_ptr[ask + 1]):
        cards, hours = asks.cards[row], asks.hours[row]
        worth = asks.max_net[row] if plain else asks.worth[row]
        if row == changed.row:
            cards, worth = changed.cards, changed.worth
        use = cards * hours
        power = exponent(cards)
        group = asks.group[row]
        own = asks.group_ptr[group + 1] - asks.group_ptr[group]
        more = changed.wider == WIDER_REGION or (changed.wider == WIDER_CHIPS and row == changed.row)
        for index in range(own + (wide.model.size if more else 0)):
            offer = asks.accepted[asks.group_ptr[group] + index] if index < own else wide.by_price[index - own]
            if index >= own and not accepts_wider(asks, wide, ask, row, offer, changed.wider, changed.term):
                continue
            if (
                left.longest[offer, power] < hours
                or barred(rules, request, offer)
                or not share_allows(supply, rules, left.share, request, offer, use)
            ):
                continue
            cost = supply.price[offer] * use
            need = subsidy_needed(PPM if plain else rules.keep_ppm, cost - worth)
            option, draw = least_draw(world.terms, rules, left.budget, buyer, offer, cost, need, sigma, scratch)
            if option == NOTHING_ALLOWED or (found and (draw > best_draw or (draw == best_draw and cost > best_cost))):
                continue
            start = earliest(supply, left.free, offer, cards, hours, low, changed.deadline)
            if start < 0 or (found and draw == best_draw and cost == best_cost and start >= best_start):
                continue
            found, best_draw, best_cost, best_start = True, draw, cost, start
            block = held.block[count]
            block[OFFER], block[START], block[ROW], block[CARDS] = offer, start, row, cards
            block[HOURS], block[OPTION], block[COST] = hours, option, cost
            held.sigma[count] = sigma
    return found


@compiled
def _again(world: World, asks: Asks, ask: int, plain: bool, changed: Changed, held: Held, count: int) -> bool:
    """Set `held[count]` to one more block like the one before on the same offer; return whether it fits."""
    supply, rules, left = world.supply, world.rules, world.left
    before, block = held.block[count - 1], held.block[count]
    offer, row, cards, hours, cost = np.int32(before[OFFER]), before[ROW], before[CARDS], before[HOURS], before[COST]
    if not share_allows(supply, rules, left.share, asks.request[ask], offer, cards * hours):
        return False
    worth = asks.max_net[row] if plain else asks.worth[row]
    if row == changed.row:
        worth = changed.worth
    need = subsidy_needed(PPM if plain else rules.keep_ppm, cost - worth)
    scratch = np.zeros(WIDTH, dtype=np.int64)
    option, _ = least_draw(
        world.terms, rules, left.budget, asks.buyer[ask], offer, cost, need, held.sigma[count], scratch
    )
    if option == NOTHING_ALLOWED:
        return False
    start = earliest(supply, left.free, offer, cards, hours, before[START], changed.deadline)
    if start < 0:
        return False
    block[:] = before
    block[START], block[OPTION] = start, option
    return True


@compiled
def pack(world: World, asks: Asks, wide: Wider, ask: int, plain: bool, changed: Changed, held: Held) -> bool:
    """Whether as many blocks as `held` has room for fit what is left; sets `held`, and leaves what is left as it was.

    `plain` asks only whether they can be paid for, not whether they gain.
    """
    wanted = held.block.shape[0]
    request = asks.request[ask]
    count = np.int64(0)
    while count < wanted and _next_place(world, asks, wide, ask, plain, changed, held, count):
        _hold(world, request, held, count, TAKE)
        count += 1
        # What is left only shrinks, so that an offer that is full for these blocks needn't be tried again.
        while count < wanted and _again(world, asks, ask, plain, changed, held, count):
            _hold(world, request, held, count, TAKE)
            count += 1
    for index in range(count - 1, -1, -1):
        _hold(world, request, held, index, GIVE_BACK)
    return count == wanted

"""Compiled leaves on one (buyer, offer) pair: when a gang is free, what subsidy there is, what the rules allow.

`probe` and `packing` ask them; they take arrays only, so that the search may ask them too.
"""

# NumPy's stubs type an element read at an untyped index as an array; compiled code reads scalars.
# pyright: reportArgumentType=false, reportReturnType=false

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from app.kit.money import PPM
from app.matching.core.columns import Supply
from app.matching.core.compiled import compiled
from app.matching.core.sigma import NO_CAP, NO_OPTION, NOTHING_ALLOWED, Terms, fill, floor_rate, most

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

NEVER: Final = -1
# 2^16 is the greatest power of two among the cards that an offer may have (`limits.MAX_CARDS`).
EXPONENTS: Final = 17


class Rules(NamedTuple):
    """What decides a (buyer, offer) pair: options by buyer and subsidy class, forbidden pairs, buyers' share rows.

    `forbidden` holds request × offers + offer, ascending. A fen of subsidy counts `keep_ppm` in a block's gain.
    """

    option_ptr: I64
    offer_class: I32
    class_count: int
    forbidden: I64
    buyer_share: I32
    keep_ppm: int


class Left(NamedTuple):
    """What is left of capacity (by row), budgets and shares, and what the market began with.

    `longest[o, i]` is the most hours on end that offer o has at least 2^i cards free; `top_ever` the most cards that
    it ever had.
    """

    free: I32
    capacity: I32
    budget: I64
    limit: I64
    share: I64
    longest: I32
    top_ever: I32


class World(NamedTuple):
    """The market and what is left of it."""

    supply: Supply
    terms: Terms
    rules: Rules
    left: Left


@compiled
def earliest(supply: Supply, profile: I32, offer: int, cards: int, hours: int, low: int, deadline: int) -> int:
    """Return the earliest start from `low` on with the gang free until the deadline, or −1.

    Each hour is looked at once at most: from the far end, the last hour that is too full rules out all starts up to it.
    """
    first_hour = supply.first_hour[offer]
    row = supply.row_ptr[offer] - first_hour
    end = min(deadline, supply.row_ptr[offer + 1] - row)
    start = max(low, first_hour)
    known = start
    while start + hours <= end:
        hour = start + hours - 1
        while hour >= known and profile[row + hour] >= cards:
            hour -= 1
        if hour < known:
            return start
        known = start + hours
        start = hour + 1
    return NEVER


@compiled
def exponent(cards: int) -> int:
    """Return the greatest i with 2^i ≤ cards."""
    power = 0
    while cards >> (power + 1) > 0:
        power += 1
    return power


@compiled
def longest_runs(supply: Supply, profile: I32) -> I32:
    """Return `Left.longest`: offers × exponents."""
    offers = supply.price.size
    longest = np.zeros((offers, EXPONENTS), dtype=np.int32)
    for offer in range(offers):
        run = np.zeros(EXPONENTS, dtype=np.int32)
        for row in range(supply.row_ptr[offer], supply.row_ptr[offer + 1]):
            for power in range(EXPONENTS):
                run[power] = run[power] + 1 if profile[row] >> power > 0 else 0
                longest[offer, power] = max(longest[offer, power], run[power])
    return longest


@compiled
def best_terms(terms: Terms, rules: Rules, budget: I64, buyer: int) -> tuple[float, float]:
    """Return (rate, fen): no offer's subsidy for a buyer is more than rate·C, nor more than fen."""
    best_rate, best_fen = 0.0, 0.0
    for kind in range(buyer * rules.class_count, (buyer + 1) * rules.class_count):
        for option in range(rules.option_ptr[kind], rules.option_ptr[kind + 1]):
            rate, fen = 0.0, 0.0
            for component in range(terms.component_ptr[option], terms.component_ptr[option + 1]):
                rate += terms.rate_ppm[component] / PPM
                least = float(terms.cap_fen[component])
                for at in range(terms.budget_ptr[component], terms.budget_ptr[component + 1]):
                    least = min(least, float(budget[terms.budget[at]]))
                fen += least
            best_rate, best_fen = max(best_rate, min(rate, 1.0)), max(best_fen, fen)
    return best_rate, best_fen


@compiled
def free_card_hours(supply: Supply, free: I32, offer: int, low: int, deadline: int) -> int:
    """Return the free card-hours of an offer inside a window."""
    first_hour = supply.first_hour[offer]
    row = supply.row_ptr[offer] - first_hour
    total = 0
    for hour in range(max(low, first_hour), min(deadline, supply.row_ptr[offer + 1] - row)):
        total += free[row + hour]
    return total


@compiled
def largest_gang(supply: Supply, free: I32, offer: int, hours: int, low: int, deadline: int, queue: I64) -> int:
    """Return the most cards free together for `hours` at some start in the window (a sliding minimum)."""
    first_hour = supply.first_hour[offer]
    row = supply.row_ptr[offer] - first_hour
    begin = max(low, first_hour)
    best = 0
    head = tail = 0
    for hour in range(begin, min(deadline, supply.row_ptr[offer + 1] - row)):
        while tail > head and free[row + queue[tail - 1]] >= free[row + hour]:
            tail -= 1
        queue[tail] = hour
        tail += 1
        if queue[head] <= hour - hours:
            head += 1
        if hour - begin + 1 >= hours:
            best = max(best, free[row + queue[head]])
    return best


@compiled
def barred(rules: Rules, request: int, offer: int) -> bool:
    """Whether the pair is forbidden."""
    if rules.forbidden.size == 0:
        return False
    key = request * rules.offer_class.size + offer
    at = int(np.searchsorted(rules.forbidden, key))
    return at < rules.forbidden.size and rules.forbidden[at] == key


@compiled
def share_allows(supply: Supply, rules: Rules, share: I64, request: int, offer: int, use: int) -> bool:
    """Whether the share rows have room for `use` card-hours more."""
    own, other = rules.buyer_share[request], supply.share[offer]
    return (own < 0 or share[own] >= use) and (other < 0 or share[other] >= use)


@compiled
def most_subsidy(terms: Terms, rules: Rules, budget: I64, buyer: int, offer: int, cost: int) -> int:
    """Return the largest Σσ that a contract of `cost` fen can get with `budget` fen left in each; 0 without an option.

    The same as `sigma.best_option` with every fen of equal worth, which needs no amounts.
    """
    kind = buyer * rules.class_count + rules.offer_class[offer]
    best = 0
    for option in range(rules.option_ptr[kind], rules.option_ptr[kind + 1]):
        ceiling = floor_rate(terms.ceiling_ppm[option], cost)
        least = total = 0
        for component in range(terms.component_ptr[option], terms.component_ptr[option + 1]):
            high = most(terms, component, cost, budget)
            low = terms.min_fen[component]
            if high < low:
                least = NO_CAP
                break
            total += high
            least += min(high, max(low, ceiling - least)) if terms.fixed[component] else low
        if least <= ceiling and least < NO_CAP:
            best = max(best, min(total, ceiling))
    return best


@compiled
def felt_cost(rules: Rules, cost: int, subsidy: int) -> int:
    """Return the least worth at which a block doesn't lose: C − ⌊(1 − κ)⁺·σ⌋; what the buyer pays where κ is 0."""
    return cost - floor_rate(rules.keep_ppm, subsidy)


@compiled
def part_of(worth: int, gang: int, cards: int) -> int:
    """Return ⌊worth·gang/cards⌋, what `gang` of `cards` cards are worth, without leaving 64 bits."""
    return worth // cards * gang + worth % cards * gang // cards


@compiled
def subsidy_needed(keep_ppm: int, short: int) -> int:
    """Return the least σ with ⌊keep·σ⌋ ≥ short; beyond any budget where subsidy doesn't count."""
    if short <= 0:
        return 0
    if keep_ppm == 0:
        return NO_CAP
    return short // keep_ppm * PPM + -(-(short % keep_ppm * PPM) // keep_ppm)


@compiled
def least_draw(
    terms: Terms, rules: Rules, budget: I64, buyer: int, offer: int, cost: int, need: int, sigma: I64, scratch: I64
) -> tuple[int, int]:
    """Return (option, Σσ) with the least subsidy ≥ `need`, `NOTHING_ALLOWED` if none gives it; sets `sigma`."""
    sigma[:] = 0
    if need <= 0:
        return NO_OPTION, 0
    weights = (0.0, 0.0, 0.0, 0.0)
    kind = buyer * rules.class_count + rules.offer_class[offer]
    chosen, least = NOTHING_ALLOWED, 0
    for option in range(rules.option_ptr[kind], rules.option_ptr[kind + 1]):
        total = fill(terms, option, cost, need, budget, weights, True, scratch)
        if total < 0 or (chosen != NOTHING_ALLOWED and total >= least):
            continue
        chosen, least = option, total
        count = terms.component_ptr[option + 1] - terms.component_ptr[option]
        sigma[:] = 0
        sigma[:count] = scratch[:count]
    return chosen, least

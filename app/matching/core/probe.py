"""Compiled questions about one request alone against what is left; `core.explain` asks them.

A *need* is (cards n, hours h, window [e, d), most net per block). Candidates are offers by position, ascending.
"""

# NumPy's stubs type an element read at an untyped index as an array; compiled code reads scalars.
# pyright: reportArgumentType=false, reportReturnType=false

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from app.matching.core.columns import Supply
from app.matching.core.compiled import compiled
from app.matching.core.sigma import WIDTH, Terms, best_option

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

NO_NEED: Final = -(2**62)


class Left(NamedTuple):
    """What is left of capacity (by row), budgets and shares, and what the market began with."""

    free: I32
    capacity: I32
    budget: I64
    limit: I64
    share: I64
    no_mu: F64


class Rules(NamedTuple):
    """What decides a (buyer, offer) pair: options by buyer and subsidy class, forbidden pairs, buyers' share rows."""

    option_ptr: I64
    offer_class: I32
    class_count: int
    forbidden: I64
    buyer_share: I32


@compiled
def largest_subsidy(
    terms: Terms, rules: Rules, left: I64, no_mu: F64, buyer: int, offer: int, cost: int, sigma: I64, scratch: I64
) -> int:
    """Return the largest Σσ for a contract of `cost` with `left` in the budgets; sets `sigma`; 0 without an option."""
    kind = buyer * rules.class_count + rules.offer_class[offer]
    best_option(
        terms, rules.option_ptr[kind], rules.option_ptr[kind + 1], cost, NO_NEED, left, 1.0, no_mu, True, sigma, scratch
    )
    return sigma.sum()


@compiled
def earliest(supply: Supply, profile: I32, offer: int, cards: int, hours: int, low: int, deadline: int) -> int:
    """Return the earliest start from `low` on with the gang free until the deadline, or −1."""
    first_hour = supply.first_hour[offer]
    row = supply.row_ptr[offer] - first_hour
    run = 0
    for hour in range(max(low, first_hour), min(deadline, supply.row_ptr[offer + 1] - row)):
        run = run + 1 if profile[row + hour] >= cards else 0
        if run >= hours:
            return hour - hours + 1
    return -1


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
def barred(rules: Rules, request: int, offer: int, offers: int) -> bool:
    """Whether the pair is forbidden."""
    if rules.forbidden.size == 0:
        return False
    key = request * offers + offer
    at = int(np.searchsorted(rules.forbidden, key))
    return at < rules.forbidden.size and rules.forbidden[at] == key


@compiled
def share_allows(supply: Supply, rules: Rules, share: I64, request: int, offer: int, use: int) -> bool:
    """Whether the share rows have room for `use` card-hours more."""
    own, other = rules.buyer_share[request], supply.share[offer]
    return (own < 0 or share[own] >= use) and (other < 0 or share[other] >= use)


@compiled
def best_fit(
    supply: Supply,
    terms: Terms,
    rules: Rules,
    left: Left,
    request: int,
    buyer: int,
    candidates: I32,
    cards: int,
    hours: int,
    low: int,
    deadline: int,
    max_net: int,
    sigma: I64,
    scratch: I64,
) -> tuple[int, int, int]:
    """Return (offer, start, net) of the cheapest block that fits what is left, offer −1 if none; sets `sigma`."""
    best_offer, best_start, best_net = -1, -1, 0
    use = cards * hours
    trial = np.zeros(WIDTH, dtype=np.int64)
    for offer in candidates:
        if barred(rules, request, offer, supply.price.size) or not share_allows(
            supply, rules, left.share, request, offer, use
        ):
            continue
        cost = supply.price[offer] * use
        net = cost - largest_subsidy(terms, rules, left.budget, left.no_mu, buyer, offer, cost, trial, scratch)
        if net > max_net or (best_offer >= 0 and net > best_net):
            continue
        start = earliest(supply, left.free, offer, cards, hours, low, deadline)
        if start < 0 or (best_offer >= 0 and net == best_net and start >= best_start):
            continue
        best_offer, best_start, best_net = offer, start, net
        sigma[:] = trial
    return best_offer, best_start, best_net


@compiled
def _hold(
    supply: Supply,
    terms: Terms,
    rules: Rules,
    left: Left,
    request: int,
    buyer: int,
    offer: int,
    start: int,
    cards: int,
    hours: int,
    sigma: I64,
    sign: int,
) -> None:
    """Take a block out of what is left (`sign` 1) or give it back (−1)."""
    row = supply.row_ptr[offer] - supply.first_hour[offer] + start
    for hour in range(row, row + hours):
        left.free[hour] -= sign * cards
    use = cards * hours * sign
    if rules.buyer_share[request] >= 0:
        left.share[rules.buyer_share[request]] -= use
    if supply.share[offer] >= 0:
        left.share[supply.share[offer]] -= use
    _draw(terms, rules, left, buyer, offer, supply.price[offer] * cards * hours, sigma, sign)


@compiled
def _draw(terms: Terms, rules: Rules, left: Left, buyer: int, offer: int, cost: int, sigma: I64, sign: int) -> None:
    """Draw the subsidy of a block from the budgets of the option that gives it."""
    if sigma.sum() == 0:
        return
    kind = buyer * rules.class_count + rules.offer_class[offer]
    low, high = rules.option_ptr[kind], rules.option_ptr[kind + 1]
    if sign > 0:
        trial = np.zeros(WIDTH, dtype=np.int64)
        scratch = np.zeros(WIDTH, dtype=np.int64)
        option, _ = best_option(terms, low, high, cost, NO_NEED, left.budget, 1.0, left.no_mu, True, trial, scratch)
        sigma[WIDTH] = option
    option = sigma[WIDTH]
    first = terms.component_ptr[option]
    for component in range(first, terms.component_ptr[option + 1]):
        for index in range(terms.budget_ptr[component], terms.budget_ptr[component + 1]):
            left.budget[terms.budget[index]] -= sign * sigma[component - first]


@compiled
def fits(
    supply: Supply,
    terms: Terms,
    rules: Rules,
    left: Left,
    request: int,
    buyer: int,
    candidates: I32,
    cards: int,
    hours: int,
    low: int,
    deadline: int,
    max_net: int,
    wanted: int,
) -> tuple[int, int, int]:
    """Place up to `wanted` blocks, cheapest first, and put them back; return (placed, first offer, first start)."""
    held = np.zeros((wanted, 2), dtype=np.int64)
    sigmas = np.zeros((wanted, WIDTH + 1), dtype=np.int64)
    scratch = np.zeros(WIDTH, dtype=np.int64)
    count = 0
    while count < wanted:
        offer, start, _ = best_fit(
            supply, terms, rules, left, request, buyer, candidates, cards, hours, low, deadline, max_net,
            sigmas[count, :WIDTH], scratch,
        )  # fmt: skip
        if offer < 0:
            break
        held[count, 0], held[count, 1] = offer, start
        count += 1
        if wanted > 1:
            _hold(supply, terms, rules, left, request, buyer, offer, start, cards, hours, sigmas[count - 1], 1)
    if wanted > 1:
        for index in range(count - 1, -1, -1):
            _hold(
                supply, terms, rules, left, request, buyer, held[index, 0], held[index, 1], cards, hours,
                sigmas[index], -1,
            )  # fmt: skip
    if count == 0:
        return 0, -1, -1
    return count, held[0, 0], held[0, 1]


class Facts(NamedTuple):
    """What holds for one need over its accepted offers; `explain` reads the reason off it."""

    large: bool
    window: bool
    payable: bool
    payable_left: bool
    gang_free: bool
    enough_hours: bool
    allowed: bool
    barred_fits: bool
    shareless_fits: bool


@compiled
def gather(
    supply: Supply,
    terms: Terms,
    rules: Rules,
    left: Left,
    request: int,
    buyer: int,
    candidates: I32,
    cards: int,
    hours: int,
    low: int,
    deadline: int,
    max_net: int,
) -> tuple[bool, bool, bool, bool, bool, bool, bool, bool, bool]:
    """Return the fields of `Facts` for one alternative."""
    large = window = payable = payable_left = gang_free = allowed = barred_fits = shareless_fits = False
    sigma = np.zeros(WIDTH, dtype=np.int64)
    scratch = np.zeros(WIDTH, dtype=np.int64)
    use = cards * hours
    hours_left = 0
    for offer in candidates:
        row = supply.row_ptr[offer]
        if not large and supply.row_ptr[offer + 1] > row:
            large = left.capacity[row : supply.row_ptr[offer + 1]].max() >= cards
        cost = supply.price[offer] * use
        most_left = largest_subsidy(terms, rules, left.budget, left.no_mu, buyer, offer, cost, sigma, scratch)
        can_pay_left = cost - most_left <= max_net
        if can_pay_left:
            hours_left += free_card_hours(supply, left.free, offer, low, deadline)
        if earliest(supply, left.capacity, offer, cards, hours, low, deadline) < 0:
            continue
        window = True
        if not can_pay_left:
            most_first = largest_subsidy(terms, rules, left.limit, left.no_mu, buyer, offer, cost, sigma, scratch)
            payable |= cost - most_first <= max_net
            continue
        payable = payable_left = True
        is_barred = barred(rules, request, offer, supply.price.size)
        allowed |= not is_barred
        if earliest(supply, left.free, offer, cards, hours, low, deadline) < 0:
            continue
        gang_free = True
        if is_barred:
            barred_fits = True
        elif not share_allows(supply, rules, left.share, request, offer, use):
            shareless_fits = True
    enough = hours_left >= use
    return large, window, payable, payable_left, gang_free, enough, allowed, barred_fits, shareless_fits


@compiled
def least_price(
    supply: Supply,
    terms: Terms,
    rules: Rules,
    left: Left,
    request: int,
    buyer: int,
    candidates: I32,
    cards: int,
    hours: int,
    low: int,
    deadline: int,
) -> tuple[int, int, int]:
    """Return (fen per card-hour, offer, start) of the least most-net price that fits one block; offer −1 if none."""
    best_price, best_offer, best_start = 0, -1, -1
    use = cards * hours
    sigma = np.zeros(WIDTH, dtype=np.int64)
    scratch = np.zeros(WIDTH, dtype=np.int64)
    for offer in candidates:
        if barred(rules, request, offer, supply.price.size) or not share_allows(
            supply, rules, left.share, request, offer, use
        ):
            continue
        cost = supply.price[offer] * use
        net = cost - largest_subsidy(terms, rules, left.budget, left.no_mu, buyer, offer, cost, sigma, scratch)
        price = -(-net // use)
        if best_offer >= 0 and price > best_price:
            continue
        start = earliest(supply, left.free, offer, cards, hours, low, deadline)
        if start < 0 or (best_offer >= 0 and price == best_price and start >= best_start):
            continue
        best_price, best_offer, best_start = price, offer, start
    return best_price, best_offer, best_start


@compiled
def least_deadline(
    supply: Supply,
    terms: Terms,
    rules: Rules,
    left: Left,
    request: int,
    buyer: int,
    candidates: I32,
    cards: int,
    hours: int,
    low: int,
    max_net: int,
    horizon: int,
) -> tuple[int, int]:
    """Return (offer, start) of the block that could end first whatever the deadline; offer −1 if none."""
    best_offer, best_start = -1, -1
    use = cards * hours
    sigma = np.zeros(WIDTH, dtype=np.int64)
    scratch = np.zeros(WIDTH, dtype=np.int64)
    for offer in candidates:
        if barred(rules, request, offer, supply.price.size) or not share_allows(
            supply, rules, left.share, request, offer, use
        ):
            continue
        cost = supply.price[offer] * use
        given = largest_subsidy(terms, rules, left.budget, left.no_mu, buyer, offer, cost, sigma, scratch)
        if cost - given > max_net:
            continue
        until = horizon if best_offer < 0 else best_start + hours - 1
        start = earliest(supply, left.free, offer, cards, hours, low, until)
        if start >= 0:
            best_offer, best_start = offer, start
    return best_offer, best_start


@compiled
def most_cards(
    supply: Supply,
    terms: Terms,
    rules: Rules,
    left: Left,
    request: int,
    buyer: int,
    candidates: I32,
    cards: int,
    hours: int,
    low: int,
    deadline: int,
    max_net: int,
) -> tuple[int, int, int]:
    """Return (cards, offer, start): the most cards below `cards` that fit at the same net price per card-hour."""
    best_cards, best_offer, best_start = 0, -1, -1
    sigma = np.zeros(WIDTH, dtype=np.int64)
    scratch = np.zeros(WIDTH, dtype=np.int64)
    queue = np.zeros(max(1, deadline - low), dtype=np.int64)
    for offer in candidates:
        if barred(rules, request, offer, supply.price.size):
            continue
        gang = min(cards - 1, largest_gang(supply, left.free, offer, hours, low, deadline, queue))
        while gang > best_cards or (gang == best_cards and gang > 0):
            use = gang * hours
            cost = supply.price[offer] * use
            given = largest_subsidy(terms, rules, left.budget, left.no_mu, buyer, offer, cost, sigma, scratch)
            if cost - given <= max_net * gang // cards and share_allows(supply, rules, left.share, request, offer, use):
                break
            gang -= 1
        if gang < best_cards or gang == 0:
            continue
        start = earliest(supply, left.free, offer, gang, hours, low, deadline)
        if gang > best_cards or start < best_start:
            best_cards, best_offer, best_start = gang, offer, start
    return best_cards, best_offer, best_start

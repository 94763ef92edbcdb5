"""The weak-duality bound, in exact integers, with no solver.

    r_k = 10⁶·w·(max_net − C) − Σ_{rows, t in [s, s+h)} λ·⌊n·a/b⌋ − Σ ν·use + max_σ Σ_c (w·(10⁶ − κ) − Σ_{j∋c} μ_j)·σ_c
    bound_micro = Σ_q B_q·max(0, max_k r_k) + Σ λ·⌊K·a/b⌋ + Σ μ·R + Σ ν·limit,   bound_fen = ⌈bound_micro / 10⁶⌉

For coverage and thrift r_k starts from 10⁶·w·n·h and has no σ term of its own. Any integers λ, μ, ν ≥ 0 give a valid
bound. Compiled 64-bit arithmetic is used for the pairs whose every intermediate provably fits, Python's integers for
the rest.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from app.kit.money import PPM
from app.matching.core.columns import NONE, Columns, Demand, Pairs, Supply
from app.matching.core.compiled import compiled
from app.matching.core.outcome import CapacityDual, Duals
from app.matching.core.sigma import WIDTH, Terms, most

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

MICRO: Final = 1_000_000
# Products below this stay in 64 bits with room for the few sums of them.
SAFE: Final = 2**58
NO_COLUMN: Final = -(2**62)


class Rows(NamedTuple):
    """Capacity rows: those of offer o are `ptr[o]:ptr[o+1]`. `prefix` is Σλ before each hour of the offer's profile.

    Row r has factor a/b, and its prefix sums start at `prefix_ptr[r]` (one more than the offer has hours).
    """

    ptr: I64
    a: I64
    b: I64
    prefix_ptr: I64
    prefix: I64


class DualsError(ValueError):
    """Duals that aren't: negative, for unknown rows, or outside what is allowed."""


@dataclass(frozen=True)
class Prices:
    """Duals joined to the columns' numbering."""

    rows: Rows
    mu: I64
    nu: I64


def join_prices(columns: Columns, duals: Duals) -> Prices:
    """Join named duals to the columns.

    Raises:
        DualsError: for negative or unknown ones, or prices beyond 64 bits.
    """
    instance = columns.instance
    by_offer: dict[int, list[tuple[int, int, I64]]] = {}
    for row in duals.capacity:
        offer = instance.offer_index.get(row.offer)
        if offer is None:
            raise DualsError(f"capacity price of an unknown offer {row.offer!r}")
        if row.a < 1 or row.b < 1 or row.a > SAFE or row.b > SAFE:
            raise DualsError(f"capacity row of {row.offer!r} has a/b = {row.a}/{row.b}")
        by_offer.setdefault(offer, []).append((row.a, row.b, _aligned(columns, offer, row)))
    pointers, tops, bottoms, starts, prefixes = [0], list[int](), list[int](), list[int](), list[I64]()
    at = 0
    for offer in range(len(instance.offers)):
        for a, b, prices in by_offer.get(offer, []):
            tops.append(a)
            bottoms.append(b)
            starts.append(at)
            prefix = np.zeros(prices.size + 1, dtype=np.int64)
            np.cumsum(prices, out=prefix[1:])
            prefixes.append(prefix)
            at += prefix.size
        pointers.append(len(tops))
    rows = Rows(
        ptr=np.array(pointers, dtype=np.int64),
        a=np.array(tops, dtype=np.int64),
        b=np.array(bottoms, dtype=np.int64),
        prefix_ptr=np.array(starts, dtype=np.int64),
        prefix=np.concatenate(prefixes) if prefixes else np.zeros(0, dtype=np.int64),
    )
    share_index = {name: index for index, name in enumerate(columns.share_names)}
    return Prices(
        rows=rows,
        mu=_named(duals.budgets, instance.budget_index, "budget"),
        nu=_named(duals.shares, share_index, "share"),
    )


def _named(values: dict[str, int], index: dict[str, int], kind: str) -> I64:
    joined = np.zeros(len(index), dtype=np.int64)
    for name, value in values.items():
        if name not in index:
            raise DualsError(f"price of an unknown {kind} {name!r}")
        if not 0 <= value < SAFE:
            raise DualsError(f"price {value} of {kind} {name!r} is not between 0 and 2^58")
        joined[index[name]] = value
    return joined


def _aligned(columns: Columns, offer: int, row: CapacityDual) -> I64:
    """Return a row's prices over the hours of the offer's profile; others price nothing that exists."""
    supply = columns.supply
    size = int(supply.row_ptr[offer + 1] - supply.row_ptr[offer])
    shift = row.first_hour - columns.base_hour - int(supply.first_hour[offer])
    prices = np.zeros(size, dtype=np.int64)
    if row.prices.size and int(row.prices.min()) < 0:
        raise DualsError(f"capacity price of {row.offer!r} is negative")
    if row.prices.size and int(row.prices.max()) * row.prices.size >= SAFE:
        raise DualsError(f"capacity prices of {row.offer!r} are too large")
    low, high = max(0, shift), min(size, shift + row.prices.size)
    if low < high:
        prices[low:high] = row.prices[low - shift : high - shift]
    return prices


@compiled
def _gain(terms: Terms, option: int, cost: int, need: int, limit: I64, unit: int, mu: I64) -> int:
    """Return max Σ (unit − Σμ)·σ over the allowed σ of an option, or `NO_COLUMN` where none is allowed."""
    first = terms.component_ptr[option]
    count = terms.component_ptr[option + 1] - first
    rate = terms.ceiling_ppm[option]
    ceiling = rate * (cost // PPM) + rate * (cost % PPM) // PPM
    weights = np.zeros(WIDTH, dtype=np.int64)
    room = np.zeros(WIDTH, dtype=np.int64)
    total = 0
    value = 0
    for index in range(count):
        component = first + index
        low = terms.min_fen[component]
        room[index] = most(terms, component, cost, limit) - low
        if room[index] < 0:
            return NO_COLUMN
        weights[index] = unit
        for at in range(terms.budget_ptr[component], terms.budget_ptr[component + 1]):
            weights[index] -= mu[terms.budget[at]]
        total += low
        value += weights[index] * low
    if total > ceiling:
        return NO_COLUMN
    for _ in range(count):
        best = -1
        for index in range(count):
            if room[index] >= 0 and (best < 0 or weights[index] > weights[best]):
                best = index
        more = room[best]
        room[best] = -1
        if weights[best] <= 0:
            more = min(more, max(0, need - total))
        more = min(more, ceiling - total)
        total += more
        value += weights[best] * more
    return value if total >= need else NO_COLUMN


@compiled
def _pair_value(pairs: Pairs, terms: Terms, pair: int, weight: int, sigma_ppm: int, limit: I64, mu: I64) -> int:
    """Return 10⁶·w·gain and the best σ term of a pair."""
    unit = weight * sigma_ppm
    cost = pairs.cost[pair]
    need = cost - pairs.max_net[pair]
    best = NO_COLUMN
    if need <= 0:
        best = 0
    for option in range(pairs.option_low[pair], pairs.option_high[pair]):
        best = max(best, _gain(terms, option, cost, need, limit, unit, mu))
    if best == NO_COLUMN:
        return NO_COLUMN
    return MICRO * weight * pairs.gain[pair] + best


@compiled
def _least_price(supply: Supply, pairs: Pairs, rows: Rows, pair: int) -> int:
    """Return the least Σ λ·⌊n·a/b⌋ over the feasible starts of a pair."""
    offer = pairs.offer[pair]
    cards = pairs.cards[pair]
    hours = pairs.hours[pair]
    shift = supply.first_hour[offer]
    row = supply.row_ptr[offer] - shift
    first, last = pairs.first[pair], pairs.last[pair]
    least = -1
    blocked = -1
    if pairs.ragged[pair]:
        for hour in range(first, min(first + hours - 1, last + hours)):
            if supply.capacity[row + hour] < cards:
                blocked = hour
    for start in range(first, last + 1):
        if pairs.ragged[pair]:
            if supply.capacity[row + start + hours - 1] < cards:
                blocked = start + hours - 1
            if blocked >= start:
                continue
        price = 0
        for index in range(rows.ptr[offer], rows.ptr[offer + 1]):
            at = rows.prefix_ptr[index] + start - shift
            price += (cards * rows.a[index] // rows.b[index]) * (rows.prefix[at + hours] - rows.prefix[at])
        if least < 0 or price < least:
            least = price
            if least == 0:
                break
    return least


@compiled
def _best_reduced(
    supply: Supply,
    demand: Demand,
    pairs: Pairs,
    terms: Terms,
    rows: Rows,
    mu: I64,
    nu: I64,
    limit: I64,
    sigma_ppm: int,
    skip: npt.NDArray[np.bool_],
    best: I64,
) -> None:
    """Set `best` to max(0, max_k r_k) of each request over the pairs that aren't in `skip`."""
    for request in range(demand.weight.size):
        most_value = 0
        for pair in range(demand.pair_ptr[request], demand.pair_ptr[request + 1]):
            if skip[pair]:
                continue
            value = _pair_value(pairs, terms, pair, demand.weight[request], sigma_ppm, limit, mu)
            value -= _share_price(supply, demand, pairs, nu, pair)
            if value <= most_value:
                continue
            price = _least_price(supply, pairs, rows, pair)
            most_value = max(most_value, value - price)
        best[request] = most_value


@compiled
def _share_price(supply: Supply, demand: Demand, pairs: Pairs, nu: I64, pair: int) -> int:
    use = pairs.cards[pair] * pairs.hours[pair]
    price = 0
    if demand.share[pairs.request[pair]] >= 0:
        price += nu[demand.share[pairs.request[pair]]] * use
    if supply.share[pairs.offer[pair]] >= 0:
        price += nu[supply.share[pairs.offer[pair]]] * use
    return price


def _unsafe_pairs(columns: Columns, prices: Prices) -> npt.NDArray[np.bool_]:
    """Return the pairs for which some product might pass 64 bits, judged in floating point with room to spare."""
    pairs = columns.pairs
    weight = columns.demand.weight[pairs.request].astype(np.float64)
    money = np.maximum(pairs.cost, np.abs(pairs.gain)).astype(np.float64)
    mu = float(prices.mu.sum(dtype=np.float64))
    micro = MICRO * weight * money + money * (weight * abs(columns.sigma_ppm) + mu)
    rows = prices.rows
    steepest = np.zeros(len(columns.instance.offers), dtype=np.float64)
    for offer in range(steepest.size):
        for index in range(int(rows.ptr[offer]), int(rows.ptr[offer + 1])):
            last = int(rows.prefix_ptr[index + 1]) if index + 1 < rows.prefix_ptr.size else rows.prefix.size
            total = float(rows.prefix[last - 1])
            # ⌊n·a/b⌋ is formed as n·a first.
            steepest[offer] += total * max(1.0, float(rows.a[index]) / float(rows.b[index]))
            if float(rows.a[index]) * float(pairs.cards.max(initial=0)) > SAFE:
                steepest[offer] = np.inf
    micro += steepest[pairs.offer] * pairs.cards
    micro += float(prices.nu.sum(dtype=np.float64)) * pairs.cards * pairs.hours.astype(np.float64) * 2
    return micro > SAFE


def reduced_value(columns: Columns, prices: Prices, pair: int, only_start: int = NONE) -> int | None:
    """Return max r_k over the starts and options of a pair in Python's integers; `None` without a column."""
    pairs, supply, rows = columns.pairs, columns.supply, prices.rows
    request, offer = int(pairs.request[pair]), int(pairs.offer[pair])
    weight = int(columns.demand.weight[request])
    cards, hours = int(pairs.cards[pair]), int(pairs.hours[pair])
    gains = [
        gain
        for option in range(int(pairs.option_low[pair]), int(pairs.option_high[pair]))
        if (gain := _exact_gain(columns, prices, pair, option, weight)) is not None
    ]
    if pairs.cost[pair] <= pairs.max_net[pair]:
        gains.append(0)
    shift = int(supply.first_hour[offer])
    row = int(supply.row_ptr[offer]) - shift
    starts = range(int(pairs.first[pair]), int(pairs.last[pair]) + 1)
    windows: list[int] = []
    for start in starts if only_start == NONE else [start for start in (only_start,) if start in starts]:
        if int(supply.capacity[row + start : row + start + hours].min()) < cards:
            continue
        price = 0
        for index in range(int(rows.ptr[offer]), int(rows.ptr[offer + 1])):
            at = int(rows.prefix_ptr[index]) + start - shift
            units = cards * int(rows.a[index]) // int(rows.b[index])
            price += units * (int(rows.prefix[at + hours]) - int(rows.prefix[at]))
        windows.append(price)
    if not gains or not windows:
        return None
    share = sum(
        int(prices.nu[index]) * cards * hours
        for index in (int(columns.demand.share[request]), int(supply.share[offer]))
        if index >= 0
    )
    return MICRO * weight * int(pairs.gain[pair]) + max(gains) - min(windows) - share


def _exact_gain(columns: Columns, prices: Prices, pair: int, option: int, weight: int) -> int | None:
    chosen = columns.instance.options[columns.option_ids[option]]
    cost, need = int(columns.pairs.cost[pair]), int(columns.pairs.cost[pair] - columns.pairs.max_net[pair])
    ceiling = chosen.ceiling_fen(cost)
    budgets = columns.instance.budget_index
    rooms: list[tuple[int, int]] = []
    total = value = 0
    for component in chosen.components:
        names = [budgets[name] for name in component.budgets]
        high = min([component.full_fen(cost), *(int(columns.budget_limit[name]) for name in names)])
        if high < component.min_fen:
            return None
        unit = weight * columns.sigma_ppm - sum(int(prices.mu[name]) for name in names)
        rooms.append((unit, high - component.min_fen))
        total += component.min_fen
        value += unit * component.min_fen
    if total > ceiling:
        return None
    for unit, room in sorted(rooms, reverse=True):
        more = room if unit > 0 else min(room, max(0, need - total))
        more = min(more, ceiling - total)
        total += more
        value += unit * more
    return value if total >= need else None


def certified_bound(columns: Columns, duals: Duals) -> int:
    """Return `bound_fen` of the first objective: ⌈bound_micro / 10⁶⌉, exactly.

    Raises:
        DualsError: if the duals aren't integers ≥ 0 of this instance's rows.
    """
    prices = join_prices(columns, duals)
    demand, pairs = columns.demand, columns.pairs
    unsafe = _unsafe_pairs(columns, prices)
    best = np.zeros(demand.weight.size, dtype=np.int64)
    _best_reduced(
        columns.supply,
        demand,
        pairs,
        columns.terms,
        prices.rows,
        prices.mu,
        prices.nu,
        columns.budget_limit,
        columns.sigma_ppm,
        unsafe,
        best,
    )
    exact = {int(request): int(best[request]) for request in {int(pairs.request[p]) for p in np.flatnonzero(unsafe)}}
    for pair in np.flatnonzero(unsafe):
        value = reduced_value(columns, prices, int(pair))
        request = int(pairs.request[pair])
        if value is not None and value > exact[request]:
            exact[request] = value
    micro = 0
    for request in np.flatnonzero(best):
        if int(request) not in exact:
            micro += int(demand.blocks[request]) * int(best[request])
    micro += sum(int(demand.blocks[request]) * value for request, value in exact.items())
    micro += _pinned_difference(columns, prices, best, exact)
    micro += _right_hand_sides(columns, prices)
    return -(-micro // MICRO)


def _pinned_difference(columns: Columns, prices: Prices, best: I64, exact: dict[int, int]) -> int:
    """Return what the pins change: each replaces one max(0, ·) of its request by its best pinned r."""
    difference = 0
    for index in range(columns.pin_request.size):
        request = int(columns.pin_request[index])
        low, high = int(columns.demand.pair_ptr[request]), int(columns.demand.pair_ptr[request + 1])
        values = [
            value
            for pair in range(low, high)
            if columns.pairs.offer[pair] == columns.pin_offer[index]
            and (value := reduced_value(columns, prices, pair, int(columns.pin_start[index]))) is not None
        ]
        if values:
            difference += max(values) - exact.get(request, int(best[request]))
    return difference


def _right_hand_sides(columns: Columns, prices: Prices) -> int:
    total = 0
    rows, supply = prices.rows, columns.supply
    for offer in range(len(columns.instance.offers)):
        capacity = supply.capacity[supply.row_ptr[offer] : supply.row_ptr[offer + 1]].astype(np.int64)
        for index in range(int(rows.ptr[offer]), int(rows.ptr[offer + 1])):
            at = int(rows.prefix_ptr[index])
            a, b = int(rows.a[index]), int(rows.b[index])
            units = [int(cards) * a // b for cards in np.unique(capacity)]
            lambdas = np.diff(rows.prefix[at : at + capacity.size + 1])
            for cards, unit in zip(np.unique(capacity), units, strict=True):
                total += unit * int(lambdas[capacity == cards].sum())
    total += sum(int(mu) * int(limit) for mu, limit in zip(prices.mu, columns.budget_limit, strict=True))
    total += sum(int(nu) * int(limit) for nu, limit in zip(prices.nu, columns.share_limit, strict=True))
    return total

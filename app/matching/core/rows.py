"""Capacity rows that the price search uses: the plain ones, and Chvátal–Gomory roundings of them.

A rounding of offer o by b says Σ ⌊n/b⌋·x ≤ ⌊K_o(t)/b⌋ in every hour. It cuts off what the plain row lets through where
gangs of b cards don't divide the capacity: a quarter of a gang of 32 has no place beside one of 32 on 40 cards.

A gang of n pays λ + Σ (⌊n/b⌋/n)·λ_b per card and hour: its *profile*. Gangs of an offer that pay alike share one.
"""

# NumPy's stubs type an element read at an untyped index as an array; compiled code reads scalars.
# pyright: reportArgumentType=false, reportReturnType=false

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from app.matching.core.columns import Pairs, Supply
from app.matching.core.compiled import lean

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

MAX_ROUNDINGS: Final = 6
# A rounding is worth its while where it takes off at least this part of the capacity.
LEAST_WASTE: Final = 0.02


class Rows(NamedTuple):
    """The flat list of row hours, first those of `Supply.capacity`, then those of each rounding; and the profiles.

    Roundings of offer o are `ptr[o]:ptr[o + 1]`, with divisor `divisor` and row hours from `begin`. Profile g belongs
    to offer `profile_offer`, holds the offer's hours from `profile_begin`, and adds `part_factor` × the prices of
    rounding `part` for `part_ptr[g]:part_ptr[g + 1]`. `pair_at` is where hour 0 of a pair's profile would be.
    """

    limit: I64
    unit: I64
    ptr: I64
    divisor: I64
    begin: I64
    profile_offer: I64
    profile_begin: I64
    part_ptr: I64
    part: I64
    part_factor: F64
    pair_at: I64
    felt_size: int


def _divisors(capacity: npt.NDArray[np.int32], cards: npt.NDArray[np.int32], use: F64) -> list[int]:
    """Return the gang sizes by which rounding an offer's capacity gains most, ascending."""
    top = int(capacity.max(initial=0))
    worth: list[tuple[float, int]] = []
    for size in np.unique(cards[(cards > 1) & (cards <= top)]):
        waste = float((capacity % size).sum()) / max(1.0, float(capacity.sum()))
        if waste >= LEAST_WASTE:
            worth.append((-waste * float(use[cards == size].sum()), int(size)))
    return sorted(size for _, size in sorted(worth)[:MAX_ROUNDINGS])


def build_rows(supply: Supply, pairs: Pairs) -> Rows:
    """Choose the roundings of every offer and lay out rows and profiles."""
    order = np.argsort(pairs.offer, kind="stable")
    edges = np.searchsorted(pairs.offer[order], np.arange(supply.price.size + 1))
    use = pairs.cards.astype(np.float64) * pairs.hours
    limits: list[I64] = [supply.capacity.astype(np.int64)]
    units: list[I64] = [np.ones(supply.capacity.size, dtype=np.int64)]
    at = supply.capacity.size
    pointers, divisors, begins = [0], list[int](), list[int]()
    profile_offer, profile_begin, part_ptr = list[int](), list[int](), [0]
    parts, factors = list[int](), list[float]()
    pair_at = np.zeros(pairs.offer.size, dtype=np.int64)
    felt = 0
    for offer in range(supply.price.size):
        own = order[edges[offer] : edges[offer + 1]]
        capacity = supply.capacity[supply.row_ptr[offer] : supply.row_ptr[offer + 1]]
        cards = pairs.cards[own]
        chosen = _divisors(capacity, cards, use[own])
        first = len(divisors)
        for divisor in chosen:
            divisors.append(divisor)
            begins.append(at)
            limits.append(capacity.astype(np.int64) // divisor)
            units.append(np.full(capacity.size, divisor, dtype=np.int64))
            at += capacity.size
        pointers.append(len(divisors))
        for size in np.unique(cards) if chosen else [1]:
            share = own[cards == size] if chosen else own
            for index, divisor in enumerate(chosen):
                if size >= divisor:
                    parts.append(first + index)
                    factors.append(float(size // divisor) / float(size))
            part_ptr.append(len(parts))
            profile_offer.append(offer)
            profile_begin.append(felt)
            pair_at[share] = felt - int(supply.first_hour[offer])
            felt += capacity.size
    return Rows(
        limit=np.concatenate(limits),
        unit=np.concatenate(units),
        ptr=np.array(pointers, dtype=np.int64),
        divisor=np.array(divisors, dtype=np.int64),
        begin=np.array(begins, dtype=np.int64),
        profile_offer=np.array(profile_offer, dtype=np.int64),
        profile_begin=np.array(profile_begin, dtype=np.int64),
        part_ptr=np.array(part_ptr, dtype=np.int64),
        part=np.array(parts, dtype=np.int64),
        part_factor=np.array(factors, dtype=np.float64),
        pair_at=pair_at,
        felt_size=felt,
    )


@lean
def feel(supply: Supply, rows: Rows, prices: F64, felt: F64) -> None:
    """Set `felt` to the profiles at these prices of the row hours."""
    for profile in range(rows.profile_offer.size):
        offer = rows.profile_offer[profile]
        begin = rows.profile_begin[profile]
        row = supply.row_ptr[offer]
        for hour in range(supply.row_ptr[offer + 1] - row):
            price = prices[row + hour]
            for index in range(rows.part_ptr[profile], rows.part_ptr[profile + 1]):
                price += rows.part_factor[index] * prices[rows.begin[rows.part[index]] + hour]
            felt[begin + hour] = price

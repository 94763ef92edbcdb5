"""Congestion prices by chip class and hour, from a clearing's duals, in exact integers.

    price_class(t) = Σ_o K_o(t) · p_o(t) / Σ_o K_o(t)      over the offers o of the class with cards at t
    p_o(t)         = Σ_rows λ_{row,t} · a/b                per card; a rounded row prices ⌊n·a/b⌋ units

It is about what one more card of the class in that hour would add to the first objective, in millionths of its unit
per card-hour: fen, weighted by the requests' priority, or weighted card-hours for coverage and thrift.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.kit.money import round_half_up
from app.matching.core.instance import Instance, Offer
from app.matching.core.outcome import CapacityDual, Outcome

UNCLASSIFIED: Final = "unclassified"
HOURS_PER_DAY: Final = 24
_POOL: Final = re.compile(r"[^/]+/pool/[0-9]{4}")


class UnknownChipError(ValueError):
    """A name that is neither a chip class nor a chip model on offer; `known` are the classes."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name = name
        self.known = tuple(known)
        super().__init__(f"{name!r} is neither a chip class nor a chip model on offer; classes are {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class PriceRun:
    """A stretch of hours from `hour` on at one price, in millionths of the objective's unit per card-hour."""

    hour: int
    hours: int
    price_micro: int


@dataclass(frozen=True, slots=True)
class ClassPrices:
    """A class's prices in all hours in which it has cards."""

    name: str
    runs: tuple[PriceRun, ...]


@dataclass(frozen=True, slots=True)
class DayPrices:
    """A class's prices within one UTC day; `hour` is the first of its hours that has cards."""

    name: str
    hour: int
    runs: tuple[PriceRun, ...]


def is_pool(budget: str) -> bool:
    """Tell whether a budget is a programme's pool of a year, rather than one buyer's."""
    return _POOL.fullmatch(budget) is not None


def class_names(instance: Instance) -> dict[str, str]:
    """Return the class of each chip model; models without one share `unclassified`."""
    return {chip.name: chip.chip_class or UNCLASSIFIED for chip in instance.chips}


def find_classes(instance: Instance, names: Iterable[str]) -> frozenset[str]:
    """Return the classes that the names stand for: classes on offer, or chip models on offer.

    Raises:
        UnknownChipError: for a name that is neither.
    """
    class_of = class_names(instance)
    models = {offer.chip: class_of[offer.chip] for offer in instance.offers}
    classes = frozenset(models.values())
    found: set[str] = set()
    for name in names:
        if name not in classes and name not in models:
            raise UnknownChipError(name, sorted(classes))
        found.add(name if name in classes else models[name])
    return frozenset(found)


def class_prices(instance: Instance, outcome: Outcome) -> tuple[ClassPrices, ...]:
    """Return the prices of every chip class on offer, in the order of their names."""
    class_of = class_names(instance)
    rows: dict[str, list[CapacityDual]] = defaultdict(list)
    for row in outcome.duals.capacity:
        rows[row.offer].append(row)
    # What changes at an hour: cards, and cards times price.
    changes: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for offer in instance.offers:
        name = class_of[offer.chip]
        cards = worth = 0
        for hour, next_cards, price in _pieces(offer, rows[offer.ref]):
            change = changes[name][hour]
            change[0] += next_cards - cards
            change[1] += next_cards * price - worth
            cards, worth = next_cards, next_cards * price
    return tuple(ClassPrices(name, _runs(changes[name])) for name in sorted(changes))


def buyers_by_class(instance: Instance, outcome: Outcome) -> dict[str, int]:
    """Return how many different buyers were matched in each chip class; a class without any is left out."""
    class_of = class_names(instance)
    buyers: dict[str, set[str]] = defaultdict(set)
    for match in outcome.matches:
        chip = instance.offers[instance.offer_index[match.offer]].chip
        buyers[class_of[chip]].add(instance.requests[instance.request_index[match.request]].buyer)
    return {name: len(found) for name, found in buyers.items()}


def _pieces(offer: Offer, rows: Sequence[CapacityDual]) -> list[tuple[int, int, int]]:
    """Return (hour, cards, price per card) from each hour on at which either changes; the last has no cards."""
    prices: dict[int, int] = defaultdict(int)
    for row in rows:
        before = 0
        starts = np.flatnonzero(np.diff(row.prices, prepend=0)).tolist()
        for start in starts:
            price = round_half_up(int(row.prices[start]) * row.a, row.b)
            prices[row.first_hour + start] += price - before
            before = price
        prices[row.first_hour + row.prices.size] -= before
    steps = dict(offer.steps)
    pieces: list[tuple[int, int, int]] = []
    cards = price = 0
    for hour in sorted(set(prices) | set(steps)):
        cards = steps.get(hour, cards)
        price += prices.get(hour, 0)
        pieces.append((hour, cards, price))
    return pieces


def _runs(changes: dict[int, list[int]]) -> tuple[PriceRun, ...]:
    """Fold changes into stretches of equal price, leaving out hours without cards."""
    runs: list[PriceRun] = []
    cards = worth = 0
    hours = sorted(changes)
    for hour, until in zip(hours, [*hours[1:], hours[-1]], strict=True):
        cards, worth = cards + changes[hour][0], worth + changes[hour][1]
        if not cards or hour == until:
            continue
        price = round_half_up(worth, cards)
        if runs and runs[-1].price_micro == price and runs[-1].hour + runs[-1].hours == hour:
            runs[-1] = PriceRun(runs[-1].hour, until - runs[-1].hour, price)
        else:
            runs.append(PriceRun(hour, until - hour, price))
    return tuple(runs)


def clip(runs: Iterable[PriceRun], first: int | None, last: int | None) -> tuple[PriceRun, ...]:
    """Return the runs inside the hours [first, last); `None` is open."""
    kept: list[PriceRun] = []
    for run in runs:
        begin = run.hour if first is None else max(run.hour, first)
        end = run.hour + run.hours if last is None else min(run.hour + run.hours, last)
        if begin < end:
            kept.append(PriceRun(begin, end - begin, run.price_micro))
    return tuple(kept)


def by_day(prices: ClassPrices, first: int | None, last: int | None) -> list[DayPrices]:
    """Return a class's prices of [first, last) cut at each midnight UTC, so that no row has more than 24 runs."""
    days: dict[int, list[PriceRun]] = defaultdict(list)
    for run in clip(prices.runs, first, last):
        begin, end = run.hour, run.hour + run.hours
        while begin < end:
            midnight = (begin // HOURS_PER_DAY + 1) * HOURS_PER_DAY
            until = min(end, midnight)
            days[begin // HOURS_PER_DAY].append(PriceRun(begin, until - begin, run.price_micro))
            begin = until
    return [DayPrices(prices.name, runs[0].hour, tuple(runs)) for _, runs in sorted(days.items())]

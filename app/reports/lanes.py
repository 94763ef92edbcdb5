"""What the picture of a clearing shows, as numbers: use, capacity and price by chip class, matches by offer."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from app.kit.money import PPM
from app.matching.core.congestion import PriceRun, class_names, class_prices, clip, is_pool
from app.matching.core.instance import Instance, Offer
from app.matching.core.outcome import BudgetUse, Match, Outcome

_DAY: Final = 24
_EMPTY_DAYS: Final = 14
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Window:
    """The hours that are drawn, half-open, on whole UTC days."""

    first: int
    last: int

    @property
    def hours(self) -> int:
        """How many hours it has."""
        return self.last - self.first


@dataclass(frozen=True)
class ClassUse:
    """One chip class by hour of the window: cards matched, cards offered, price in objective units a card-hour."""

    name: str
    used: I64
    capacity: I64
    price: F64

    @property
    def share(self) -> float:
        """Matched card-hours over offered ones, inside the window."""
        return float(self.used.sum() / max(1, self.capacity.sum()))


@dataclass(frozen=True)
class Bar:
    """A stretch of neighbouring cards of one match: hours and cards from the offer's first on."""

    match: Match
    card: int
    cards: int


@dataclass(frozen=True)
class Lane:
    """One offer with its matches laid on its cards."""

    offer: Offer
    cards: int
    bars: tuple[Bar, ...]


def window_of(instance: Instance, outcome: Outcome) -> Window:
    """Return the days from the first match to the last, or the first two weeks of the offers where there is none."""
    if outcome.matches:
        first = min(match.start_hour for match in outcome.matches)
        last = max(match.start_hour + match.hours for match in outcome.matches)
    else:
        first = min((offer.steps[0][0] for offer in instance.offers), default=0)
        last = first + _EMPTY_DAYS * _DAY
    return Window(first // _DAY * _DAY, -(-last // _DAY) * _DAY)


def class_use(instance: Instance, outcome: Outcome, window: Window, most: int) -> tuple[ClassUse, ...]:
    """Return the classes with the most matched card-hours, the busiest first."""
    chips = class_names(instance)
    class_of = {offer.ref: chips[offer.chip] for offer in instance.offers}
    used: dict[str, I64] = defaultdict(lambda: np.zeros(window.hours, dtype=np.int64))
    capacity: dict[str, I64] = defaultdict(lambda: np.zeros(window.hours, dtype=np.int64))
    prices = {each.name: each.runs for each in class_prices(instance, outcome)}
    for match in outcome.matches:
        at = match.start_hour - window.first
        used[class_of[match.offer]][at : at + match.hours] += match.cards
    for offer in instance.offers:
        capacity[class_of[offer.ref]] += _cards(offer, window)
    busiest = sorted(capacity, key=lambda name: (-int(used[name].sum()), name))[:most]
    return tuple(ClassUse(name, used[name], capacity[name], _price(prices[name], window)) for name in busiest)


def dearest_budgets(outcome: Outcome, most: int) -> tuple[BudgetUse, ...]:
    """Return the budgets that are used or have a shadow price: pools first, then the dearest and most used."""
    known = [use for use in outcome.budgets if use.used_fen or use.shadow_price_micro]
    known.sort(key=lambda use: (not is_pool(use.name), -use.shadow_price_micro, -use.used_fen, use.name))
    return tuple(known[:most])


def lanes(instance: Instance, outcome: Outcome, most: int) -> tuple[Lane, ...]:
    """Return the offers with the most matched card-hours, in the order of their refs."""
    by_offer: dict[str, list[Match]] = defaultdict(list)
    busy = Counter[str]()
    for match in outcome.matches:
        by_offer[match.offer].append(match)
        busy[match.offer] += match.cards * match.hours
    chosen = sorted(sorted(busy, key=lambda ref: (-busy[ref], ref))[:most])
    offers = (instance.offers[instance.offer_index[ref]] for ref in chosen)
    return tuple(_lane(offer, by_offer[offer.ref]) for offer in offers)


def _cards(offer: Offer, window: Window) -> I64:
    cards = np.zeros(window.hours, dtype=np.int64)
    for hour, count in offer.steps:
        cards[max(0, hour - window.first) :] = count
    return cards


def _price(runs: tuple[PriceRun, ...], window: Window) -> F64:
    """Return a class's congestion price by hour of the window, in objective units a card-hour."""
    price = np.zeros(window.hours)
    for run in clip(runs, window.first, window.last):
        price[run.hour - window.first : run.hour - window.first + run.hours] = run.price_micro / PPM
    return price


def _lane(offer: Offer, matches: list[Match]) -> Lane:
    """Lay matches on cards, each on the lowest stretch that is free, in pieces where no stretch is long enough."""
    cards = max(count for _, count in offer.steps)
    free_from = np.full(cards, np.iinfo(np.int64).min)
    bars: list[Bar] = []
    for match in sorted(matches, key=lambda each: (each.start_hour, -each.cards, each.request, each.block)):
        free = np.flatnonzero(free_from <= match.start_hour)
        stretches = np.split(free, np.flatnonzero(np.diff(free) > 1) + 1)
        whole = next((stretch for stretch in stretches if len(stretch) >= match.cards), None)
        taken = (free if whole is None else whole)[: match.cards]
        free_from[taken] = match.start_hour + match.hours
        pieces = np.split(taken, np.flatnonzero(np.diff(taken) > 1) + 1)
        bars.extend(Bar(match, int(piece[0]), len(piece)) for piece in pieces)
    return Lane(offer, cards, tuple(bars))

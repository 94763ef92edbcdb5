"""What would happen if offers were otherwise: other prices, added or withheld cards. Never for what is applied.

A supplier's change holds for all of its offers; one that names an offer itself takes its place there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from app.kit.money import PPM, round_half_up
from app.matching.core import limits
from app.matching.core.instance import Instance, Offer
from app.matching.core.limits import InstanceError, within

MAX_CHANGES: Final = 1_000
MAX_FACTOR_PPM: Final = 100 * PPM
OFFER: Final = "offer/"
SUPPLIER: Final = "supplier/"


@dataclass(frozen=True, slots=True)
class OfferChange:
    """Another price or other cards for `offer/REF` or for all offers of `supplier/REF`.

    `price_fen` is a posted price per card-hour in the place of the offer's own, `price_ppm` multiplies it (half up).
    `add_cards` adds cards (below 0: withholds them) in each hour from the offer's first with any to its end, never
    below 0; `cards_ppm` multiplies them (down): 0 withholds all.
    """

    name: str
    price_fen: int | None = None
    price_ppm: int | None = None
    add_cards: int | None = None
    cards_ppm: int | None = None


_NUMBERS: Final = tuple(item.name for item in fields(OfferChange) if item.name != "name")


def changes_to_json(changes: Iterable[OfferChange]) -> list[dict[str, Any]]:
    """Return changes as JSON data, without what they leave as it is."""
    return [
        {"name": change.name} | {number: value for number in _NUMBERS if (value := getattr(change, number)) is not None}
        for change in changes
    ]


def change_from_json(data: Mapping[str, Any]) -> OfferChange:
    """Return what `changes_to_json` wrote.

    Raises:
        TypeError: for any other shape.
    """
    for key, value in data.items():
        if type(value) is not (str if key == "name" else int):
            raise TypeError(f"an offer change's {key} is {value!r}")
    return OfferChange(**data)


def change_offers(instance: Instance, changes: Iterable[OfferChange]) -> Instance:
    """Return the instance with its offers changed.

    Raises:
        InstanceError: naming the change that speaks of no offer here, contradicts itself or leaves the limits.
    """
    changes = tuple(changes)
    if not changes:
        return instance
    within("config/offer_changes", "count", len(changes), 0, MAX_CHANGES)
    by_name: dict[str, OfferChange] = {}
    known = {OFFER + offer.ref for offer in instance.offers} | {SUPPLIER + offer.supplier for offer in instance.offers}
    for change in changes:
        path = f"config/offer_changes/{change.name}"
        if change.name in by_name:
            raise InstanceError(path, "duplicate_change", f"{change.name!r} is changed twice; give it one change")
        if change.name not in known:
            raise InstanceError(
                path, "unknown_offer", f"{change.name!r} is no offer/REF or supplier/REF of this market"
            )
        _check(path, change)
        by_name[change.name] = change
    return replace(instance, offers=tuple(_changed(offer, by_name) for offer in instance.offers))


def _check(path: str, change: OfferChange) -> None:
    for first, second in (("price_fen", "price_ppm"), ("add_cards", "cards_ppm")):
        if getattr(change, first) is not None and getattr(change, second) is not None:
            raise InstanceError(path, "two_changes", f"give {first} or {second}, not both")
    if all(getattr(change, number) is None for number in _NUMBERS):
        raise InstanceError(path, "no_change", f"give one of {', '.join(_NUMBERS)}")
    for name, low, high in (
        ("price_fen", 0, limits.MAX_PRICE_FEN),
        ("price_ppm", 0, MAX_FACTOR_PPM),
        ("add_cards", -limits.MAX_CARDS, limits.MAX_CARDS),
        ("cards_ppm", 0, MAX_FACTOR_PPM),
    ):
        value = getattr(change, name)
        if value is not None:
            within(path, name, value, low, high)


def _changed(offer: Offer, by_name: Mapping[str, OfferChange]) -> Offer:
    own, suppliers = by_name.get(OFFER + offer.ref), by_name.get(SUPPLIER + offer.supplier)
    change = own or suppliers
    if change is None:
        return offer
    price = offer.price_fen
    if change.price_fen is not None:
        price = change.price_fen
    elif change.price_ppm is not None:
        price = round_half_up(price * change.price_ppm, PPM)
    return replace(offer, price_fen=price, steps=_steps(offer.steps, change))


def _steps(steps: tuple[tuple[int, int], ...], change: OfferChange) -> tuple[tuple[int, int], ...]:
    if change.cards_ppm is not None:
        return tuple((hour, cards * change.cards_ppm // PPM) for hour, cards in steps)
    added = change.add_cards or 0
    first = next((hour for hour, cards in steps if cards), steps[-1][0])
    # The last step is where the offer ends, and before the first it has not begun.
    return tuple(
        (hour, max(0, cards + added) if first <= hour and at < len(steps) - 1 else cards)
        for at, (hour, cards) in enumerate(steps)
    )

"""Offers changed for a what-if: each change alone, and each that is wrong named."""

import pytest

from app.matching.core.instance import Instance, Offer
from app.matching.core.limits import InstanceError
from app.matching.core.what_if import OfferChange, change_from_json, change_offers, changes_to_json
from tests.matching.core.markets import T0, market, offer


def changed(*changes: OfferChange, offers: list[Offer] | None = None) -> Instance:
    plain = [offer("o1", price=105), offer("o2", price=200), offer("o3", supplier="s2")]
    return change_offers(market(offers or plain, []), changes)


def prices(instance: Instance) -> list[int]:
    return [each.price_fen for each in instance.offers]


def test_prices() -> None:
    assert prices(changed(OfferChange("offer/o1", price_fen=7))) == [7, 200, 100]
    assert prices(changed(OfferChange("supplier/s1", price_ppm=1_100_000))) == [116, 220, 100]
    assert prices(changed(OfferChange("offer/o1", price_ppm=0))) == [0, 200, 100]
    both = (OfferChange("supplier/s1", price_ppm=500_000), OfferChange("offer/o2", add_cards=1))
    # An offer's own change takes the place of its supplier's.
    assert prices(changed(*both)) == prices(changed(*reversed(both))) == [53, 200, 100]


def test_cards() -> None:
    def steps(change: OfferChange, *given: tuple[int, int]) -> list[tuple[int, int]]:
        found = changed(change, offers=[offer("o1", steps=tuple((T0 + h, c) for h, c in given))])
        return [(hour - T0, cards) for hour, cards in found.offers[0].steps]

    gaps = ((0, 0), (2, 8), (4, 0), (6, 4), (8, 0))
    assert steps(OfferChange("offer/o1", add_cards=3), *gaps) == [(0, 0), (2, 11), (4, 3), (6, 7), (8, 0)]
    assert steps(OfferChange("offer/o1", add_cards=-5), *gaps) == [(0, 0), (2, 3), (4, 0), (6, 0), (8, 0)]
    assert steps(OfferChange("offer/o1", cards_ppm=1_500_000), (0, 5), (4, 0)) == [(0, 7), (4, 0)]
    assert steps(OfferChange("offer/o1", cards_ppm=0), (0, 5), (4, 0)) == [(0, 0), (4, 0)]
    # An offer that has no hour left can't be given any.
    assert steps(OfferChange("offer/o1", add_cards=5), (0, 0)) == [(0, 0)]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ((OfferChange("offer/none", price_fen=1),), "unknown_offer"),
        ((OfferChange("o1", price_fen=1),), "unknown_offer"),
        ((OfferChange("supplier/none", price_fen=1),), "unknown_offer"),
        ((OfferChange("offer/o1", price_fen=1), OfferChange("offer/o1", add_cards=1)), "duplicate_change"),
        ((OfferChange("offer/o1"),), "no_change"),
        ((OfferChange("offer/o1", price_fen=1, price_ppm=1),), "two_changes"),
        ((OfferChange("offer/o1", add_cards=1, cards_ppm=1),), "two_changes"),
        ((OfferChange("offer/o1", price_fen=-1),), "limit_price_fen"),
        ((OfferChange("offer/o1", price_ppm=10**9),), "limit_price_ppm"),
        ((OfferChange("offer/o1", add_cards=10**6),), "limit_add_cards"),
        ((OfferChange("offer/o1", cards_ppm=-1),), "limit_cards_ppm"),
        ((OfferChange("offer/o1", add_cards=100_000),), "limit_cards"),
        (tuple(OfferChange(f"offer/{i}", price_fen=1) for i in range(1001)), "limit_count"),
    ],
)
def test_what_is_wrong_is_named(changes: tuple[OfferChange, ...], code: str) -> None:
    with pytest.raises(InstanceError) as refused:
        changed(*changes)
    assert refused.value.code == code
    assert refused.value.path.startswith(("config/offer_changes", "offers/o1"))


def test_json_there_and_back() -> None:
    changes = (OfferChange("offer/o1", price_fen=0, add_cards=-3), OfferChange("supplier/s", cards_ppm=0))
    data = changes_to_json(changes)
    assert data == [{"name": "offer/o1", "price_fen": 0, "add_cards": -3}, {"name": "supplier/s", "cards_ppm": 0}]
    assert tuple(map(change_from_json, data)) == changes
    for wrong in ({"name": "offer/o1", "price_fen": "7"}, {"name": 1}, {"name": "offer/o1", "price_fen": True}):
        with pytest.raises(TypeError):
            change_from_json(wrong)
    with pytest.raises(TypeError):
        change_from_json({"name": "offer/o1", "colour": 7})

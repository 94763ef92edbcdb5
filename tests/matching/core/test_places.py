"""The best places for a request against an enumeration of every offer and start."""

from dataclasses import replace

from app.matching.core.clear import first_come
from app.matching.core.columns import build_columns
from app.matching.core.config import Forbid, Share, SolverConfig
from app.matching.core.outcome import Subsidy
from app.matching.core.pins import PinConflictError, place_pins
from app.matching.core.places import BestPlace, Places
from tests.matching.core.leftover import Leftover
from tests.matching.core.markets import T0, market, offer, option, random_market, request

Ranked = tuple[int, int, str, int]


def ranked(place: BestPlace) -> Ranked:
    return (place.net_fen, place.start_hour, place.offer, place.alternative)


def test_best_places_are_those_of_an_enumeration() -> None:
    found = 0
    for seed in range(200):
        instance, config = random_market(seed)
        # κ decides what is worth its public money in a clearing; a quote says what can be had.
        config = replace(config, kappa_ppm=0)
        columns = build_columns(instance, config)
        try:
            matches = first_come(columns, place_pins(columns)).matches
        except PinConflictError:
            continue
        places, left = Places(columns, matches), Leftover(instance, config, matches)
        for item in instance.requests:
            longer = replace(item, deadline_hour=item.deadline_hour + 3)
            earliest: dict[tuple[int, str], Ranked] = {}
            for (position, ref, start), net in left.places(longer):
                rank = (net, start, ref, position)
                earliest[position, ref] = min(rank, earliest.get((position, ref), rank))
            expected = sorted(earliest.values())
            got = places.best(longer, 100)
            assert [ranked(place) for place in got] == expected
            assert [ranked(place) for place in places.best(longer, 1)] == expected[:1]
            for place in got:
                assert place.cost_fen - sum(subsidy.amount_fen for subsidy in place.subsidies) == place.net_fen
            found += len(got)
    assert found > 100


def test_by_hand() -> None:
    offers = [offer("o1", price=100), offer("o2", price=90, subsidy_class="none"), offer("o3", price=100, hours=3)]
    instance = market(offers, [request()], (option(),), {"p/pool/2026": 300})
    asked = request("new", most=100)
    places = Places(build_columns(instance, SolverConfig()), ())
    first, second, third = places.best(asked, 5)
    assert (first.offer, first.start_hour, first.net_fen) == ("o1", T0, 500)
    assert first.subsidies == (Subsidy("p", "general", 300),)
    assert (second.offer, second.net_fen) == ("o3", 500)
    assert (third.offer, third.net_fen, third.subsidies) == ("o2", 720, ())
    assert [place.offer for place in places.best(request("other", most=90, buyer="unknown"), 5)] == ["o2"]
    assert places.best(request("dear", most=62), 5) == []
    assert places.best(request("many", cards=9), 5) == []
    assert places.best(request("long", hours=4, window=(7, 11)), 5) == []


def test_forbids_and_shares_bind() -> None:
    instance = market([offer("o1"), offer("o2", supplier="s2")], [request()])
    config = SolverConfig(forbids=(Forbid("q1", "o1"),), shares=(Share("supplier/s2", 1_000_000),))
    places = Places(build_columns(instance, config), ())
    assert [place.offer for place in places.best(request(), 5)] == ["o2"]
    assert [place.offer for place in places.best(request("q2"), 5)] == ["o1", "o2"]
    assert [place.offer for place in places.best(request("q2", cards=5), 5)] == ["o1"]
    own = SolverConfig(shares=(Share("buyer/b1", 999_999),))
    assert Places(build_columns(instance, own), ()).best(request(), 5) == []

"""Two clearings compared: each effect and each cause on a market made for it, and the sums."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from app.matching.core.compare import Cause, Comparison, Effect, RequestDifference, Side, compare
from app.matching.core.config import Forbid, Method, Objective, Pin, Share, SolverConfig
from app.matching.core.instance import Instance
from app.matching.core.outcome import Status
from app.matching.core.solve import solve
from app.matching.core.what_if import OfferChange, change_offers
from tests.matching.core.markets import T0, market, offer, option, random_market, request

CONFIG = SolverConfig(work_limit=2)


def side(instance: Instance, config: SolverConfig = CONFIG) -> Side:
    return Side(instance, config, solve(instance, config))


def only(found: Comparison) -> RequestDifference:
    [difference] = found.requests
    return difference


def two_offers() -> Instance:
    """A request that takes o1, the cheaper."""
    return market([offer("o1", price=100), offer("o2", price=120)], [request("q1")])


def test_the_same_clearing_differs_in_nothing() -> None:
    found = compare(side(two_offers()), side(two_offers()))
    assert found.same_instance
    assert (found.requests, found.buyers, found.suppliers, found.budgets) == ((), (), (), ())


def test_moved_because_its_offer_was_withheld() -> None:
    base = two_offers()
    changed = change_offers(base, [OfferChange("offer/o1", cards_ppm=0)])
    found = only(compare(side(changed), side(base)))
    assert found.effects == (Effect.MOVED, Effect.DEARER)
    assert found.causes == (Cause.OFFER_CHANGED,)
    # 20 fen dearer x 4 cards x 2 hours.
    assert (found.gain_fen, found.here.net_fen - found.there.net_fen) == (-160, 160)
    assert (found.offers_here, found.offers_there) == (("o2",), ("o1",))


def test_dearer_where_it_stays() -> None:
    base = two_offers()
    changed = change_offers(base, [OfferChange("offer/o1", price_fen=110)])
    found = only(compare(side(changed), side(base)))
    assert (found.effects, found.causes, found.gain_fen) == ((Effect.DEARER,), (Cause.OFFER_CHANGED,), -80)
    back = only(compare(side(base), side(changed)))
    assert (back.effects, back.gain_fen) == ((Effect.CHEAPER,), 80)


def test_a_rule_of_the_desk_is_the_cause() -> None:
    base = two_offers()
    for config, cause in (
        (replace(CONFIG, pins=(Pin("q1", "o2"),)), Cause.PIN_CHANGED),
        (replace(CONFIG, forbids=(Forbid("q1", "o1"),)), Cause.FORBID_CHANGED),
    ):
        found = only(compare(side(base, config), side(base)))
        assert found.effects == (Effect.MOVED, Effect.DEARER)
        assert found.causes == (cause,)
    found = only(compare(side(base, replace(CONFIG, shares=(Share("buyer/b1", 0),))), side(base)))
    assert (found.effects, found.causes) == ((Effect.UNMATCHED,), (Cause.SHARE_CHANGED,))
    assert (found.code_here, found.code_there) == ("share_limit", None)


def test_rescheduled_by_a_pin() -> None:
    base = two_offers()
    [match] = solve(base, CONFIG).matches
    later = replace(CONFIG, pins=(Pin("q1", "o1", match.start_hour + 1),))
    assert only(compare(side(base, later), side(base))).effects == (Effect.RESCHEDULED,)


def test_a_subsidy_lost_or_less() -> None:
    def subsidised(limit: int, rate: int = 500_000) -> Instance:
        return market([offer("o1")], [request("q1")], (option(rate=rate),), {"p/pool/2026": limit})

    found = only(compare(side(subsidised(100)), side(subsidised(1_000))))
    assert (found.effects, found.causes) == ((Effect.SUBSIDY_LOST,), (Cause.BUDGET_CHANGED,))
    assert found.gain_fen == -300
    found = only(compare(side(subsidised(1_000, rate=250_000)), side(subsidised(1_000))))
    assert (found.effects, found.causes) == ((Effect.SUBSIDY_LOST,), (Cause.SUBSIDY_TERMS_CHANGED,))
    found = compare(side(subsidised(1_000)), side(market([offer("o1")], [request("q1")])))
    assert only(found).causes == (Cause.SUBSIDY_TERMS_CHANGED,)
    assert [each.name for each in found.budgets] == ["p/pool/2026"]
    assert found.budgets[0].there is None


def test_unmatched_for_lack_of_a_budget() -> None:
    def needing(limit: int) -> Instance:
        return market([offer("o1")], [request("q1", most=60)], (option(),), {"p/pool/2026": limit})

    found = only(compare(side(needing(100)), side(needing(1_000))))
    assert (found.effects, found.causes) == ((Effect.UNMATCHED,), (Cause.BUDGET_CHANGED,))
    assert found.code_here == "over_budget"


def test_displaced_by_a_newcomer() -> None:
    base = market([offer("o1", cards=4, hours=2)], [request("q1")])
    fuller = market([offer("o1", cards=4, hours=2)], [request("q1"), request("q2", most=190)])
    found = compare(side(fuller), side(base))
    by_ref = {each.request: each for each in found.requests}
    assert by_ref["q1"].effects == (Effect.UNMATCHED,)
    assert by_ref["q1"].causes == (Cause.COMPETITION,)
    assert by_ref["q1"].code_here == "outbid"
    assert by_ref["q2"].effects == (Effect.NEW_REQUEST, Effect.MATCHED)
    assert Cause.REQUEST_CHANGED in by_ref["q2"].causes
    assert found.market_requests.only_here == ("q2",)
    back = {each.request: each for each in compare(side(base), side(fuller)).requests}
    assert back["q1"].effects == (Effect.MATCHED,)
    assert back["q2"].effects == (Effect.REQUEST_GONE, Effect.UNMATCHED)


def test_more_blocks_and_what_the_supplier_sells() -> None:
    blocks = [request("q1", blocks=2)]
    base = market([offer("o1", cards=4, hours=2)], blocks)
    found = compare(side(change_offers(base, [OfferChange("offer/o1", add_cards=4)])), side(base))
    assert only(found).effects == (Effect.MORE_BLOCKS,)
    assert (only(found).here.blocks, only(found).there.blocks) == (2, 1)
    [supplier] = found.suppliers
    assert (supplier.ref, supplier.here.cost_fen - supplier.there.cost_fen) == ("s1", 800)
    assert found.market_offers.changed == ("o1",)
    assert only(compare(side(base), side(market([offer("o1")], blocks)))).effects == (Effect.FEWER_BLOCKS,)


def test_another_objective_and_another_method() -> None:
    few, many = request("q1", cards=4, most=190), request("q2", cards=8, most=101)
    base = market([offer("o1", cards=8, hours=2)], [few, many])
    coverage = replace(CONFIG, objective=Objective.COVERAGE)
    found = compare(side(base, coverage), side(base))
    assert {each.request: each.effects for each in found.requests} == {
        "q1": (Effect.UNMATCHED,),
        "q2": (Effect.MATCHED,),
    }
    assert all(each.causes == (Cause.OBJECTIVE_CHANGED,) for each in found.requests)
    early = replace(few, submitted_at=few.submitted_at.replace(month=10), alternatives=many.alternatives)
    late = replace(many, alternatives=(replace(many.alternatives[0], max_net_fen=9_999, value_fen=9_999),))
    rivals = market([offer("o1", cards=8, hours=2)], [early, late])
    found = compare(side(rivals), side(rivals, replace(CONFIG, method=Method.FCFS)))
    assert found.same_instance
    assert {each.causes for each in found.requests} == {(Cause.SEARCH,)}


def test_another_shape() -> None:
    base = two_offers()
    smaller = replace(base, requests=(request("q1", cards=2),))
    found = only(compare(side(smaller), side(base)))
    assert found.effects == (Effect.OTHER_SHAPE,)
    assert found.causes == (Cause.REQUEST_CHANGED,)
    assert T0 in {match.start_hour for match in side(base).outcome.matches}


@settings(max_examples=30, deadline=None)
@given(first=st.integers(0, 10_000), second=st.integers(0, 10_000))
def test_differences_add_up_and_turn_around(first: int, second: int) -> None:
    sides = [
        Side(instance, config, solve(instance, config)) for instance, config in map(random_market, (first, second))
    ]
    if any(each.outcome.status not in (Status.OPTIMAL, Status.FEASIBLE) for each in sides):
        return
    here, there = sides
    found, back = compare(here, there), compare(there, here)
    assert sum(each.gain_fen for each in found.requests) == found.here.surplus_fen - found.there.surplus_fen
    assert {each.request: each.gain_fen for each in found.requests} == {
        each.request: -each.gain_fen for each in back.requests
    }
    for parties in (found.buyers, found.suppliers):
        assert sum(each.here.cost_fen - each.there.cost_fen for each in parties) == (
            found.here.cost_fen - found.there.cost_fen
        )
    assert all(each.effects and each.causes for each in found.requests)

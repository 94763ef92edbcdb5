"""Reasons in their order, and changes that are proved: each fits when made, and no smaller one of its kind does."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.kit.time import hour_index, parse_rfc3339
from app.matching.core.columns import build_columns
from app.matching.core.config import Forbid, Method, Share, SolverConfig
from app.matching.core.explain import explain
from app.matching.core.fcfs import serve_in_order
from app.matching.core.instance import Alternative, Budget, Instance, Request, Site
from app.matching.core.outcome import Change, Match, Outcome, Unmatched
from app.matching.core.plan import empty_plan
from app.matching.core.solve import solve
from tests.matching.core.markets import T0, market, offer, option, random_market, request

CONFIG = SolverConfig(method=Method.FCFS, work_limit=2)


def reasons(instance: Instance, config: SolverConfig = CONFIG) -> dict[str, str]:
    return {unmatched.request: unmatched.code for unmatched in solve(instance, config).unmatched}


FULL = request("a-first", cards=8, hours=10)


@pytest.mark.parametrize(
    ("instance", "code"),
    [
        pytest.param(market([offer(chip="H20")], [request(chips="A100")]), "no_chip", id="no chip"),
        pytest.param(market([offer()], [request(chips="No Such Chip")]), "no_chip", id="unknown chip"),
        pytest.param(market([offer()], [request(site=Site(regions=("south",)))]), "no_site", id="no site"),
        pytest.param(market([offer(cards=3)], [request(cards=4)]), "too_large_for_any_offer", id="too large"),
        pytest.param(market([offer(hours=3)], [request(hours=4)]), "no_window", id="no window"),
        pytest.param(market([offer()], [request(window=(0, 1), hours=2)]), "no_window", id="window too short"),
        pytest.param(market([offer(price=151)], [request()]), "over_budget", id="over budget"),
        pytest.param(
            market(
                [offer(price=200)],
                [request("a", most=150), request("b", most=150)],
                (option(),),
                {"p/pool/2026": 799},
            ),
            "subsidy_exhausted",
            id="subsidy exhausted",
        ),
        pytest.param(
            market([offer(cards=8, hours=3)], [request("b", cards=8, hours=2, blocks=2, min_blocks=2)]),
            "min_blocks",
            id="min blocks",
        ),
        pytest.param(
            market([offer(cards=8, hours=4)], [request("a", cards=5, hours=4), request("b", cards=4, hours=2)]),
            "fragmented",
            id="fragmented",
        ),
        pytest.param(market([offer(cards=8)], [FULL, request("b")]), "outbid", id="outbid by the first"),
    ],
)
def test_reason(instance: Instance, code: str) -> None:
    found = reasons(instance)
    assert found[max(found)] == code


def test_forbidden_and_share_limit() -> None:
    instance = market([offer()], [request(), request("q2", buyer="b2")])
    assert reasons(instance, replace(CONFIG, forbids=(Forbid("q1", "o1"),)))["q1"] == "forbidden"
    assert reasons(instance, replace(CONFIG, shares=(Share("buyer/b1", 100_000),)))["q1"] == "share_limit"


HALF = (option(),)
POOL = "p/pool/2026"
NORTH = Site(regions=("north",))
SHARED_OUT = replace(CONFIG, shares=(Share("buyer/b1", 500_000),))


@pytest.mark.parametrize(
    ("just_so", "just_not", "code"),
    [
        pytest.param(
            market([offer(chip="H20")], [request(chips="A100|910B")]),
            market([offer(chip="H20")], [request(chips="A100|H20")]),
            "no_chip",
            id="no chip, one of two",
        ),
        pytest.param(
            market([offer(region="south")], [request(site=NORTH)]),
            market([offer(region="north")], [request(site=NORTH)]),
            "no_site",
            id="no site: region",
        ),
        pytest.param(
            market([offer(interconnect_gbps=99)], [request(site=Site(min_interconnect_gbps=100))]),
            market([offer(interconnect_gbps=100)], [request(site=Site(min_interconnect_gbps=100))]),
            "no_site",
            id="no site: network",
        ),
        pytest.param(
            market([offer(cards=3)], [request(cards=4)]),
            market([offer(cards=4)], [request(cards=4)]),
            "too_large_for_any_offer",
            id="too large by a card",
        ),
        pytest.param(
            market([offer(hours=3)], [request(hours=4)]),
            market([offer(hours=4)], [request(hours=4)]),
            "no_window",
            id="no window by an hour of the offer",
        ),
        pytest.param(
            market([offer()], [request(hours=2, window=(3, 4))]),
            market([offer()], [request(hours=2, window=(3, 5))]),
            "no_window",
            id="no window by an hour of the deadline",
        ),
        pytest.param(
            market([offer(price=151)], [request(most=150)]),
            market([offer(price=150)], [request(most=150)]),
            "over_budget",
            id="over budget by a fen",
        ),
        pytest.param(
            market([offer(price=302)], [request(most=150)], HALF, {POOL: 10_000}),
            market([offer(price=300)], [request(most=150)], HALF, {POOL: 10_000}),
            "over_budget",
            id="over budget with full subsidy",
        ),
        pytest.param(
            market([offer(price=200)], [request("a", most=100), request("b", most=100)], HALF, {POOL: 1_599}),
            market([offer(price=200)], [request("a", most=100), request("b", most=100)], HALF, {POOL: 1_600}),
            "subsidy_exhausted",
            id="subsidy exhausted by a fen",
        ),
        pytest.param(
            market([offer(cards=8, hours=3)], [request(cards=8, hours=2, blocks=2, min_blocks=2)]),
            market([offer(cards=8, hours=4)], [request(cards=8, hours=2, blocks=2, min_blocks=2)]),
            "min_blocks",
            id="min blocks by an hour",
        ),
        pytest.param(
            market([offer(cards=8, hours=4)], [request("a", cards=5, hours=4), request("b", cards=4, hours=2)]),
            market([offer(cards=8, hours=4)], [request("a", cards=4, hours=4), request("b", cards=4, hours=2)]),
            "fragmented",
            id="fragmented by a card",
        ),
    ],
)
def test_just_so_and_just_not(just_so: Instance, just_not: Instance, code: str) -> None:
    found = reasons(just_so)
    assert found[max(found)] == code
    assert reasons(just_not) == {}


def test_fragmented_or_outbid_by_one_free_card_hour() -> None:
    """Four cards for two hours are eight card-hours: 2 free cards over 4 hours are enough, over 3 hours they aren't."""
    first, second = request("a", cards=6, hours=4), request("b", cards=4, hours=2)
    assert reasons(market([offer(cards=8, hours=4)], [first, second])) == {"b": "fragmented"}
    assert reasons(market([offer(cards=8, hours=4)], [first, replace(second, deadline_hour=T0 + 3)])) == {"b": "outbid"}


def test_forbidden_only_where_the_forbidden_pair_would_fit() -> None:
    offers, items = [offer("o1"), offer("o2", cards=4)], [request("a", hours=10, chips="A100"), request("b", hours=10)]
    config = replace(CONFIG, forbids=(Forbid("b", "o1"), Forbid("a", "o1")))
    assert reasons(market(offers, items), config) == {"b": "forbidden"}
    blocked = [request("0", cards=8, hours=10), *items]
    config = replace(config, forbids=(*config.forbids, Forbid("0", "o2")))
    # The forbidden offer is full besides: lifting the forbid would not help.
    assert reasons(market(offers, blocked), config) == {"b": "outbid"}


def test_share_limit_by_one_card_hour() -> None:
    """16 card-hours are asked for in all; half of it is 8, what one request takes."""
    instance = market([offer()], [request("a"), request("b")])
    assert reasons(instance, SHARED_OUT) == {"b": "share_limit"}
    assert reasons(instance, replace(CONFIG, shares=(Share("buyer/b1", 1_000_000),))) == {}
    assert reasons(instance, replace(CONFIG, shares=(Share("buyer/b1", 999_999),))) == {"b": "share_limit"}


def test_no_gain_by_one_fen() -> None:
    """At κ = 0.5 a subsidy of 100 counts 50: a block at 200 against 149 loses, against 150 it doesn't."""
    config = SolverConfig(method=Method.CLEAR, work_limit=2, kappa_ppm=500_000)
    for most, expected in ((149, {"q1": "no_gain"}), (150, {})):
        instance = market([offer(price=200)], [request(most=most)], HALF, {POOL: 10_000})
        assert reasons(instance, config) == expected
    (unmatched,) = solve(market([offer(price=200)], [request(most=149)], HALF, {POOL: 10_000}), config).unmatched
    assert [(c.change, c.before, c.after) for c in unmatched.changes] == [("price", 149, 150)]


@pytest.mark.parametrize(
    ("instance", "code"),
    [
        pytest.param(
            market([offer(chip="H20", price=500)], [request(chips="A100", cards=9)]), "no_chip", id="chip before all"
        ),
        pytest.param(market([offer(region="south", cards=2)], [request(site=NORTH)]), "no_site", id="site before size"),
        pytest.param(
            market([offer(cards=3, hours=1)], [request()]), "too_large_for_any_offer", id="size before window"
        ),
        pytest.param(market([offer(hours=1, price=500)], [request()]), "no_window", id="window before budget"),
        pytest.param(
            market([offer(price=500)], [FULL, request("b")]), "over_budget", id="budget before what others took"
        ),
    ],
)
def test_of_two_reasons_the_binding_one_is_named(instance: Instance, code: str) -> None:
    found = reasons(instance)
    assert found[max(found)] == code


def test_blocks_of_different_alternatives_fit_side_by_side() -> None:
    """Two blocks, one of each chip: neither alternative has room for both, together they have."""
    both = (
        Alternative("A100", 8, 10, 12_000, 12_000),
        Alternative("H20", 4, 10, 6_000, 6_000),
    )
    offers = [offer("o1", cards=8), offer("o2", cards=4, chip="H20", price=160)]
    item = request(blocks=2, min_blocks=2, alternatives=both)
    (unmatched,) = solve(market(offers, [item]), CONFIG).unmatched
    assert unmatched.code == "min_blocks"
    assert ("price", 150, 160, "o2") in {(c.change, c.before, c.after, c.offer) for c in unmatched.changes}


def test_two_reasons_name_the_first() -> None:
    """Too large and too dear at once: the size comes first in the order."""
    assert reasons(market([offer(cards=3, price=500)], [request(cards=4)])) == {"q1": "too_large_for_any_offer"}


def test_changes_by_hand() -> None:
    """A full offer of 8 cards for 10 h; q2 wants 4 cards for 2 h before hour 10 at 150, another chip is free at 170."""
    offers = [offer("o1", cards=8, hours=20), offer("o2", cards=8, chip="H20", price=170)]
    first = request("q1", cards=7, hours=10, chips="A100")
    second = request("q2", cards=4, hours=2, chips="A100", submitted_at=first.submitted_at.replace(hour=5))
    (unmatched,) = solve(market(offers, [first, second]), CONFIG).unmatched
    assert unmatched.code == "fragmented"
    found = {change.change: change for change in unmatched.changes}
    assert set(found) == {"deadline", "cards"}
    assert (
        found["deadline"].after == "2027-01-15T08:00:00Z"
        or hour_index(parse_rfc3339(str(found["deadline"].after))) == T0 + 12
    )
    assert (found["cards"].before, found["cards"].after, found["cards"].offer) == (4, 1, "o1")


def test_price_and_chip_changes_by_hand() -> None:
    offers = [offer("o1", price=180), offer("o2", chip="H20", price=140)]
    (unmatched,) = solve(market(offers, [request(chips="A100")]), CONFIG).unmatched
    assert unmatched.code == "over_budget"
    assert [(c.change, c.before, c.after, c.offer) for c in unmatched.changes] == [
        ("price", 150, 180, "o1"),
        ("chips", "A100", "class:H-class", "o2"),
    ]


def test_region_change_by_hand() -> None:
    offers = [offer("o1", price=180), offer("o2", region="south", price=140)]
    (unmatched,) = solve(market(offers, [request(site=Site(regions=("north",)))]), CONFIG).unmatched
    assert ("region", "north", "south", "o2") in {(c.change, c.before, c.after, c.offer) for c in unmatched.changes}


def _changed(item: Request, change: Change) -> Request:
    """Return a request of one alternative with a change made."""
    (alternative,) = item.alternatives
    use = alternative.cards * alternative.hours
    match change.change:
        case "price":
            worth = int(change.after) * use
            return replace(item, alternatives=(replace(alternative, max_net_fen=worth, value_fen=worth),))
        case "deadline":
            return replace(item, deadline_hour=hour_index(parse_rfc3339(str(change.after))))
        case "cards":
            most = alternative.max_net_fen * int(change.after) // alternative.cards
            smaller = Alternative(alternative.chips, int(change.after), alternative.hours, most, most)
            return replace(item, alternatives=(smaller,))
        case "chips":
            return replace(item, alternatives=(replace(alternative, chips=f"{alternative.chips}|{change.after}"),))
        case _:
            return replace(item, site=replace(item.site, regions=(*item.site.regions, str(change.after))))


def _smaller(change: Change) -> Change | None:
    """Return the change that is one step smaller, or `None` where that is no change or has no step."""
    match change.change:
        case "price":
            less = int(change.after) - 1
            return replace(change, after=less) if less > int(change.before) else None
        case "cards":
            more = int(change.after) + 1
            return replace(change, after=more) if more < int(change.before) else None
        case "deadline":
            hour = hour_index(parse_rfc3339(str(change.after))) - 1
            text = f"{parse_rfc3339(str(change.after)).timestamp() - 3600:.0f}"
            return replace(change, after=_rfc(text)) if hour > hour_index(parse_rfc3339(str(change.before))) else None
        case _:
            return None


def _rfc(seconds: str) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()


def _left_over(instance: Instance, outcome: Outcome, item: Request) -> Instance:
    """Return the market that an outcome leaves, with one request alone in it."""
    used = {use.name: use.used_fen for use in outcome.budgets}
    offers = tuple(
        replace(place, steps=_free_steps(place.steps, [m for m in outcome.matches if m.offer == place.ref]))
        for place in instance.offers
    )
    budgets = tuple(Budget(budget.name, budget.limit_fen - used[budget.name]) for budget in instance.budgets)
    return replace(instance, offers=offers, requests=(item,), budgets=budgets)


def _free_steps(steps: tuple[tuple[int, int], ...], matches: list[Match]) -> tuple[tuple[int, int], ...]:
    free: list[tuple[int, int]] = []
    for hour in range(steps[0][0], steps[-1][0]):
        cards = next(level for at, level in reversed(steps) if at <= hour)
        cards -= sum(m.cards for m in matches if m.start_hour <= hour < m.start_hour + m.hours)
        free.append((hour, cards))
    return (*free, (steps[-1][0], 0))


def _proofs() -> Iterator[tuple[Instance, Outcome, Unmatched, Request, Change]]:
    for seed in range(120):
        instance, config = random_market(seed)
        config = replace(config, pins=(), forbids=(), shares=(), kappa_ppm=0, method=Method.FCFS)
        outcome = solve(instance, config)
        for unmatched in outcome.unmatched:
            item = instance.requests[instance.request_index[unmatched.request]]
            if len(item.alternatives) == 1 and item.min_blocks == 1:
                for change in unmatched.changes:
                    yield instance, outcome, unmatched, replace(item, blocks=1), change


def _fits(instance: Instance, item: Request) -> bool:
    columns = build_columns(replace(instance, requests=(item,)), SolverConfig())
    plan = empty_plan(columns)
    serve_in_order(columns, plan)
    return bool((plan.pair >= 0).any())


def test_each_change_is_proved_and_minimal() -> None:
    seen: dict[str, int] = {}
    for instance, outcome, unmatched, item, change in _proofs():
        left = _left_over(instance, outcome, item)
        made = _changed(item, change)
        assert not _fits(left, item), (unmatched, change)
        only = replace(left, offers=tuple(place for place in left.offers if place.ref == change.offer))
        at_start = replace(
            made, earliest_hour=change.start_hour, deadline_hour=change.start_hour + made.alternatives[0].hours
        )
        assert change.start_hour >= made.earliest_hour
        assert change.start_hour + made.alternatives[0].hours <= made.deadline_hour
        assert _fits(only, at_start), (unmatched, change)
        less = _smaller(change)
        if less is not None:
            assert not _fits(left, _changed(item, less)), (unmatched, change)
        seen[change.change] = seen.get(change.change, 0) + 1
    assert set(seen) == {"price", "deadline", "cards", "chips", "region"}, seen


def test_partly_matched_requests_are_listed() -> None:
    instance = market([offer(cards=8, hours=2)], [request("q1", cards=8, hours=2, blocks=3)])
    outcome = solve(instance, CONFIG)
    assert [(u.request, u.blocks_unmatched) for u in outcome.unmatched] == [("q1", 2)]
    assert explain(build_columns(instance, CONFIG), outcome.matches) == outcome.unmatched

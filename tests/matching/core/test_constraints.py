"""Each constraint alone: just feasible, just infeasible; the verifier says which."""

from dataclasses import replace

import pytest

from app.matching.core.config import Forbid, Method, Objective, Pin, Share, SolverConfig
from app.matching.core.instance import Instance, Option, Site
from app.matching.core.limits import InstanceError
from app.matching.core.outcome import Outcome, Status
from app.matching.core.solve import solve
from app.matching.core.verify import VerificationError, verify
from tests.matching.core.markets import T0, market, offer, option, request

CONFIG = SolverConfig(work_limit=2)
METHODS = [Method.FCFS, Method.CPSAT, Method.CLEAR]


def run(instance: Instance, config: SolverConfig = CONFIG, method: Method = Method.CLEAR) -> Outcome:
    chosen = replace(config, method=method)
    outcome = solve(instance, chosen)
    verify(instance, chosen, outcome)
    return outcome


def count(instance: Instance, config: SolverConfig = CONFIG, method: Method = Method.CLEAR) -> int:
    return len(run(instance, config, method).matches)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("instance", "matched"),
    [
        pytest.param(market([offer(cards=4)], [request(cards=4)]), 1, id="gang fits"),
        pytest.param(market([offer(cards=3)], [request(cards=4)]), 0, id="gang too large"),
        pytest.param(market([offer()], [request(window=(0, 2), hours=2)]), 1, id="window fits"),
        pytest.param(market([offer()], [request(window=(0, 2), hours=3)]), 0, id="window too short"),
        pytest.param(market([offer(hours=2)], [request(hours=2)]), 1, id="offer long enough"),
        pytest.param(market([offer(hours=1)], [request(hours=2)]), 0, id="offer too short"),
        pytest.param(market([offer(price=150)], [request(most=150)]), 1, id="price met"),
        pytest.param(market([offer(price=151)], [request(most=150)]), 0, id="price above"),
        pytest.param(market([offer(chip="H20")], [request(chips="A100|H20")]), 1, id="chip accepted"),
        pytest.param(market([offer(chip="H20")], [request(chips="class:A-class")]), 0, id="chip refused"),
        pytest.param(market([offer(chip="910B")], [request(chips="domestic")]), 1, id="domestic chip"),
        pytest.param(market([offer()], [request(chips="domestic")]), 0, id="foreign chip"),
        pytest.param(market([offer()], [request(site=Site(regions=("north",)))]), 1, id="region accepted"),
        pytest.param(market([offer()], [request(site=Site(regions=("south",)))]), 0, id="region refused"),
        pytest.param(market([offer()], [request(site=Site(suppliers_refused=("s1",)))]), 0, id="supplier refused"),
        pytest.param(market([offer()], [request(site=Site(suppliers_allowed=("s2",)))]), 0, id="supplier not allowed"),
        pytest.param(market([offer()], [request(site=Site(min_interconnect_gbps=100))]), 1, id="network fast enough"),
        pytest.param(market([offer()], [request(site=Site(min_interconnect_gbps=101))]), 0, id="network too slow"),
        pytest.param(market([offer()], [request(site=Site(min_cards_per_node=9))]), 0, id="node too small"),
        pytest.param(
            market([offer(cards=8, hours=4)], [request(cards=8, hours=2, blocks=2, min_blocks=2)]), 2, id="blocks fit"
        ),
        pytest.param(
            market([offer(cards=8, hours=3)], [request(cards=8, hours=2, blocks=2, min_blocks=2)]),
            0,
            id="below min_blocks",
        ),
        pytest.param(
            market([offer(cards=8, hours=3)], [request(cards=8, hours=2, blocks=2, min_blocks=1)]), 1, id="partly"
        ),
        pytest.param(
            market([offer(steps=((T0, 4), (T0 + 1, 3), (T0 + 2, 4), (T0 + 4, 0)))], [request(cards=4, hours=2)]),
            1,
            id="after the dip",
        ),
        pytest.param(
            market([offer(steps=((T0, 4), (T0 + 1, 3), (T0 + 2, 4), (T0 + 3, 0)))], [request(cards=4, hours=2)]),
            0,
            id="the dip splits",
        ),
    ],
)
def test_single_constraint(instance: Instance, matched: int, method: Method) -> None:
    assert count(instance, method=method) == matched


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("terms", "pool", "matched"),
    [
        # A block costs 200 x 4 x 2 = 1600; the buyer pays 150 x 8 = 1200: 400 are needed.
        pytest.param(option(rate=250_000), 400, 1, id="rate and pool just enough"),
        pytest.param(option(rate=249_999), 400, 0, id="rate too low"),
        pytest.param(option(), 399, 0, id="pool too low"),
        pytest.param(option(cap=400), 1000, 1, id="cap just enough"),
        pytest.param(option(cap=399), 1000, 0, id="cap too low"),
        pytest.param(option(least=800), 800, 1, id="minimum just met"),
        pytest.param(option(least=801), 5000, 0, id="minimum above the rate"),
        pytest.param(option(fixed=True), 500, 1, id="fixed, the budget exhausted"),
        pytest.param(option(buyer="b2"), 5000, 0, id="another buyer's"),
    ],
)
def test_subsidy_limits(terms: Option, pool: int, matched: int, method: Method) -> None:
    instance = market(
        [offer(price=200)],
        [request(most=150), request("q2", most=1, buyer="b2")],
        (terms,),
        {"p/pool/2026": pool},
    )
    assert count(instance, method=method) == matched


def test_subsidy_beyond_need_goes_by_weight() -> None:
    """Two blocks of cost 800 need nothing; a pool of 500 goes to the heavier one first, by hand: 400, then 100."""
    requests = [request("q1"), request("q2", weight=3)]
    outcome = run(market([offer(cards=8)], requests, (option(),), {"p/pool/2026": 500}))
    assert {match.request: match.subsidy_fen for match in outcome.matches} == {"q1": 100, "q2": 400}
    assert outcome.objective_fen == 1 * (1200 - 800 + 100) + 3 * (1200 - 800 + 400)
    assert outcome.status is Status.OPTIMAL


def test_thrift_gives_only_what_is_needed() -> None:
    requests = [request("q1"), request("q2", most=60)]
    instance = market([offer(cards=8)], requests, (option(),), {"p/pool/2026": 5000})
    for method in (Method.CPSAT, Method.CLEAR):
        outcome = run(instance, replace(CONFIG, objective=Objective.THRIFT), method)
        assert {match.request: match.subsidy_fen for match in outcome.matches} == {"q1": 0, "q2": 320}


def test_budget_cap_of_a_buyer_binds_before_the_pool() -> None:
    terms = option(budgets=("p/pool/2026", "p/buyer/b1/2026"))
    budgets = {"p/pool/2026": 5000, "p/buyer/b1/2026": 120}
    outcome = run(market([offer()], [request()], (terms,), budgets))
    assert [match.subsidy_fen for match in outcome.matches] == [120]
    assert {use.name: use.used_fen for use in outcome.budgets} == {"p/pool/2026": 120, "p/buyer/b1/2026": 120}


@pytest.mark.parametrize("method", METHODS)
def test_forbid(method: Method) -> None:
    instance = market([offer("o1", price=50), offer("o2", price=100)], [request()])
    outcome = run(instance, replace(CONFIG, forbids=(Forbid("q1", "o1"),)), method)
    assert [match.offer for match in outcome.matches] == ["o2"]


@pytest.mark.parametrize("method", METHODS)
def test_pin(method: Method) -> None:
    instance = market([offer("o1", price=50), offer("o2", price=100)], [request()])
    outcome = run(instance, replace(CONFIG, pins=(Pin("q1", "o2", T0 + 5),)), method)
    assert [(match.offer, match.start_hour) for match in outcome.matches] == [("o2", T0 + 5)]


@pytest.mark.parametrize("method", METHODS)
def test_contradictory_pins_are_named(method: Method) -> None:
    requests = [request("q1", cards=8), request("q2", cards=8), request("q3", cards=1)]
    instance = market([offer(cards=8)], requests)
    pins = (Pin("q1", "o1", T0), Pin("q2", "o1", T0 + 1), Pin("q3", "o1", T0 + 5))
    outcome = run(instance, replace(CONFIG, pins=pins), method)
    assert outcome.status is Status.INFEASIBLE
    assert outcome.detail is not None
    assert "q1" in outcome.detail
    assert "q2" in outcome.detail
    assert "q3" not in outcome.detail
    assert outcome.objective_fen is None
    assert not outcome.matches


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("share", "matched"), [(500_000, 1), (499_999, 0)])
def test_share_limit(method: Method, share: int, matched: int) -> None:
    """Of 16 card-hours requested, b1's block takes 8: half."""
    instance = market([offer()], [request(), request("q2", buyer="b2")])
    outcome = run(instance, replace(CONFIG, shares=(Share("buyer/b1", share),)), method)
    assert sum(match.request == "q1" for match in outcome.matches) == matched


def test_kappa_counts_subsidy_as_a_cost() -> None:
    """200 x 8 − 150 x 8 = 400 of subsidy let a block happen whose value falls short of its cost by 400."""
    instance = market([offer(price=200)], [request(most=150)], (option(),), {"p/pool/2026": 400})
    assert count(instance) == 1
    outcome = run(instance, replace(CONFIG, kappa_ppm=500_000))
    assert not outcome.matches
    assert outcome.unmatched[0].code == "no_gain"


def test_nothing_feasible_is_optimal() -> None:
    outcome = run(market([offer(cards=1)], [request()]))
    assert outcome.status is Status.OPTIMAL
    assert (outcome.objective_fen, outcome.bound_fen, outcome.gap) == (0, 0, 0.0)


def test_empty_market_is_optimal() -> None:
    for method in METHODS:
        assert run(market([], []), method=method).status is Status.OPTIMAL


def test_cancelled_and_timed_out_runs_are_no_empty_successes() -> None:
    instance = market([offer()], [request(f"q{i}") for i in range(5)])
    cancelled = solve(instance, replace(CONFIG, method=Method.CLEAR), cancelled=lambda: True)
    assert cancelled.status is Status.CANCELLED
    assert cancelled.objective_fen is None
    with pytest.raises(VerificationError):
        verify(instance, CONFIG, replace(cancelled, objective_fen=0))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"start_hour": T0 + 9}, "leaves the window"),
        ({"cost_fen": 1}, "cost_fen"),
        ({"surplus_fen": 0}, "surplus_fen"),
        ({"block": 1}, "block"),
        ({"offer": "o9"}, "no such offer"),
        ({"cards": 3}, "cards"),
    ],
)
def test_verify_tells_a_false_match(change: dict[str, object], told: str) -> None:
    instance = market([offer()], [request()])
    outcome = run(instance)
    false = replace(outcome, matches=(replace(outcome.matches[0], **change),))
    with pytest.raises(VerificationError, match=told):
        verify(instance, CONFIG, false)


def test_verify_tells_false_totals() -> None:
    instance = market([offer()], [request(), request("q2", cards=9)], (option(),), {"p/pool/2026": 100})
    outcome = run(instance)
    assert outcome.bound_fen is not None
    for false, told in (
        (replace(outcome, bound_fen=outcome.bound_fen - 1), "bound_fen"),
        (replace(outcome, objective_fen=0), "objective"),
        (replace(outcome, unmatched=()), "unmatched"),
        (replace(outcome, budgets=(replace(outcome.budgets[0], used_fen=0),)), "budget"),
        (replace(outcome, unmatched=(replace(outcome.unmatched[0], code="outbid"),)), "recomputed"),
    ):
        with pytest.raises(VerificationError, match=told):
            verify(instance, CONFIG, false)


@pytest.mark.parametrize(
    ("config", "code"),
    [
        (SolverConfig(pins=(Pin("q9", "o1"),)), "unknown_request"),
        (SolverConfig(forbids=(Forbid("q1", "o9"),)), "unknown_offer"),
        (SolverConfig(shares=(Share("buyer/nobody", 1),)), "unknown_share"),
        (SolverConfig(kappa_ppm=-1), "limit_kappa_ppm"),
        (SolverConfig(time_limit_s=0), "limit_time_limit_s"),
    ],
)
def test_config_of_another_instance_is_refused(config: SolverConfig, code: str) -> None:
    with pytest.raises(InstanceError) as caught:
        solve(market([offer()], [request()]), config)
    assert caught.value.code == code

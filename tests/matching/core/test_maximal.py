"""No request is left out that still fits; what CP-SAT did not get to prove is not told as a bound."""

from dataclasses import replace

import pytest

from app.matching.core.clear import finish
from app.matching.core.columns import build_columns
from app.matching.core.config import Method, Objective, SolverConfig
from app.matching.core.cpsat import build_model, solve_model
from app.matching.core.instance import Instance
from app.matching.core.maximal import left_out
from app.matching.core.outcome import Match
from app.matching.core.plan import empty_plan
from app.matching.core.solve import solve
from app.matching.core.verify import verify
from tests.matching.core.markets import market, offer, option, random_market, request


def two_blocks() -> Instance:
    """Each block costs 800 and its buyer pays 700: 100 of the pool of 450 will do, though half the cost is allowed."""
    wanted = request(cards=4, hours=2, most=87, blocks=2, min_blocks=2, window=(0, 4))
    return market([offer(cards=4, hours=4)], [wanted], (option(),), {"p/pool/2026": 450})


@pytest.mark.parametrize("objective", Objective)
def test_several_blocks_fit_with_less_subsidy_for_each(objective: Objective) -> None:
    config = SolverConfig(objective=objective, work_limit=1)
    instance = two_blocks()
    outcome = solve(instance, config)
    verify(instance, config, outcome)
    assert len(outcome.matches) == 2
    assert left_out(build_columns(instance, config), outcome.matches) is None


def test_a_plan_is_finished_with_several_blocks_that_fit() -> None:
    columns = build_columns(two_blocks(), SolverConfig())
    assert finish(columns, empty_plan(columns)).placed.tolist() == [2]


def dearer_than_it_counts() -> Instance:
    """The second request pays up to 120, but only 90 of it counts, against a price of 100: it would cost surplus."""
    loser = request("q2")
    (alternative,) = loser.alternatives
    loser = replace(loser, alternatives=(replace(alternative, max_net_fen=960, value_fen=720),))
    return market([offer(cards=4)], [request("q1", window=(0, 2)), loser])


@pytest.mark.parametrize("method", [Method.CLEAR, Method.CPSAT])
@pytest.mark.parametrize(
    ("objective", "placed"),
    [(Objective.SURPLUS, ["q1"]), (Objective.COVERAGE, ["q1", "q2"]), (Objective.THRIFT, ["q1", "q2"])],
)
def test_what_would_lower_the_surplus_may_stay_out(method: Method, objective: Objective, placed: list[str]) -> None:
    instance, config = dearer_than_it_counts(), SolverConfig(method=method, objective=objective, work_limit=1)
    outcome = solve(instance, config)
    verify(instance, config, outcome)
    assert [match.request for match in outcome.matches] == placed


def test_a_plan_is_finished_without_what_loses() -> None:
    columns = build_columns(dearer_than_it_counts(), SolverConfig())
    assert finish(columns, empty_plan(columns)).placed.tolist() == [1, 0]


def test_what_is_left_out_is_told() -> None:
    instance = two_blocks()
    columns = build_columns(instance, SolverConfig(work_limit=1))
    none: tuple[Match, ...] = ()
    assert left_out(columns, none) == "q1"
    # First come takes the largest subsidy for the first block, and the second no longer fits.
    assert left_out(build_columns(instance, SolverConfig(method=Method.FCFS, work_limit=1)), none) is None


def test_no_bound_is_told_where_cp_sat_has_none() -> None:
    """Stopped before it found anything, CP-SAT says that its bound is 0."""
    instance, config = random_market(3)
    direct = build_model(build_columns(instance, config), range(len(instance.requests)))
    solved = solve_model(direct, seconds=None, deterministic=0.0, workers=1, seed=0)
    assert (solved.plan, solved.bound) == (None, None)

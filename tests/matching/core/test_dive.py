"""Dives: which markets are knapsacks, packings against every subset, the bound, and what a dive comes to."""

import random
import time
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from app.matching.core import clear
from app.matching.core.columns import Columns, build_columns
from app.matching.core.config import Method, Objective, Pin, Share, SolverConfig
from app.matching.core.dive import Depth, dive, knapsacks_of, pack, place_rest, settle
from app.matching.core.instance import Alternative, Instance
from app.matching.core.plan import Plan, empty_plan
from app.matching.core.solve import finished, solve
from app.matching.core.verify import verify
from app.matching.core.watch import CancelledError, Watch
from tests.matching.core.markets import chip, market, offer, option, request

WORTH = 2_000


def assignment(seed: int, agents: int, jobs: int) -> Instance:
    """Each agent is an offer of its own chip for one hour; each job asks each agent for other cards, few for much."""
    dice = random.Random(seed)
    names = [f"agent{j:02d}" for j in range(agents)]
    asked = [{name: dice.randrange(5, 26) for name in names} for _ in range(jobs)]
    room = round(0.8 * sum(sum(cards.values()) for cards in asked) / agents / agents)
    requests = [
        replace(
            request(f"job{i:03d}", 1, 1, 1, (0, 1)),
            alternatives=tuple(
                Alternative(name, count, 1, worth, worth)
                for name, count in cards.items()
                for worth in (WORTH + count + dice.randrange(-10, 11),)
            ),
        )
        for i, cards in enumerate(asked)
    ]
    offers = [replace(offer(name, room, 0, 1), chip=name, subsidy_class="none") for name in names]
    return Instance(tuple(chip(name) for name in names), tuple(offers), tuple(requests))


def work(units: int) -> Watch:
    return Watch(time.monotonic, seconds=None, work=units, progress=None, cancelled=None)


def dived(columns: Columns, units: int) -> list[Plan]:
    """Return the plans of all dives within a work limit, from first come's on."""
    knapsacks = knapsacks_of(columns)
    assert knapsacks is not None
    plans: list[Plan] = []
    best = clear.first_come(columns, empty_plan(columns))

    def keep(plan: Plan) -> bool:
        plans.append(plan)
        return best.offer(plan)

    worth = np.zeros(columns.demand.blocks.size)
    dive(columns, knapsacks, worth, lambda: best.key[0], keep, work(units), 1.0)
    return plans


def value(columns: Columns, plan: Plan) -> int:
    return int(columns.pairs.score[plan.pair[plan.pair >= 0]].sum())


@pytest.mark.parametrize("seed", range(20))
def test_a_packing_is_the_best_of_all_subsets(seed: int) -> None:
    dice = np.random.default_rng(seed)
    cards = dice.integers(1, 9, 9)
    profit = dice.uniform(-2.0, 8.0, 9)
    packed = np.zeros(9, dtype=np.bool_)
    gained = pack(profit, cards, 17, packed)
    subsets = [np.array(bits, dtype=np.bool_) for bits in product((False, True), repeat=9)]
    assert gained == pytest.approx(max(profit[bits].sum() for bits in subsets if cards[bits].sum() <= 17))
    assert gained == pytest.approx(profit[packed].sum())
    assert cards[packed].sum() <= 17


@pytest.mark.parametrize("seed", range(4))
def test_dives_come_close_to_the_optimum_and_their_bound_stays_above_it(seed: int) -> None:
    instance = assignment(seed, 5, 40)
    config = SolverConfig(method=Method.CPSAT, time_limit_s=30)
    columns = build_columns(instance, config)
    exact = solve(instance, config)
    optimum = sum(match.surplus_fen for match in exact.matches)
    plans = dived(columns, 200)
    assert len(plans) > 1
    found = max(value(columns, plan) for plan in plans)
    # What the jobs are worth to begin with hides how close a plan is: without it.
    blocks = len(exact.matches) * WORTH
    assert optimum - found <= 0.01 * (optimum - blocks)
    best = clear.first_come(columns, empty_plan(columns))
    before = best.key
    for plan in plans:
        best.offer(plan)
    assert best.key > before
    verify(instance, config, finished(columns, best.matches, exact.duals, proved=False))

    knapsacks = knapsacks_of(columns)
    assert knapsacks is not None
    price, often = np.zeros(40), np.zeros(knapsacks.pair.size)
    pace = np.array([2.0, 0.0, np.inf])
    everyone = np.ones(40, dtype=np.bool_)
    least = price.copy()
    settle(knapsacks, knapsacks.size, everyone, price, least, np.zeros(40), often, pace, 200, float(found), 0.03)
    assert optimum <= pace[2] <= optimum + 0.02 * (optimum - blocks)
    assert often.min() >= 0.0
    assert often.max() <= 1.0


def test_the_same_work_gives_the_same_plans() -> None:
    columns = build_columns(assignment(7, 4, 30), SolverConfig())
    first, second = dived(columns, 100), dived(columns, 100)
    assert len(first) == len(second) > 0
    assert all((one.pair == other.pair).all() for one, other in zip(first, second, strict=True))


def test_a_dive_ends_when_it_is_cancelled() -> None:
    columns = build_columns(assignment(7, 4, 30), SolverConfig())
    knapsacks = knapsacks_of(columns)
    assert knapsacks is not None
    watch = Watch(time.monotonic, seconds=60, work=None, progress=None, cancelled=lambda: True)
    with pytest.raises(CancelledError):
        dive(columns, knapsacks, np.zeros(30), lambda: 0, lambda _plan: True, watch, 1.0)


def test_the_last_blocks_do_not_outlast_the_limit() -> None:
    columns = build_columns(assignment(2, 15, 150), SolverConfig())
    knapsacks = knapsacks_of(columns)
    assert knapsacks is not None
    free, often = np.ones(150, dtype=np.bool_), np.zeros(knapsacks.pair.size)
    surface = Depth(knapsacks.size, free, np.zeros(150), often, empty_plan(columns))
    seconds: list[float] = []
    for limit in (60.0, 0.1):
        watch = Watch(time.monotonic, seconds=limit, work=None, progress=None, cancelled=None)
        began = time.monotonic()
        place_rest(columns, surface, watch)
        seconds.append(time.monotonic() - began)
    assert seconds[1] < seconds[0] / 2


def test_nothing_is_offered_where_the_time_is_too_short() -> None:
    assert dived(build_columns(assignment(7, 4, 30), SolverConfig()), 0) == []


def test_a_request_that_runs_nowhere_stays_out() -> None:
    instance = assignment(3, 4, 30)
    lost = replace(instance.requests[4], alternatives=(Alternative("any", 10_000, 1, 10_000, 10_000),))
    columns = build_columns(
        replace(instance, requests=(*instance.requests[:4], lost, *instance.requests[5:])), SolverConfig()
    )
    for plan in dived(columns, 100):
        assert plan.pair[4] < 0
        assert (plan.pair >= 0).sum() > 20


def test_only_knapsacks_are_dived_into() -> None:
    jobs = [request(f"q{i}", 2, 2, 150, (0, 2)) for i in range(3)]
    fits = market([offer("o1", 4), offer("o2", 4)], jobs)
    assert knapsacks_of(build_columns(fits, SolverConfig())) is not None
    others = {
        "two starts": replace(fits, requests=(replace(jobs[0], deadline_hour=jobs[0].deadline_hour + 1), *jobs[1:])),
        "other hours": replace(fits, requests=(request("q9", 2, 1, 150, (0, 1)), *jobs)),
        "another start": replace(fits, requests=(request("q9", 2, 2, 150, (3, 5)), *jobs)),
        "two blocks": replace(fits, requests=(replace(jobs[0], blocks=2), *jobs[1:])),
        "a subsidy": market([offer("o1", 4)], jobs, (option(),), {"p/pool/2026": 1_000}),
        "too large": market([offer(f"o{i}", 100_000) for i in range(14)], jobs),
        "nobody fits": market([offer("o1", 1)], jobs),
    }
    for name, instance in others.items():
        assert knapsacks_of(build_columns(instance, SolverConfig())) is None, name
    configs = {
        "a pin": SolverConfig(pins=(Pin("q1", "o1"),)),
        "a share": SolverConfig(shares=(Share("buyer/b1", 500_000),)),
        "another objective": SolverConfig(objective=Objective.COVERAGE),
    }
    for name, config in configs.items():
        assert knapsacks_of(build_columns(fits, config)) is None, name


def test_an_offer_has_the_cards_that_all_of_its_hours_have() -> None:
    steps = ((500_000, 4), (500_001, 3), (500_002, 0))
    jobs = [request(f"q{i}", 1, 2, 150, (0, 2)) for i in range(3)]
    knapsacks = knapsacks_of(build_columns(market([replace(offer("o1"), steps=steps)], jobs), SolverConfig()))
    assert knapsacks is not None
    assert knapsacks.size.tolist() == [3]

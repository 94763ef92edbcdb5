"""`clear` on larger markets: never worse than first come, reproducible, maximal, whatever the order of rows."""

import random
from dataclasses import replace

import pytest

from app.matching.core.codec import instance_from_json, instance_to_json
from app.matching.core.config import Method, Objective, SolverConfig
from app.matching.core.instance import Instance
from app.matching.core.objective import rank
from app.matching.core.outcome import Outcome
from app.matching.core.solve import solve
from app.matching.core.verify import verify
from tests.matching.core.markets import T0, market, offer, option, request


def larger(seed: int, requests: int = 120) -> Instance:
    dice = random.Random(seed)
    offers = [
        offer(f"o{i:02d}", dice.choice([4, 8, 16]), dice.randrange(60, 140), 48, chip=dice.choice(["A100", "H20"]))
        for i in range(6)
    ]
    items = [
        request(
            f"q{i:03d}",
            dice.choice([1, 2, 4, 8]),
            dice.randrange(1, 13),
            dice.randrange(60, 200),
            (start, start + dice.randrange(8, 24)),
            chips=dice.choice(["any", "A100", "H20"]),
            buyer=f"b{i % 7}",
            weight=dice.choice([1, 1, 2, 5]),
            blocks=dice.choice([1, 1, 1, 3]),
        )
        for i in range(requests)
        for start in (dice.randrange(36),)
    ]
    options = tuple(option(f"b{i}", budgets=("p/pool/2026", f"p/buyer/b{i}/2026")) for i in range(7))
    budgets = {"p/pool/2026": 60_000} | {f"p/buyer/b{i}/2026": 15_000 for i in range(7)}
    return market(offers, items, options, budgets)


def run(instance: Instance, config: SolverConfig) -> Outcome:
    outcome = solve(instance, config)
    verify(instance, config, outcome)
    return outcome


@pytest.mark.parametrize("objective", list(Objective))
def test_never_worse_than_first_come(objective: Objective) -> None:
    instance = larger(1)
    config = SolverConfig(objective=objective, work_limit=20)
    first = run(instance, replace(config, method=Method.FCFS))
    engine = run(instance, config)
    assert rank(config, engine.objectives) > rank(config, first.objectives)


def test_same_seed_and_work_give_the_same_outcome_rows_shuffled_or_not() -> None:
    instance = larger(2)
    data = instance_to_json(instance)
    dice = random.Random(9)
    for rows in ("offers", "requests", "options", "budgets", "chips"):
        dice.shuffle(data[rows])
    shuffled = instance_from_json(
        data | {"offers": [o | {"steps": [list(s) for s in o["steps"]]} for o in data["offers"]]}
    )
    config = SolverConfig(work_limit=30, seed=3)
    one, other = run(instance, config), run(shuffled, config)
    assert one.matches == other.matches
    assert one.bound_fen == other.bound_fen
    assert one.unmatched == other.unmatched
    assert run(instance, config).matches == one.matches


def test_renaming_in_order_renames_the_matches() -> None:
    instance = larger(3, 60)
    renamed = replace(instance, requests=tuple(replace(item, ref="x" + item.ref) for item in instance.requests))
    config = SolverConfig(work_limit=10)
    one, other = run(instance, config), run(renamed, config)
    assert [(m.offer, m.start_hour) for m in one.matches] == [(m.offer, m.start_hour) for m in other.matches]


def test_no_unmatched_request_still_fits() -> None:
    """The explanations' own probes find no request that would fit as it is: none is offered a change to nothing."""
    outcome = run(larger(4), SolverConfig(work_limit=10))
    for unmatched in outcome.unmatched:
        assert all(change.before != change.after for change in unmatched.changes)


def test_more_capacity_never_lowers_the_exact_optimum() -> None:
    small = [request(f"q{i}", 4, 3, 100 + 10 * i, (0, 6)) for i in range(4)]
    values = [
        run(market([offer(cards=cards, hours=6)], small), SolverConfig(method=Method.CPSAT, work_limit=5)).objective_fen
        for cards in (4, 5, 8, 16)
    ]
    assert values == sorted(values, key=lambda value: value or 0)
    assert min(item.earliest_hour for item in small) == T0

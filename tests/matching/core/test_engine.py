"""The engine's parts by themselves: roundings, refined prices, stamps, what the exact finish leaves out, warming up."""

import hashlib
import importlib
import pkgutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from numba.core.registry import CPUDispatcher  # pyright: ignore[reportMissingTypeStubs]

import app.matching.core
from app.matching.core import clear, compiled
from app.matching.core.assemble import finished
from app.matching.core.columns import Columns, build_columns
from app.matching.core.config import Method, Objective, SolverConfig
from app.matching.core.guide import guide_of, without_narrow
from app.matching.core.instance import Component, Instance, Option
from app.matching.core.outcome import Duals, Status
from app.matching.core.pieces import freed, improve_pieces
from app.matching.core.plan import empty_plan
from app.matching.core.prices import PriceSearch
from app.matching.core.rows import build_rows
from app.matching.core.search import Search
from app.matching.core.solve import solve
from app.matching.core.verify import verify
from app.matching.core.warm import warm_up
from app.matching.core.watch import Watch
from tests.matching.core.markets import market, offer, option, random_market, request
from tests.matching.core.test_search import larger


def searched(columns: Columns, passes: int = 60) -> PriceSearch:
    search = PriceSearch(columns, 0)
    for done in range(passes):
        search.advance(done / passes)
    search.assess()
    return search


def improved(columns: Columns, rounds: int) -> Search:
    search = searched(columns)
    guide = guide_of(columns, search.rows, search.best, search.best_reduced)
    requests = np.arange(columns.demand.weight.size)
    primal = Search(columns, empty_plan(columns), guide, 1, np.zeros(0, dtype=np.int64), requests)
    primal.greedy(requests, 1.0, -np.inf)
    primal.improve(rounds, 50.0)
    return primal


def gangs(cards: int, capacity: int) -> Instance:
    """Three equal gangs for one hour of an offer: as many have room as go into the capacity whole."""
    return market([offer("o1", capacity, 100, 1)], [request(f"q{i}", cards, 1, 200, (0, 1)) for i in range(3)])


@pytest.mark.parametrize(("cards", "capacity", "whole"), [(32, 40, 1), (32, 63, 1), (3, 8, 2), (600, 1_024, 1)])
def test_a_rounding_cuts_off_parts_of_a_gang(cards: int, capacity: int, whole: int) -> None:
    instance = gangs(cards, capacity)
    config = SolverConfig(work_limit=5)
    outcome = solve(instance, config)
    verify(instance, config, outcome)
    assert outcome.objective_fen == whole * cards * 100
    assert outcome.bound_fen is not None
    # The plain row alone leaves a bound of capacity/cards gangs.
    assert outcome.bound_fen < (whole + 0.02) * cards * 100
    assert {(row.a, row.b) for row in outcome.duals.capacity} >= {(1, cards)}


@pytest.mark.parametrize(("cards", "capacity"), [(8, 40), (1, 7), (64, 40), (33, 1_024)])
def test_no_rounding_where_it_gains_nothing(cards: int, capacity: int) -> None:
    columns = build_columns(gangs(cards, capacity), SolverConfig())
    # 33 goes into 1 024 but for 1 card: less than is worth a row.
    assert not build_rows(columns.supply, columns.pairs).divisor.size


def test_refining_finds_prices_that_are_small_beside_the_worths() -> None:
    big = 10_000_000
    columns = build_columns(
        market(
            [offer("o1", 3, 0, 1), offer("o2", 3, 0, 1)],
            [request(f"q{i}", 1, 1, big + i, (0, 1)) for i in range(8)],
        ),
        SolverConfig(),
    )
    coarse = searched(columns, 20)
    before = coarse.best_value
    coarse.refine()
    for done in range(60):
        coarse.advance(done / 60)
    coarse.assess()
    assert coarse.best_value < before
    assert coarse.best_value >= sum(sorted(big + i for i in range(8))[-6:]) - 1e-3


@pytest.mark.parametrize("seed", range(4))
def test_what_a_stamp_rules_out_has_no_room(seed: int) -> None:
    columns = build_columns(larger(seed), SolverConfig())
    primal = improved(columns, 3_000)
    pairs, plan, book = columns.pairs, primal.plan, primal.book
    ruled_out = np.flatnonzero(book.full == book.freed[pairs.offer])
    assert ruled_out.size
    for pair in ruled_out:
        offer_row = int(columns.supply.row_ptr[pairs.offer[pair]] - columns.supply.first_hour[pairs.offer[pair]])
        for start in range(int(pairs.first[pair]), int(pairs.last[pair]) + 1):
            hours = plan.free[offer_row + start : offer_row + start + int(pairs.hours[pair])]
            assert hours.min() < pairs.cards[pair]


@pytest.mark.parametrize("seed", range(4))
def test_the_search_keeps_its_own_books(seed: int) -> None:
    columns = build_columns(larger(seed + 10), SolverConfig())
    primal = improved(columns, 3_000)
    plan = primal.plan
    fresh = Search(columns, plan, primal.guide, 1, np.zeros(0, dtype=np.int64), primal.requests)
    assert fresh.value == pytest.approx(primal.value)
    assert plan.free.min() >= 0
    assert plan.left.min() >= 0
    usage = columns.supply.capacity.astype(np.int64)
    for slot in np.flatnonzero(plan.pair >= 0):
        pair = int(plan.pair[slot])
        row = int(
            columns.supply.row_ptr[columns.pairs.offer[pair]] - columns.supply.first_hour[columns.pairs.offer[pair]]
        )
        start = row + int(plan.start[slot])
        usage[start : start + int(columns.pairs.hours[pair])] -= int(columns.pairs.cards[pair])
    assert (usage == plan.free).all()


def test_the_exact_finish_keeps_all_that_an_optimum_needs() -> None:
    left_out = required = 0
    for seed in range(60):
        instance, config = random_market(seed)
        config = replace(config, method=Method.CPSAT, work_limit=20, pins=(), objective=Objective.SURPLUS)
        exact = solve(instance, config)
        if exact.status is not Status.OPTIMAL:
            continue
        columns = build_columns(instance, config)
        best = clear.first_come(columns, empty_plan(columns))
        watch = Watch(time.monotonic, seconds=None, work=5, progress=None, cancelled=None)
        search = clear.find_prices(columns, watch, 1.0, best)
        guide = guide_of(columns, search.rows, search.best, search.best_reduced)
        kept = clear.promising(columns, guide, search, best)
        left_out += int((~kept).sum())
        needed = clear.needed(columns, search, best)
        required += int(needed.sum())
        placed = Counter(instance.request_index[match.request] for match in exact.matches)
        assert all(placed[index] >= least for index, least in enumerate(needed.tolist()))
        used = {
            (instance.request_index[match.request], match.alternative, instance.offer_index[match.offer])
            for match in exact.matches
        }
        pairs = columns.pairs
        found = set(
            zip(pairs.request[kept].tolist(), pairs.alternative[kept].tolist(), pairs.offer[kept].tolist(), strict=True)
        )
        assert used <= found
    assert left_out > 0
    assert required > 0


@pytest.mark.parametrize("seed", range(6))
def test_pieces_improve_on_first_come_and_keep_the_rest_in_order(seed: int) -> None:
    instance, config = larger(seed), SolverConfig(seed=seed)
    columns = build_columns(instance, config)
    best = clear.first_come(columns, empty_plan(columns))
    before = best.key
    all_pairs = np.ones(columns.pairs.offer.size, dtype=np.bool_)
    none_needed = np.zeros(columns.demand.blocks.size, dtype=np.int64)
    watch = Watch(time.monotonic, seconds=None, work=30, progress=None, cancelled=None)
    improve_pieces(columns, lambda: (all_pairs, none_needed), lambda: best.plan, best.offer, watch)
    assert best.key > before
    outcome = finished(columns, best.matches, Duals(), proved=False)
    verify(instance, config, outcome)


def test_a_piece_leaves_no_request_with_too_few_blocks() -> None:
    instance = market(
        [offer("o1", 4, 100, 4), offer("o2", 4, 100, 4)],
        [request("q1", 4, 4, 200, (0, 4), blocks=2, min_blocks=2), request("q2", 4, 4, 190, (0, 4))],
    )
    columns = build_columns(instance, SolverConfig())
    plan = clear.first_come(columns, empty_plan(columns)).plan
    around, requests = freed(columns, plan, np.array([0], dtype=np.int32))
    assert (around.pair == plan.pair).all()
    assert requests.tolist() == [1]
    around, requests = freed(columns, plan, np.array([0, 1], dtype=np.int32))
    assert (around.pair < 0).all()
    assert (around.free == columns.supply.capacity).all()
    assert requests.tolist() == [0, 1]


def test_only_budgets_that_many_draw_on_steer() -> None:
    buyers = ("b1", "b2")
    pool = {"p/pool/2026": 10_000}
    caps = {f"p/buyer/{buyer}/2026": 10_000 for buyer in buyers}
    requests = [request(f"q{i:03d}", 1, 1, 80, (0, 4), buyer=buyers[i > 110]) for i in range(120)]
    options = [option(buyer, budgets=("p/pool/2026", f"p/buyer/{buyer}/2026")) for buyer in buyers]
    columns = build_columns(
        market([offer("o1", 4, 100, 4)], requests, options=tuple(options), budgets=pool | caps), SolverConfig()
    )
    search = searched(columns)
    guide = guide_of(columns, search.rows, search.best, search.best_reduced)
    guide = guide._replace(budget=np.full(3, 0.25))
    steering = without_narrow(columns, guide)
    prices = dict(zip((budget.name for budget in columns.instance.budgets), steering.budget, strict=True))
    assert prices == {"p/buyer/b1/2026": 0.25, "p/buyer/b2/2026": 0.0, "p/pool/2026": 0.25}


def _compiled() -> dict[str, int]:
    """Return how many times each compiled function of the core was compiled or read from disk."""
    found: dict[str, int] = {}
    for module in pkgutil.iter_modules(app.matching.core.__path__):
        loaded = importlib.import_module(f"app.matching.core.{module.name}")
        for name, value in vars(loaded).items():
            if isinstance(value, CPUDispatcher) and value.__module__ == loaded.__name__:
                found[f"{module.name}.{name}"] = len(value.signatures)
    return found


@pytest.mark.parametrize("method", [Method.CLEAR, Method.FCFS])
def test_nothing_is_left_to_compile_after_warming_up(method: Method) -> None:
    warm_up()
    before = _compiled()
    instance = larger(5)
    config = SolverConfig(method=method, work_limit=3)
    verify(instance, config, solve(instance, config))
    assert _compiled() == before


@pytest.mark.parametrize("exact", [True, False])
def test_no_block_is_kept_that_lowers_the_objective(exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not exact:
        # As on a market that is too large for the exact finish.
        monkeypatch.setattr(clear, "EXACT_INTERVALS", -1)
    # Half of 100 fen a card-hour is subsidy, which counts as a cost twice over: a loss of 10 of what the buyer gains.
    instance = market(
        [offer("o1", 8, 100, 10)],
        [request("q1", 4, 2, 90, (0, 10)), request("q2", 4, 2, 90, (0, 10), blocks=3, min_blocks=2)],
        (option(rate=500_000),),
        {"p/pool/2026": 10_000},
    )
    config = SolverConfig(work_limit=5, kappa_ppm=2_000_000)
    outcome = solve(instance, config)
    verify(instance, config, outcome)
    assert outcome.objective_fen == 0
    assert not outcome.matches


def test_blocks_that_lose_go_as_far_as_min_blocks_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clear, "EXACT_INTERVALS", -1)
    # One block gains 50 a card-hour on the cheap offer, the other loses 10 on the dear one.
    for least, matched in ((1, 1), (2, 2)):
        item = request("q1", 4, 2, 110, (0, 2), blocks=2, min_blocks=least)
        item = replace(item, alternatives=(replace(item.alternatives[0], value_fen=100 * 8),))
        instance = market([offer("o1", 4, 50, 2), offer("o2", 4, 110, 2)], [item])
        config = SolverConfig(work_limit=5)
        outcome = solve(instance, config)
        verify(instance, config, outcome)
        assert len(outcome.matches) == matched


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize(
    ("rates", "fixed", "ceiling", "given"),
    [
        ((600_000, 600_000), False, None, 1_600),
        ((600_000, 600_000), True, None, 1_600),
        ((500_000, 300_000), True, 600_000, 960),
        ((500_000, 300_000), False, 600_000, 960),
        ((500_000, 300_000), True, 900_000, 1_280),
    ],
)
def test_stacked_subsidies_never_pass_the_ceiling_or_the_cost(
    method: Method, rates: tuple[int, int], fixed: bool, ceiling: int | None, given: int
) -> None:
    components = tuple(
        Component(f"p{i}", "t", rate, 0, None, fixed, (f"p{i}/pool/2026",)) for i, rate in enumerate(rates)
    )
    instance = market(
        [offer("o1", 8, 100, 2)],
        [request("q1", 8, 2, 90, (0, 2))],
        (Option("b1", "partner", ceiling, components),),
        {"p0/pool/2026": 10_000, "p1/pool/2026": 10_000},
    )
    config = SolverConfig(method=method, work_limit=5)
    outcome = solve(instance, config)
    verify(instance, config, outcome)
    assert outcome.status is Status.OPTIMAL
    assert [match.subsidy_fen for match in outcome.matches] == [given]


def test_machine_code_belongs_to_one_version_of_the_core() -> None:
    sources = b"".join(path.read_bytes() for path in sorted(compiled.HERE.glob("*.py")))
    folder = f"compiled-{hashlib.sha256(sources).hexdigest()[:16]}"
    kept = subprocess.run(
        [sys.executable, "-c", "from app.matching.core.ruin import improve; print(improve.stats.cache_path)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"/{folder}/" in kept

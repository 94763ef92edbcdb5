"""`clear`: the engine. Prices by Lagrangian relaxation, price-guided greedy, ruin-and-recreate, an exact finish.

Phases, each anytime: (1) first come first served, so that the result is never worse; (2) prices, which also give the
certificate; (3) greedy on reduced values; (4) ruin-and-recreate; (5) on small instances CP-SAT with the plan as a
hint, which may prove optimality; (6) whatever still fits is placed, and the budgets are shared out by weight.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from app.kit.money import PPM
from app.matching.core.assemble import matches_of
from app.matching.core.columns import Columns
from app.matching.core.config import Objective
from app.matching.core.cpsat import build_model, objectives, solve_model, surplus_scale
from app.matching.core.fcfs import fill_up, serve_in_order, submission_order
from app.matching.core.objective import rank, stages
from app.matching.core.outcome import Duals, Match
from app.matching.core.plan import Plan, copy_plan
from app.matching.core.prices import PriceSearch, integer_duals, nearest_values
from app.matching.core.search import Search, guide_of, share_out
from app.matching.core.watch import Watch

F64 = npt.NDArray[np.float64]

PASSES: Final = 200
PRICE_SHARE: Final = 0.3
QUICK_SHARE: Final = 0.1
ROUNDS_PER_LOOK: Final = 400
MIN_WORK_PER_LOOK: Final = 1_000
LOOK_EVERY: Final = 0.08
# A request whose best column loses more than this part of its value at the prices is no seed of a ruin.
HOPELESS: Final = 0.03
# The loss tolerated at first, relative to the mean worth of a block, and when none is any more.
TOLERANCE: Final = 0.03
COLD_FROM: Final = 0.95
EXACT_INTERVALS: Final = 6_000
EXACT_DETERMINISTIC_PER_WORK: Final = 0.05


@dataclass
class Best:
    """The best matches so far."""

    columns: Columns
    matches: tuple[Match, ...]
    plan: Plan
    key: tuple[int, ...]

    def offer(self, plan: Plan) -> bool:
        """Finish a copy of a plan and keep it where it is better; return whether it was."""
        done = finish(self.columns, plan)
        matches = matches_of(self.columns, done)
        key = rank_of(self.columns, matches)
        # Of equals, the one with more matches: an outcome is maximal.
        if (key, len(matches)) <= (self.key, len(self.matches)):
            return False
        self.matches, self.plan, self.key = matches, done, key
        return True


def rank_of(columns: Columns, matches: tuple[Match, ...]) -> tuple[int, ...]:
    """Return what compares the matches of two plans."""
    return rank(columns.config, stages(columns.instance, columns.config, matches, None))


def finish(columns: Columns, plan: Plan) -> Plan:
    """Return a copy in which whatever still gains is placed and the budgets are shared out."""
    done = copy_plan(plan)
    config = columns.config
    # What fits can still lose: by a cost of public funds, or where less than `max_net` of it counts as its value.
    least = 0.0 if config.objective is Objective.SURPLUS else -np.inf
    generous = config.objective is not Objective.THRIFT and config.kappa_ppm < PPM
    order = submission_order(columns)
    fill_up(columns, done, order, least)
    fill_up(columns, done, order, least, sparing=True)
    share_out(columns, done, generous)
    # Cutting amounts back may have freed what another block needs.
    fill_up(columns, done, order, least)
    fill_up(columns, done, order, least, sparing=True)
    return done


def first_come(columns: Columns, pinned: Plan) -> Best:
    """Return first come, first served on top of the pinned blocks."""
    plan = copy_plan(pinned)
    serve_in_order(columns, plan)
    matches = matches_of(columns, plan)
    return Best(columns, matches, plan, rank_of(columns, matches))


def find_prices(columns: Columns, watch: Watch, share: float, best: Best | None) -> PriceSearch:
    """Run the price search for a share of the limit, at most `PASSES` passes."""
    search = PriceSearch(columns, columns.config.seed)
    watch.add(search.work)
    scale = columns.lexicographic_scale
    while search.passes < PASSES and not watch.spent(share):
        before = search.work
        search.advance(max(search.passes / PASSES, watch.fraction() / share))
        if search.passes % 8 == 0:
            search.assess()
        watch.add(search.work - before)
        watch.tell("prices", best.key[0] if best is not None else None, search.best_value / scale)
    search.assess()
    return search


def run_clear(columns: Columns, pinned: Plan, watch: Watch) -> tuple[Best, Duals, bool, int | None]:
    """Clear; return the best matches, the duals, whether they are proved optimal, and CP-SAT's own bound."""
    best = first_come(columns, pinned)
    best.offer(best.plan)
    watch.tell("first come", best.key[0], None)
    search = find_prices(columns, watch, PRICE_SHARE, best)
    bound = search.best_value / columns.lexicographic_scale
    primal = _greedy(columns, search, pinned, best, watch)
    watch.tell("greedy", best.key[0], bound)
    small = _intervals(columns) <= EXACT_INTERVALS
    proved, own = _exact(columns, best, watch, QUICK_SHARE) if small else (False, None)
    if not proved:
        _recreate(primal, best, watch, bound, 0.5 if small else 1.0)
        if small:
            proved, own = _exact(columns, best, watch, 1.0)
    return best, integer_duals(columns, search.best), proved, own


def _greedy(columns: Columns, search: PriceSearch, pinned: Plan, best: Best, watch: Watch) -> Search:
    """Insert by reduced value: first what gains at the prices, then whatever fits."""
    guide = guide_of(columns, search.best, search.best_reduced)
    nearest = nearest_values(columns, search.best)
    top = np.zeros(nearest.size, dtype=np.float64)
    leading = np.diff(columns.demand.pair_ptr) > 0
    top[leading] = columns.pairs.top[columns.demand.pair_ptr[:-1][leading]]
    hopeful = np.flatnonzero(leading & (nearest > -HOPELESS * top)).astype(np.int64)
    locked = np.flatnonzero(pinned.pair >= 0)
    primal = Search(columns, copy_plan(pinned), guide, columns.config.seed, locked, hopeful)
    order = np.argsort(-search.best_reduced, kind="stable")
    primal.greedy(order, 1.0, 0.0)
    primal.greedy(order, 1.0, -np.inf)
    best.offer(primal.plan)
    watch.add(int(primal.work[0]))
    return primal


def _recreate(primal: Search, best: Best, watch: Watch, bound: float, until: float) -> None:
    """Ruin and recreate until a fraction of the limit is used, ever less tolerant of a loss."""
    began = watch.fraction()
    placed = max(1, int((primal.plan.pair >= 0).sum()))
    tolerance = TOLERANCE * max(0.0, primal.value) / placed
    shown = began
    while not watch.spent(until) and primal.requests.size:
        progress = (watch.fraction() - began) / max(1e-9, until - began)
        before = int(primal.work[0])
        primal.improve(ROUNDS_PER_LOOK, tolerance * max(0.0, 1.0 - progress / COLD_FROM))
        watch.add(max(MIN_WORK_PER_LOOK, int(primal.work[0]) - before))
        if watch.fraction() - shown > LOOK_EVERY:
            shown = watch.fraction()
            best.offer(primal.plan)
        watch.tell("ruin and recreate", best.key[0], bound)
    best.offer(primal.plan)


def _intervals(columns: Columns) -> int:
    return int(np.dot(columns.demand.blocks, np.diff(columns.demand.pair_ptr)))


def _exact(columns: Columns, best: Best, watch: Watch, share: float) -> tuple[bool, int | None]:
    """Let CP-SAT improve on the best plan; return whether it proved optimality, and its own bound in fen."""
    requests = np.flatnonzero(np.diff(columns.demand.pair_ptr) > 0).tolist()
    direct = build_model(columns, requests)
    if not requests or not objectives(direct):
        return True, None
    seconds, work = watch.left(share)
    solved = solve_model(
        direct,
        seconds=seconds,
        deterministic=None if work is None else work * EXACT_DETERMINISTIC_PER_WORK,
        workers=1 if work is not None else columns.config.workers,
        seed=columns.config.seed,
        hint=best.plan,
        tell=lambda _best, _bound: watch.cancelled(),
    )
    if work is not None:
        watch.add(int(work * 1_000_000))
    if solved.plan is not None:
        best.offer(solved.plan)
    scale = surplus_scale(columns)[0] if columns.config.objective is Objective.SURPLUS else 1
    return solved.proved, None if solved.bound is None else -(-solved.bound // scale)

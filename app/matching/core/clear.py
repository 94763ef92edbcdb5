"""`clear`: the engine. Prices by Lagrangian relaxation, price-guided greedy, ruin-and-recreate, an exact finish.

Phases, each anytime: (1) first come first served, so that the result is never worse; (2) prices, which also give the
certificate; (3) greedy on reduced values; (4) ruin-and-recreate, and dives where every offer is a knapsack; (5) where
the prices leave few enough pairs, CP-SAT on those with the plan as a hint, which may prove optimality, and else on one
piece after another; (6) whatever still fits is placed, and the budgets are shared out by weight.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from app.kit.money import PPM
from app.matching.core.assemble import matches_of
from app.matching.core.columns import Columns
from app.matching.core.config import Objective
from app.matching.core.cpsat import build_model, count_intervals, objectives, solve_model, surplus_scale
from app.matching.core.dive import dive, knapsacks_of
from app.matching.core.fcfs import fill_up, serve_in_order, submission_order
from app.matching.core.guide import Guide, guide_of, without_narrow
from app.matching.core.objective import rank, stages
from app.matching.core.outcome import Duals, Match
from app.matching.core.pieces import improve_pieces
from app.matching.core.plan import Plan, copy_plan, take
from app.matching.core.prices import PriceSearch, integer_duals, reduced_values
from app.matching.core.search import Search
from app.matching.core.sharing import share_out
from app.matching.core.watch import WORK_UNIT, Watch

I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

PASSES: Final = 200
PRICE_SHARE: Final = 0.3
REFINEMENTS: Final = 3
REFINE_SHARE: Final = 0.2
# Refining ends where it narrows the gap by no more than this part.
SETTLED: Final = 1e-3
QUICK_SHARE: Final = 0.02
ROUNDS_PER_LOOK: Final = 400
MIN_WORK_PER_LOOK: Final = 1_000
# The best so far is told after this part of the limit, and early in a long run when this much more of it is used.
LOOK_EVERY: Final = 0.08
LOOK_FACTOR: Final = 1.4
# A request whose best column loses more than this part of its value at the prices is no seed of a ruin.
HOPELESS: Final = 0.03
# The loss tolerated at first, relative to the gap per placed block that is left when a cold start is over, if there is
# time for so many rounds per block; less where there is less time. Near the end none is tolerated any more.
HEAT: Final = 4.0
COLD_UNTIL: Final = 0.05
ROUNDS_PER_BLOCK: Final = 500
COLD_FROM: Final = 0.95
# Where offers are knapsacks: when the dive begins and when it is given up.
DIVE_FROM: Final = 0.05
DIVE_UNTIL: Final = 0.5
EXACT_INTERVALS: Final = 6_000
EXACT_FROM: Final = 0.5
# What of the time that is left then goes into the whole, where the rest is for pieces.
EXACT_SHARE: Final = 0.4
# Of floating-point sums, relative.
ROUNDING: Final = 1e-9
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
    if config.objective is Objective.SURPLUS:
        _drop_losers(columns, done)
    # Cutting amounts back may have freed what another block needs.
    fill_up(columns, done, order, least)
    fill_up(columns, done, order, least, sparing=True)
    return done


def _drop_losers(columns: Columns, plan: Plan) -> None:
    """Take out blocks that lower the objective, as far as `min_blocks` allows, and requests that do so as a whole.

    A block may cost more than it counts for: with a cost of public funds, or where its value is below `max_net`.
    Requests with pins stay as they are.
    """
    slots = np.flatnonzero(plan.pair >= 0)
    request = columns.pairs.request[plan.pair[slots]]
    gain = columns.pairs.score[plan.pair[slots]] + columns.sigma_score[request] * plan.sigma[slots].sum(axis=1)
    for loser in np.setdiff1d(request[gain < 0], columns.pin_request).tolist():
        # Slots are in the order of their requests.
        low, high = np.searchsorted(request, (loser, loser + 1))
        own = low + np.argsort(gain[low:high], kind="stable")
        spare = own.size - int(columns.demand.min_blocks[loser])
        dropped = min(spare, int((gain[own] < 0).sum()))
        if gain[own[dropped:]].sum() < 0:
            dropped = own.size
        for slot in slots[own[:dropped]].tolist():
            take(columns.supply, columns.demand, columns.pairs, columns.terms, plan, slot)


def first_come(columns: Columns, pinned: Plan) -> Best:
    """Return first come, first served on top of the pinned blocks."""
    plan = copy_plan(pinned)
    serve_in_order(columns, plan)
    matches = matches_of(columns, plan)
    return Best(columns, matches, plan, rank_of(columns, matches))


def find_prices(columns: Columns, watch: Watch, share: float, best: Best | None) -> PriceSearch:
    """Run the price search for a share of the limit, at most `PASSES` passes, and refine it where that is quick."""
    search = PriceSearch(columns, columns.config.seed)
    watch.add(search.work)
    _descend(search, watch, share, best)
    for _ in range(REFINEMENTS):
        if watch.spent(share * REFINE_SHARE):
            break
        before = search.best_value
        search.refine()
        _descend(search, watch, share, best)
        floor = 0 if best is None else best.key[0] * columns.lexicographic_scale
        if before - search.best_value <= SETTLED * abs(search.best_value - floor):
            break
    return search


def _descend(search: PriceSearch, watch: Watch, share: float, best: Best | None) -> None:
    """Make `PASSES` passes with ever smaller steps, fewer where the share of the limit is used up before."""
    began, first = watch.fraction(), search.passes
    while search.passes < first + PASSES and not watch.spent(share):
        before = search.work
        done = (search.passes - first) / PASSES
        search.advance(max(done, (watch.fraction() - began) / max(1e-9, share - began)))
        if search.passes % 8 == 0:
            search.assess()
        watch.add(search.work - before)
        value = search.best_value / search.columns.lexicographic_scale
        watch.tell("prices", best.key[0] if best is not None else None, value)
    search.assess()


def run_clear(columns: Columns, pinned: Plan, watch: Watch) -> tuple[Best, Duals, bool, int | None]:
    """Clear; return the best matches, the duals, whether they are proved optimal, and CP-SAT's own bound."""
    best = first_come(columns, pinned)
    best.offer(best.plan)
    watch.tell("first come", best.key[0], None)
    search = find_prices(columns, watch, PRICE_SHARE, best)
    bound = search.best_value / columns.lexicographic_scale
    guide = guide_of(columns, search.rows, search.best, search.best_reduced)
    primal = _greedy(columns, search, without_narrow(columns, guide), pinned, best, watch)
    watch.tell("greedy", best.key[0], bound)
    proved, own = _exact(columns, guide, search, best, watch, QUICK_SHARE)
    if not proved:
        small = count_intervals(columns, promising(columns, guide, search, best)) <= EXACT_INTERVALS
        # Of the other objectives a piece would have several stages.
        by_pieces = small and columns.config.objective is Objective.SURPLUS
        knapsacks = knapsacks_of(columns)
        if knapsacks is not None:
            _recreate(primal, best, watch, search, DIVE_FROM)
            watch.tell("dive", best.key[0], bound)
            dive(columns, knapsacks, search.best_reduced, lambda: best.key[0], best.offer, watch, DIVE_UNTIL)
        _recreate(primal, best, watch, search, EXACT_FROM if small else 1.0)
        proved, own = _exact(columns, guide, search, best, watch, EXACT_SHARE if by_pieces else 1.0)
        if by_pieces and not proved:
            watch.tell("pieces", best.key[0], bound)
            improve_pieces(
                columns,
                lambda: (promising(columns, guide, search, best), needed(columns, search, best)),
                lambda: best.plan,
                best.offer,
                watch,
            )
            proved = own is not None and best.key[0] >= own
    return best, integer_duals(columns, search.rows, search.best), proved, own


def _greedy(columns: Columns, search: PriceSearch, guide: Guide, pinned: Plan, best: Best, watch: Watch) -> Search:
    """Insert by reduced value: first what gains at the prices, then whatever fits."""
    # Below 0 too: how far a request is from gaining at the prices.
    nearest, _ = reduced_values(columns, search.rows, search.best, -np.inf)
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


def _recreate(primal: Search, best: Best, watch: Watch, search: PriceSearch, until: float) -> None:
    """Ruin and recreate until a fraction of the limit is used, ever less tolerant of a loss."""
    columns = primal.columns
    bound = search.best_value / columns.lexicographic_scale
    # The worths leave out what the budgets are worth at their prices.
    ceiling = search.best_value - float(np.dot(primal.guide.budget, columns.budget_limit))
    began = watch.fraction()
    rounds, heat, shown = 0, 0.0, began
    while not watch.spent(until) and primal.requests.size:
        progress = (watch.fraction() - began) / max(1e-9, until - began)
        if heat == 0.0 and progress > COLD_UNTIL:
            placed = max(1, int((primal.plan.pair >= 0).sum()))
            gap = max(0.0, ceiling - primal.value) / placed
            heat = HEAT * gap * min(1.0, rounds / progress / (ROUNDS_PER_BLOCK * placed))
        before = int(primal.work[0])
        primal.improve(ROUNDS_PER_LOOK, heat * max(0.0, 1.0 - progress / COLD_FROM))
        rounds += ROUNDS_PER_LOOK
        watch.add(max(MIN_WORK_PER_LOOK, int(primal.work[0]) - before))
        if watch.fraction() > min(shown + LOOK_EVERY, shown * LOOK_FACTOR):
            shown = watch.fraction()
            best.offer(primal.plan)
        watch.tell("ruin and recreate", best.key[0], bound)
    best.offer(primal.plan)


def promising(columns: Columns, guide: Guide, search: PriceSearch, best: Best) -> Mask:
    """Return the pairs that a better plan might use: those whose reduced value isn't too far below the request's best.

    By weak duality no plan with a block of the pair is worth more than the bound less that distance. Pins make a
    request choose among other columns, and other objectives have more stages than one: there all pairs are kept.
    """
    kept = np.ones(columns.pairs.offer.size, dtype=np.bool_)
    if columns.pin_request.size or columns.config.objective is not Objective.SURPLUS:
        return kept
    use = columns.pairs.cards.astype(np.float64) * columns.pairs.hours
    reduced = guide.worth - guide.least
    for rows in (columns.demand.share[columns.pairs.request], columns.supply.share[columns.pairs.offer]):
        limited = rows >= 0
        reduced[limited] -= search.best.share[rows[limited]] * use[limited]
    distance = search.best_reduced[columns.pairs.request] - reduced
    return search.best_value - distance >= best.key[0] - 1.0 - ROUNDING * search.best_value


def needed(columns: Columns, search: PriceSearch, best: Best) -> I64:
    """Return how many blocks of each request every better plan has placed.

    By weak duality a plan that leaves a block out is worth no more than the bound less the request's reduced value.
    """
    blocks = columns.demand.blocks.astype(np.int64)
    if columns.pin_request.size or columns.config.objective is not Objective.SURPLUS:
        return np.zeros_like(blocks)
    slack = search.best_value * (1.0 + ROUNDING) - (best.key[0] - 1.0)
    with np.errstate(divide="ignore"):
        spare = np.floor(slack / np.maximum(search.best_reduced, 0.0))
    return np.maximum(0, blocks - np.minimum(spare, blocks).astype(np.int64))


def _exact(
    columns: Columns, guide: Guide, search: PriceSearch, best: Best, watch: Watch, share: float
) -> tuple[bool, int | None]:
    """On what is small enough let CP-SAT improve on the best plan.

    Returns whether it is proved optimal, and CP-SAT's own bound in fen; `None` where it had nothing to do.
    """
    kept = promising(columns, guide, search, best)
    if count_intervals(columns, kept) > EXACT_INTERVALS:
        return False, None
    requests = np.unique(columns.pairs.request[kept]).tolist()
    direct = build_model(columns, requests, kept, needed=needed(columns, search, best))
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
        watch.add(int(work * WORK_UNIT))
    if solved.plan is not None:
        best.offer(solved.plan)
    if solved.bound is None:
        return solved.proved, None
    scale = surplus_scale(columns)[0] if columns.config.objective is Objective.SURPLUS else 1
    # Plans of the pairs left out are worth no more than the best.
    return solved.proved, max(-(-solved.bound // scale), best.key[0])

"""One direct CP-SAT model of a clearing: optional intervals, cumulative capacity, integer amounts of subsidy.

The honest rival of `core.clear`, its finisher on small instances, what improves pieces of larger ones (`core.pieces`),
and what decides whether pins can hold together.
Each constraint family is added by the function of the name that `core.constraints` gives it.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
from ortools.sat.python import cp_model

from app.kit.money import PPM
from app.matching.core.columns import NONE, Columns
from app.matching.core.config import Objective
from app.matching.core.plan import Plan, copy_plan, empty_plan, put
from app.matching.core.sigma import WIDTH

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MAX_INTERVALS: Final = 1_500_000
MAX_OBJECTIVE: Final = 2**61


class ModelTooLargeError(ValueError):
    """The direct model would pass its limits; `clear` has no such limit."""


@dataclass
class Block:
    """What a block may take: by pair its presence, and σ by (pair, option, component)."""

    request: int
    placed: cp_model.IntVar
    is_needed: bool
    starts: dict[int, cp_model.IntVar] = field(default_factory=dict[int, cp_model.IntVar])
    present: dict[int, cp_model.IntVar] = field(default_factory=dict[int, cp_model.IntVar])
    chosen: dict[tuple[int, int], cp_model.IntVar] = field(default_factory=dict[tuple[int, int], cp_model.IntVar])
    sigma: dict[tuple[int, int, int], cp_model.IntVar] = field(
        default_factory=dict[tuple[int, int, int], cp_model.IntVar]
    )


@dataclass
class Direct:
    """The model under construction; what the plan `around` it holds stays as it is."""

    columns: Columns
    around: Plan
    model: cp_model.CpModel
    blocks: dict[int, Block]
    spent: dict[int, list[cp_model.IntVar]]
    kept: Mask
    needed: I64
    exhausted: dict[int, cp_model.IntVar] = field(default_factory=dict[int, cp_model.IntVar])

    def pairs_of(self, request: int) -> list[int]:
        """Return the positions of a request's pairs in the model."""
        low, high = (int(end) for end in self.columns.demand.pair_ptr[request : request + 2])
        return (np.flatnonzero(self.kept[low:high]) + low).tolist()

    def slots_of(self, request: int) -> list[int]:
        """Return the slots of a request that the model fills: those empty in the plan around it."""
        low, high = (int(end) for end in self.columns.demand.slot_ptr[request : request + 2])
        return (np.flatnonzero(self.around.pair[low:high] < 0) + low).tolist()

    def start_of(self, slot: int, pair: int) -> cp_model.IntVar:
        """Return the start variable that a block's pairs of one alternative share."""
        return self.blocks[slot].starts[int(self.columns.pairs.alternative[pair])]


def count_intervals(columns: Columns, kept: Mask) -> int:
    """Return how many intervals the model of these pairs has: one for each block of a pair's request."""
    return int(columns.demand.blocks[columns.pairs.request[kept]].sum())


def build_model(
    columns: Columns,
    requests: Sequence[int],
    kept: Mask | None = None,
    around: Plan | None = None,
    needed: I64 | None = None,
) -> Direct:
    """Return the constraints of a clearing of these requests alone, over all of their pairs or those `kept`.

    Args:
        columns: The whole clearing.
        requests: Whose empty slots the model fills.
        kept: Pairs that it may use; by default all of the requests'.
        around: A plan that stays as it is, so that there is only what it leaves; by default an empty one.
        needed: For each request of the clearing, how many of its blocks are placed at least; by default none.

    Raises:
        ModelTooLargeError: if there would be too many intervals.
    """
    if kept is None:
        kept = np.isin(columns.pairs.request, np.asarray(requests, dtype=np.int64))
    count = count_intervals(columns, kept)
    if count > MAX_INTERVALS:
        raise ModelTooLargeError(f"the direct model has {count} intervals, at most {MAX_INTERVALS} are built")
    around = empty_plan(columns) if around is None else around
    if needed is None:
        needed = np.zeros(columns.demand.blocks.size, dtype=np.int64)
    direct = Direct(columns, around, cp_model.CpModel(), {}, defaultdict(list), kept, needed)
    for request in requests:
        blocks(direct, request)
    capacity(direct)
    for slot in direct.blocks:
        subsidies(direct, slot)
    budgets(direct)
    shares(direct)
    pins(direct)
    return direct


def _starts(columns: Columns, free: I32, pair: int) -> cp_model.Domain:
    """Return the feasible starts of a pair on what is free."""
    first, last = int(columns.pairs.first[pair]), int(columns.pairs.last[pair])
    supply, offer = columns.supply, int(columns.pairs.offer[pair])
    row = int(supply.row_ptr[offer]) - int(supply.first_hour[offer])
    hours = int(columns.pairs.hours[pair])
    enough = free[row + first : row + last + hours] >= columns.pairs.cards[pair]
    if enough.all():
        return cp_model.Domain(first, last)
    sums = np.concatenate(([0], np.cumsum(enough)))
    feasible = np.flatnonzero(sums[hours:] - sums[:-hours] == hours) + first
    return cp_model.Domain.from_values(feasible.tolist())


def _enforce(constraint: cp_model.Constraint, literal: cp_model.IntVar) -> None:
    constraint.only_enforce_if(literal)  # pyright: ignore[reportUnknownMemberType]


def blocks(direct: Direct, request: int) -> None:
    """Σ x ≤ B_q, and = 0 or ≥ M_q: each block takes one pair at most, blocks are taken in order."""
    columns, model = direct.columns, direct.model
    demand, alternatives = columns.demand, columns.pairs.alternative
    slots = direct.slots_of(request)
    held = int(demand.blocks[request]) - len(slots)
    for number, slot in enumerate(slots, held):
        is_needed = number < int(direct.needed[request])
        block = Block(request, model.new_constant(1) if is_needed else model.new_bool_var(""), is_needed)
        for pair in direct.pairs_of(request):
            block.present[pair] = model.new_bool_var("")
            domain = _starts(columns, direct.around.free, pair)
            alternative = int(alternatives[pair])
            if alternative not in block.starts:
                low, high = int(demand.earliest[request]), int(demand.deadline[request])
                block.starts[alternative] = model.new_int_var(low, high - int(columns.pairs.hours[pair]), "")
            _enforce(model.add_linear_expression_in_domain(block.starts[alternative], domain), block.present[pair])
        if is_needed:
            # In this form CP-SAT takes what every choice is worth out of the objective.
            model.add_exactly_one(block.present.values())
        else:
            model.add(sum(block.present.values()) == block.placed)
        direct.blocks[slot] = block
    for before, slot in pairwise(slots):
        model.add_implication(direct.blocks[slot].placed, direct.blocks[before].placed)
    least = int(demand.min_blocks[request]) - held
    if held and least > 0:
        raise ValueError("the plan around holds fewer blocks of a request than it wants at least")
    if least > 1:
        model.add_implication(direct.blocks[slots[0]].placed, direct.blocks[slots[least - 1]].placed)


def capacity(direct: Direct) -> None:
    """Σ n·x ≤ K_o(t): a cumulative per offer; where every start is given, linear rows."""
    by_offer: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for slot, block in direct.blocks.items():
        for pair in block.present:
            by_offer[int(direct.columns.pairs.offer[pair])].append((slot, pair))
    for offer, found in sorted(by_offer.items()):
        if all(direct.columns.pairs.first[pair] == direct.columns.pairs.last[pair] for _, pair in found):
            _hourly(direct, offer, found)
        else:
            _cumulative(direct, offer, found)


def _hourly(direct: Direct, offer: int, found: list[tuple[int, int]]) -> None:
    """Linear rows give CP-SAT a far better bound than a cumulative where nothing can move."""
    pairs, supply, free = direct.columns.pairs, direct.columns.supply, direct.around.free
    row = int(supply.row_ptr[offer]) - int(supply.first_hour[offer])
    edges = np.flatnonzero(np.diff(free[supply.row_ptr[offer] : supply.row_ptr[offer + 1]])) + 1
    # Only where something begins or the capacity changes can an hour be fuller than the one before.
    hours = {int(pairs.first[pair]) for _, pair in found} | {int(edge + supply.first_hour[offer]) for edge in edges}
    for hour in sorted(hours):
        running = [
            int(pairs.cards[pair]) * direct.blocks[slot].present[pair]
            for slot, pair in found
            if pairs.first[pair] <= hour < pairs.first[pair] + pairs.hours[pair]
        ]
        if running:
            direct.model.add(sum(running) <= int(free[row + hour]))


def _cumulative(direct: Direct, offer: int, found: list[tuple[int, int]]) -> None:
    """Hours with less than the offer's most are filled by fixed intervals."""
    columns, model, supply = direct.columns, direct.model, direct.columns.supply
    intervals: list[cp_model.IntervalVar] = []
    demands: list[int] = []
    for slot, pair in found:
        hours, present = int(columns.pairs.hours[pair]), direct.blocks[slot].present[pair]
        intervals.append(model.new_optional_fixed_size_interval_var(direct.start_of(slot, pair), hours, present, ""))
        demands.append(int(columns.pairs.cards[pair]))
    profile = direct.around.free[supply.row_ptr[offer] : supply.row_ptr[offer + 1]]
    top = int(profile.max(initial=0))
    edges = np.flatnonzero(np.diff(profile)) + 1
    for low, high in zip([0, *edges], [*edges, profile.size], strict=True):
        if profile[low] < top:
            start = int(low) + int(supply.first_hour[offer])
            intervals.append(model.new_fixed_size_interval_var(start, int(high - low), ""))
            demands.append(top - int(profile[low]))
    model.add_cumulative(intervals, demands, top)


def subsidies(direct: Direct, slot: int) -> None:
    """m_c ≤ σ_c ≤ min(⌊rate_c·C⌋, cap_c, R_j), Σσ ≤ ⌊ceiling·C⌋, Σσ ≥ C − max_net; `fixed` as in `sigma.fill`."""
    columns, model = direct.columns, direct.model
    block = direct.blocks[slot]
    pairs = columns.pairs
    for pair, present in block.present.items():
        cost = int(pairs.cost[pair])
        amounts: list[cp_model.IntVar] = []
        choices: list[cp_model.IntVar] = []
        for option in range(int(pairs.option_low[pair]), int(pairs.option_high[pair])):
            chosen = model.new_bool_var("")
            given = _option(direct, block, pair, option, chosen)
            if given is None:
                model.add(chosen == 0)
                continue
            choices.append(chosen)
            block.chosen[pair, option] = chosen
            amounts.extend(given)
        model.add(sum(choices) <= present)
        need = cost - int(pairs.max_net[pair])
        if need > 0:
            model.add(sum(amounts) >= need * present)


def _option(
    direct: Direct, block: Block, pair: int, option: int, chosen: cp_model.IntVar
) -> list[cp_model.IntVar] | None:
    """Add the amounts of an option; `None` where a minimum can't be met, or the contract is not of its size."""
    columns, model = direct.columns, direct.model
    terms = columns.instance.options[columns.option_ids[option]]
    cost = int(columns.pairs.cost[pair])
    highs: list[tuple[int, int, list[int]]] = []
    for component in terms.components:
        names = [columns.instance.budget_index[name] for name in component.budgets]
        full = component.full_fen(cost)
        high = min([full, *(int(direct.around.left[name]) for name in names)])
        if high < component.min_fen:
            return None
        highs.append((full, high, names))
    ceiling = terms.ceiling_fen(cost)
    binding = sum(high for _, high, _ in highs) >= ceiling
    reached = model.new_bool_var("") if binding else None
    amounts: list[cp_model.IntVar] = []
    for index, (component, (full, high, names)) in enumerate(zip(terms.components, highs, strict=True)):
        sigma = model.new_int_var(0, high, "")
        model.add(sigma <= high * chosen)
        if component.min_fen:
            model.add(sigma >= component.min_fen * chosen)
        if component.fixed:
            excuses = [] if reached is None else [reached]
            _fixed(direct, sigma, full, names, [chosen.Not(), *excuses])
        for name in names:
            direct.spent[name].append(sigma)
        block.sigma[pair, option, index] = sigma
        amounts.append(sigma)
    if reached is not None:
        model.add(sum(amounts) <= ceiling)
        _enforce(model.add(sum(amounts) == ceiling), reached)
    return amounts


def _fixed(
    direct: Direct, sigma: cp_model.IntVar, full: int, names: list[int], excuses: Sequence[cp_model.LiteralT]
) -> None:
    """A fixed component is full, or one of its budgets is exhausted, or one of the excuses holds."""
    model = direct.model
    whole = model.new_bool_var("")
    _enforce(model.add(sigma == full), whole)
    for name in names:
        if name not in direct.exhausted:
            direct.exhausted[name] = model.new_bool_var("")
    model.add_bool_or([whole, *excuses, *(direct.exhausted[name] for name in names)])


def budgets(direct: Direct) -> None:
    """Σ σ ≤ R_j; a budget counts as exhausted where the sum is R_j."""
    for name, spent in sorted(direct.spent.items()):
        limit = int(direct.around.left[name])
        direct.model.add(sum(spent) <= limit)
        if name in direct.exhausted:
            _enforce(direct.model.add(sum(spent) == limit), direct.exhausted[name])


def shares(direct: Direct) -> None:
    """Σ use·x ≤ limit per share row."""
    columns = direct.columns
    rows: dict[int, list[cp_model.LinearExprT]] = defaultdict(list)
    for block in direct.blocks.values():
        for pair, present in block.present.items():
            use = int(columns.pairs.cards[pair]) * int(columns.pairs.hours[pair])
            own = int(columns.demand.share[block.request])
            other = int(columns.supply.share[int(columns.pairs.offer[pair])])
            for row in {own, other} - {-1}:
                rows[row].append(use * present)
    for row, terms in sorted(rows.items()):
        direct.model.add(sum(terms) <= int(direct.around.share_left[row]))


def pins(direct: Direct) -> None:
    """Each pin of these requests has a block on its offer, at its start where it names one.

    The plan around the model holds no block of a pinned request.
    """
    columns, model = direct.columns, direct.model
    requests = {block.request for block in direct.blocks.values()}
    for index in range(columns.pin_request.size):
        request, start = int(columns.pin_request[index]), int(columns.pin_start[index])
        if request not in requests:
            continue
        held: list[cp_model.IntVar] = []
        for slot in direct.slots_of(request):
            for pair, present in direct.blocks[slot].present.items():
                if columns.pairs.offer[pair] != columns.pin_offer[index]:
                    continue
                literal = present
                if start != NONE:
                    literal = model.new_bool_var("")
                    model.add_implication(literal, present)
                    _enforce(model.add(direct.start_of(slot, pair) == start), literal)
                held.append(literal)
        model.add_bool_or(held)


def objectives(direct: Direct) -> list[cp_model.LinearExprT]:
    """Return the stages of the objective, each to be maximised, in whole units (`scale` of them a fen)."""
    columns = direct.columns
    surplus: list[cp_model.LinearExprT] = []
    coverage: list[cp_model.LinearExprT] = []
    given: list[cp_model.LinearExprT] = []
    scale, rate = surplus_scale(columns)
    largest = 0
    for block in direct.blocks.values():
        weight = int(columns.demand.weight[block.request])
        for pair, present in block.present.items():
            alternative = columns.instance.requests[block.request].alternatives[int(columns.pairs.alternative[pair])]
            margin = weight * scale * (alternative.value_fen - int(columns.pairs.cost[pair]))
            largest += abs(margin) + weight * abs(rate) * int(columns.pairs.cost[pair])
            surplus.append(margin * present)
            coverage.append(weight * alternative.cards * alternative.hours * present)
        for sigma in block.sigma.values():
            surplus.append(weight * rate * sigma)
            given.append(-1 * sigma)
    if largest > MAX_OBJECTIVE:
        raise ModelTooLargeError("the objective of the direct model doesn't fit 64 bits")
    match columns.config.objective:
        case Objective.SURPLUS:
            return [sum(surplus)]
        case Objective.COVERAGE:
            return [sum(coverage), sum(surplus)]
        case Objective.THRIFT:
            return [sum(coverage), sum(given)]


def surplus_scale(columns: Columns) -> tuple[int, int]:
    """Return (units per fen of surplus, units per fen of subsidy), as small as they can be."""
    rate = PPM - columns.config.kappa_ppm
    common = math.gcd(PPM, rate)
    return PPM // common, rate // common


@dataclass(frozen=True)
class Solved:
    """What CP-SAT found: `plan` is `None` without a solution; `bound` is of the first stage, in the stage's unit."""

    plan: Plan | None
    proved: bool
    infeasible: bool
    bound: int | None


class _Watcher(cp_model.CpSolverSolutionCallback):
    def __init__(self, tell: Callable[[float, float], bool]) -> None:
        super().__init__()
        self._tell = tell

    def on_solution_callback(self) -> None:
        if self._tell(self.objective_value, self.best_objective_bound):
            self.stop_search()


def solve_model(
    direct: Direct,
    *,
    seconds: float | None,
    deterministic: float | None,
    workers: int,
    seed: int,
    hint: Plan | None = None,
    tell: Callable[[float, float], bool] = lambda _best, _bound: False,
    feasibility_only: bool = False,
) -> Solved:
    """Solve stage after stage; each keeps what the stages before reached.

    Args:
        direct: The model.
        seconds: Wall time for all stages together.
        deterministic: CP-SAT's deterministic time instead, for runs that must reproduce.
        workers: Threads; 1 where the run must reproduce.
        seed: The solver's.
        hint: A plan to start from.
        tell: Told (best, bound) at each solution of the first stage; returns whether to stop.
        feasibility_only: Look for any solution.
    """
    if hint is not None:
        _hint(direct, hint)
    stages = [] if feasibility_only else objectives(direct)
    plan: Plan | None = None
    bound: int | None = None
    proved = True
    for number, stage in enumerate(stages or [None]):
        if stage is not None:
            direct.model.maximize(stage)
        solver = cp_model.CpSolver()
        parameters = solver.parameters
        parameters.num_workers = workers
        parameters.random_seed = seed
        if seconds is not None:
            parameters.max_time_in_seconds = max(0.01, seconds / len(stages or [None]))
        if deterministic is not None:
            parameters.max_deterministic_time = deterministic
        status = solver.solve(direct.model, _Watcher(tell) if number == 0 else None)
        if status == cp_model.INFEASIBLE:
            return Solved(None, True, True, None)
        if status == cp_model.MODEL_INVALID:
            raise RuntimeError(f"CP-SAT refused the model: {direct.model.validate()}")
        # Without a solution CP-SAT may have stopped before it had any bound, and tells 0.
        if number == 0 and stage is not None and status in {cp_model.OPTIMAL, cp_model.FEASIBLE}:
            bound = math.floor(solver.best_objective_bound + 1e-6)
        proved &= status == cp_model.OPTIMAL
        if status not in {cp_model.OPTIMAL, cp_model.FEASIBLE}:
            return Solved(plan, False, False, bound)
        plan = _plan(direct, solver)
        if stage is not None and number + 1 < len(stages):
            direct.model.add(stage >= round(solver.objective_value))
    return Solved(plan, proved, False, bound)


def _plan(direct: Direct, solver: cp_model.CpSolver) -> Plan:
    columns = direct.columns
    plan = copy_plan(direct.around)
    for slot, block in direct.blocks.items():
        for pair, present in block.present.items():
            if not solver.boolean_value(present):
                continue
            sigma = np.zeros(WIDTH, dtype=np.int64)
            chosen = -1
            for (at, option), literal in block.chosen.items():
                if at == pair and solver.boolean_value(literal):
                    chosen = option
            for (at, option, index), amount in block.sigma.items():
                if at == pair and option == chosen:
                    sigma[index] = solver.value(amount)
            start = solver.value(direct.start_of(slot, pair))
            put(columns.supply, columns.demand, columns.pairs, columns.terms, plan, slot, pair, start, chosen, sigma)
    return plan


def _hint(direct: Direct, plan: Plan) -> None:
    direct.model.clear_hints()
    columns = direct.columns
    for request in {block.request for block in direct.blocks.values()}:
        slots = direct.slots_of(request)
        # Blocks are taken in order in the model; a plan may have them anywhere.
        held = [slot for slot in slots if plan.pair[slot] >= 0]
        for slot, source in zip(slots, [*held, *([None] * (len(slots) - len(held)))], strict=True):
            block = direct.blocks[slot]
            # A hint may not name the constant of a block that is needed.
            if not block.is_needed:
                direct.model.add_hint(block.placed, source is not None)
            for pair, present in block.present.items():
                here = source is not None and plan.pair[source] == pair
                direct.model.add_hint(present, here)
                if here and source is not None:
                    direct.model.add_hint(direct.start_of(slot, pair), int(plan.start[source]))
                for option in range(int(columns.pairs.option_low[pair]), int(columns.pairs.option_high[pair])):
                    taken = here and source is not None and plan.option[source] == option
                    if (pair, option) in block.chosen:
                        direct.model.add_hint(block.chosen[pair, option], taken)
                    for index in range(WIDTH):
                        if (pair, option, index) in block.sigma:
                            amount = int(plan.sigma[source, index]) if taken and source is not None else 0
                            direct.model.add_hint(block.sigma[pair, option, index], amount)

"""Whether an outcome is maximal: no request that isn't fully matched still fits what is left."""

from collections.abc import Sequence

import numpy as np

from app.matching.core.columns import Columns
from app.matching.core.config import Method, Objective
from app.matching.core.constraints import budget_use
from app.matching.core.fcfs import fill_up, submission_order
from app.matching.core.outcome import Match
from app.matching.core.plan import Plan, empty_plan, put
from app.matching.core.sigma import NO_OPTION, WIDTH


def left_out(columns: Columns, matches: Sequence[Match]) -> str | None:
    """Return the ref of a request that still fits beside matches that hold, or `None`.

    First come, first served gives each block the largest subsidy left, so that is how it's asked there; elsewhere with
    the least that will do, too, and what would lower the surplus (its value counts less than `max_net`) may stay out.
    A cost of public funds can rule out what fits: don't ask with κ above 0.
    """
    plan = _plan_of(columns, matches)
    before = plan.placed.copy()
    order = submission_order(columns)
    if columns.config.method is Method.FCFS:
        fill_up(columns, plan, order, -np.inf)
    else:
        least = 0.0 if columns.config.objective is Objective.SURPLUS else -np.inf
        fill_up(columns, plan, order, least)
        fill_up(columns, plan, order, least, sparing=True)
    more = np.flatnonzero(plan.placed != before)
    return columns.instance.requests[int(more[0])].ref if more.size else None


def _plan_of(columns: Columns, matches: Sequence[Match]) -> Plan:
    """Return the plan of these matches; what their subsidies draw is taken from the budgets as a whole."""
    instance, pairs = columns.instance, columns.pairs
    plan = empty_plan(columns)
    nothing = np.zeros(WIDTH, dtype=np.int64)
    for match in matches:
        request, offer = instance.request_index[match.request], instance.offer_index[match.offer]
        own = slice(int(columns.demand.pair_ptr[request]), int(columns.demand.pair_ptr[request + 1]))
        same = (pairs.offer[own] == offer) & (pairs.alternative[own] == match.alternative)
        pair, slot = own.start + int(np.argmax(same)), int(columns.demand.slot_ptr[request]) + match.block
        start = match.start_hour - columns.base_hour
        put(columns.supply, columns.demand, pairs, columns.terms, plan, slot, pair, start, NO_OPTION, nothing)
    used = budget_use(instance, matches)
    plan.left[:] -= np.array([used[budget.name] for budget in instance.budgets], dtype=np.int64)
    return plan

"""Subsidies shared out anew among placed blocks."""

# NumPy's stubs type an element read at an untyped index as an array; compiled code reads scalars.
# pyright: reportArgumentType=false, reportReturnType=false

import numpy as np
import numpy.typing as npt

from app.matching.core.columns import Columns, Pairs
from app.matching.core.compiled import lean
from app.matching.core.plan import Plan
from app.matching.core.sigma import Terms, floor_rate, set_amounts

I64 = npt.NDArray[np.int64]


@lean
def top_up(pairs: Pairs, terms: Terms, plan: Plan, order: I64, needed_only: bool) -> None:
    """Raise each block's amounts, in `order`, as far as its option and what is left of the budgets allow.

    With `needed_only` only `fixed` components are raised, which may not stay below their maximum.
    """
    for slot in order:
        option = plan.option[slot]
        if option < 0:
            continue
        cost = pairs.cost[plan.pair[slot]]
        first = terms.component_ptr[option]
        last = terms.component_ptr[option + 1]
        total = plan.sigma[slot].sum()
        ceiling = floor_rate(terms.ceiling_ppm[option], cost)
        for component in range(first, last):
            if needed_only and not terms.fixed[component]:
                continue
            full = min(terms.cap_fen[component], floor_rate(terms.rate_ppm[component], cost))
            more = min(full - plan.sigma[slot, component - first], ceiling - total)
            for index in range(terms.budget_ptr[component], terms.budget_ptr[component + 1]):
                more = min(more, plan.left[terms.budget[index]])
            if more <= 0:
                continue
            plan.sigma[slot, component - first] += more
            total += more
            for index in range(terms.budget_ptr[component], terms.budget_ptr[component + 1]):
                plan.left[terms.budget[index]] -= more


@lean
def reopen(pairs: Pairs, terms: Terms, plan: Plan, order: I64) -> None:
    """Cut amounts back to what each block needs, and choose an option for blocks that could take one.

    Only for blocks whose options are single components that aren't `fixed`; others stay as they are.
    """
    for slot in order:
        pair = plan.pair[slot]
        if plan.option[slot] < 0:
            # A block without subsidy may take the first option whose minimum is 0.
            for option in range(pairs.option_low[pair], pairs.option_high[pair]):
                first = terms.component_ptr[option]
                single = terms.component_ptr[option + 1] - first == 1
                cost = pairs.cost[pair]
                fits = terms.from_fen[first] <= cost <= terms.to_fen[first]
                if single and fits and terms.min_fen[first] == 0 and not terms.fixed[first]:
                    plan.option[slot] = option
                    set_amounts(plan.sigma[slot], plan.sigma[slot], 0)
                    break
            continue
        first = terms.component_ptr[plan.option[slot]]
        if terms.component_ptr[plan.option[slot] + 1] - first != 1 or terms.fixed[first]:
            continue
        need = max(terms.min_fen[first], pairs.cost[pair] - pairs.max_net[pair])
        less = plan.sigma[slot, 0] - max(0, need)
        if less > 0:
            plan.sigma[slot, 0] -= less
            for index in range(terms.budget_ptr[first], terms.budget_ptr[first + 1]):
                plan.left[terms.budget[index]] += less


def share_out(columns: Columns, plan: Plan, generous: bool) -> None:
    """Share the budgets out anew among the placed blocks, the weightiest first.

    `generous`: up to the most that each may take (surplus); else only what each needs (thrift).
    """
    slots = np.flatnonzero(plan.pair >= 0).astype(np.int64)
    request = columns.pairs.request[plan.pair[slots]]
    weight = columns.demand.weight[request]
    order = slots[np.lexsort((slots, -weight))]
    reopen(columns.pairs, columns.terms, plan, order)
    top_up(columns.pairs, columns.terms, plan, order, not generous)

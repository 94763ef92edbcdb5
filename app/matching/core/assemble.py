"""From a plan to an outcome: matches in canonical order, objective, bound, duals, explanations."""

from collections.abc import Sequence

import numpy as np

from app.matching.core.certificate import certified_bound
from app.matching.core.columns import Columns
from app.matching.core.constraints import budget_use
from app.matching.core.explain import explain
from app.matching.core.objective import stages
from app.matching.core.outcome import BudgetUse, Duals, Match, Outcome, Status, Subsidy
from app.matching.core.plan import Plan


def matches_of(columns: Columns, plan: Plan) -> tuple[Match, ...]:
    """Return the plan's matches by request ref; blocks are numbered from 0 by start, then offer."""
    pairs, instance = columns.pairs, columns.instance
    slots = np.flatnonzero(plan.pair >= 0)
    chosen = plan.pair[slots]
    order = np.lexsort((pairs.offer[chosen], plan.start[slots], pairs.request[chosen]))
    matches: list[Match] = []
    block, last = 0, -1
    for slot in slots[order]:
        pair = int(plan.pair[slot])
        request = int(pairs.request[pair])
        block = block + 1 if request == last else 0
        last = request
        subsidies = _subsidies(columns, plan, int(slot))
        cost = int(pairs.cost[pair])
        given = sum(subsidy.amount_fen for subsidy in subsidies)
        matches.append(
            Match(
                request=instance.requests[request].ref,
                block=block,
                alternative=int(pairs.alternative[pair]),
                offer=instance.offers[int(pairs.offer[pair])].ref,
                start_hour=int(plan.start[slot]) + columns.base_hour,
                hours=int(pairs.hours[pair]),
                cards=int(pairs.cards[pair]),
                cost_fen=cost,
                subsidies=subsidies,
                surplus_fen=int(pairs.max_net[pair]) - cost + given,
            )
        )
    return tuple(matches)


def _subsidies(columns: Columns, plan: Plan, slot: int) -> tuple[Subsidy, ...]:
    option = int(plan.option[slot])
    if option < 0:
        return ()
    components = columns.instance.options[columns.option_ids[option]].components
    return tuple(
        Subsidy(component.programme, component.tier, int(plan.sigma[slot, index]))
        for index, component in enumerate(components)
        if plan.sigma[slot, index] > 0
    )


def finished(
    columns: Columns,
    matches: Sequence[Match],
    duals: Duals,
    *,
    proved: bool,
    solver_bound_fen: int | None = None,
) -> Outcome:
    """Return the outcome of these matches with its certificate and explanations."""
    instance, config = columns.instance, columns.config
    bound = certified_bound(columns, duals)
    values = stages(instance, config, matches, bound)
    used = budget_use(instance, matches)
    optimal = proved or (len(values) == 1 and values[0].value == bound)
    return Outcome(
        status=Status.OPTIMAL if optimal else Status.FEASIBLE,
        detail=None,
        matches=tuple(matches),
        objective_fen=values[0].value,
        bound_fen=bound,
        solver_bound_fen=solver_bound_fen,
        objectives=values,
        duals=duals,
        unmatched=explain(columns, matches),
        budgets=tuple(
            BudgetUse(budget.name, budget.limit_fen, used[budget.name], duals.budgets.get(budget.name, 0))
            for budget in instance.budgets
        ),
    )


def ended(status: Status, detail: str) -> Outcome:
    """Return the outcome of a run without a verified result."""
    return Outcome(
        status=status,
        detail=detail,
        matches=(),
        objective_fen=None,
        bound_fen=None,
        solver_bound_fen=None,
        objectives=(),
        duals=Duals(),
        unmatched=(),
        budgets=(),
    )

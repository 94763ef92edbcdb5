"""Check an outcome against its instance and configuration, in exact integers and without any solver."""

from collections import Counter
from collections.abc import Iterator

from app.matching.core import constraints
from app.matching.core.certificate import DualsError, certified_bound
from app.matching.core.columns import Columns, build_columns
from app.matching.core.config import SolverConfig
from app.matching.core.explain import explain
from app.matching.core.instance import Instance
from app.matching.core.maximal import left_out
from app.matching.core.objective import stages
from app.matching.core.outcome import Outcome, Status

WITH_MATCHES = frozenset({Status.OPTIMAL, Status.FEASIBLE})


class VerificationError(Exception):
    """The first thing that is wrong with an outcome."""


def violations(instance: Instance, config: SolverConfig, outcome: Outcome) -> Iterator[str]:
    """Yield each broken constraint of the matches; later families are only looked at once the earlier hold."""
    matches = outcome.matches
    wrong = list(constraints.columns(instance, matches))
    yield from wrong
    if wrong:
        return
    yield from constraints.blocks(instance, matches)
    yield from constraints.capacity(instance, matches)
    yield from constraints.subsidies(instance, matches)
    yield from constraints.budgets(instance, matches)
    yield from constraints.shares(instance, config, matches)
    yield from constraints.pins(config, matches)
    yield from constraints.forbids(config, matches)


def verify(
    instance: Instance,
    config: SolverConfig,
    outcome: Outcome,
    *,
    columns: Columns | None = None,
    explained: bool = True,
) -> None:
    """Recompute feasibility, amounts, objective, bound and explanations.

    Args:
        instance: What was cleared.
        config: How it was cleared.
        outcome: What to check.
        columns: Those of the instance and configuration where they are at hand.
        explained: Whether to check the unmatched requests' reasons and changes too.

    Raises:
        VerificationError: with the first thing wrong.
        InstanceError: if the configuration doesn't fit the instance.
    """
    if outcome.status not in WITH_MATCHES:
        _check_empty(outcome)
        return
    for violation in violations(instance, config, outcome):
        raise VerificationError(violation)
    columns = columns or build_columns(instance, config)
    try:
        bound = certified_bound(columns, outcome.duals)
    except DualsError as error:
        raise VerificationError(f"duals: {error}") from None
    if outcome.bound_fen != bound:
        raise VerificationError(f"bound_fen is {outcome.bound_fen}, the duals prove {bound}")
    expected = stages(instance, config, outcome.matches, bound)
    if outcome.objectives != expected:
        raise VerificationError(f"objectives are {outcome.objectives}, recomputed {expected}")
    if outcome.objective_fen != expected[0].value:
        raise VerificationError(f"objective_fen is {outcome.objective_fen}, recomputed {expected[0].value}")
    if expected[0].value > bound:
        raise VerificationError(f"objective {expected[0].value} is above its bound {bound}")
    _check_proof(outcome, bound)
    _check_budgets(instance, outcome)
    _check_unmatched(instance, outcome)
    fitting = None if config.kappa_ppm else left_out(columns, outcome.matches)
    if fitting is not None:
        raise VerificationError(f"unmatched {fitting}: it still fits what is left")
    if explained:
        for given, found in zip(outcome.unmatched, explain(columns, outcome.matches), strict=True):
            if given != found:
                raise VerificationError(f"unmatched {given.request}: given {given}, recomputed {found}")


def _check_empty(outcome: Outcome) -> None:
    if outcome.matches or outcome.objective_fen is not None or outcome.bound_fen is not None:
        raise VerificationError(f"a run that ended {outcome.status.value} has no matches, objective or bound")


def _check_proof(outcome: Outcome, bound: int) -> None:
    """What a solver proved leaves no certificate; that it is no contradiction can be seen."""
    proved, objective = outcome.solver_bound_fen, outcome.objective_fen
    if objective is None or (proved is not None and proved < objective):
        raise VerificationError(f"solver_bound_fen is {proved}, below the objective {objective}")
    # The objective is rounded down and the bounds up: with a cost of public funds a fen may lie between.
    if outcome.status is Status.OPTIMAL and min(bound, bound if proved is None else proved) > objective + 1:
        raise VerificationError(f"optimal, but the bounds {bound} and {proved} are above the objective {objective}")


def _check_budgets(instance: Instance, outcome: Outcome) -> None:
    used = constraints.budget_use(instance, outcome.matches)
    listed = {use.name: use for use in outcome.budgets}
    if set(listed) != set(used) or len(listed) != len(outcome.budgets):
        raise VerificationError("budgets: not each budget is listed once")
    for budget in instance.budgets:
        use = listed[budget.name]
        if (use.limit_fen, use.used_fen) != (budget.limit_fen, used[budget.name]):
            raise VerificationError(
                f"budget {budget.name}: listed {use.used_fen} of {use.limit_fen}, "
                f"recomputed {used[budget.name]} of {budget.limit_fen}"
            )
        if use.shadow_price_micro != outcome.duals.budgets.get(budget.name, 0):
            raise VerificationError(f"budget {budget.name}: the shadow price is not its dual")


def _check_unmatched(instance: Instance, outcome: Outcome) -> None:
    placed = Counter(match.request for match in outcome.matches)
    expected = {
        request.ref: request.blocks - placed[request.ref]
        for request in instance.requests
        if placed[request.ref] < request.blocks
    }
    listed = {unmatched.request: unmatched.blocks_unmatched for unmatched in outcome.unmatched}
    if listed != expected or len(listed) != len(outcome.unmatched):
        wrong = sorted(set(listed.items()) ^ set(expected.items()))
        raise VerificationError(f"unmatched: {wrong[0][0] if wrong else 'a request'} is not listed as it should be")

"""The constraint families, checked on matches in exact integers without a solver; each yields what is wrong.

`core.cpsat` has a function of the same name per family that adds it to a model; `docs/matching/` a page.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from app.kit.money import PPM, cost_fen
from app.kit.time import format_rfc3339, from_hour_index
from app.matching.core.acceptance import Acceptance
from app.matching.core.columns import binding_pins
from app.matching.core.config import SolverConfig
from app.matching.core.instance import Component, Instance, Option
from app.matching.core.outcome import Match


def _place(match: Match) -> str:
    return f"match of {match.request} block {match.block} on {match.offer}"


def _hour(hour: int) -> str:
    return format_rfc3339(from_hour_index(hour))


def columns(instance: Instance, matches: Sequence[Match]) -> Iterator[str]:
    """Each match is a column: known parts, an accepted chip and site, inside the window, its cost and surplus right."""
    acceptance = Acceptance(instance)
    for match in matches:
        place = _place(match)
        index = instance.request_index.get(match.request)
        offer_at = instance.offer_index.get(match.offer)
        if index is None or offer_at is None:
            yield f"{place}: no such {'request' if index is None else 'offer'}"
            continue
        request, offer = instance.requests[index], instance.offers[offer_at]
        if not 0 <= match.alternative < len(request.alternatives):
            yield f"{place}: no alternative {match.alternative}"
            continue
        wanted = request.alternatives[match.alternative]
        if (match.cards, match.hours) != (wanted.cards, wanted.hours):
            yield f"{place}: {match.cards} cards x {match.hours} h, asked {wanted.cards} x {wanted.hours}"
        if offer_at not in acceptance.offers(request, wanted):
            yield f"{place}: the request doesn't accept {offer.chip} in {offer.region} of {offer.supplier}"
        if match.start_hour < request.earliest_hour or match.start_hour + match.hours > request.deadline_hour:
            yield f"{place}: {_hour(match.start_hour)} for {match.hours} h leaves the window"
        cost = cost_fen(offer.price_fen, wanted.cards, wanted.hours)
        if match.cost_fen != cost:
            yield f"{place}: cost_fen is {match.cost_fen}, the posted price gives {cost}"
        if match.net_fen > wanted.max_net_fen:
            yield f"{place}: net {match.net_fen} fen is above the buyer's most, {wanted.max_net_fen}"
        if match.surplus_fen != wanted.max_net_fen - match.net_fen:
            yield f"{place}: surplus_fen is {match.surplus_fen}, not {wanted.max_net_fen - match.net_fen}"


def blocks(instance: Instance, matches: Sequence[Match]) -> Iterator[str]:
    """Σ x ≤ B_q, and = 0 or ≥ M_q; each block number once, from 0, below B_q."""
    seen: dict[str, set[int]] = defaultdict(set)
    for match in matches:
        request = instance.requests[instance.request_index[match.request]]
        if not 0 <= match.block < request.blocks:
            yield f"{_place(match)}: block is not between 0 and {request.blocks - 1}"
        if match.block in seen[match.request]:
            yield f"{_place(match)}: the block is matched twice"
        seen[match.request].add(match.block)
    for ref, numbers in seen.items():
        least = instance.requests[instance.request_index[ref]].min_blocks
        if len(numbers) < least:
            yield f"request {ref}: {len(numbers)} blocks matched, at least {least} or none are wanted"


def capacity(instance: Instance, matches: Sequence[Match]) -> Iterator[str]:
    """Σ n·x ≤ K_o(t) for every offer and hour."""
    changes: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for match in matches:
        changes[match.offer][match.start_hour] += match.cards
        changes[match.offer][match.start_hour + match.hours] -= match.cards
    for ref in sorted(changes):
        offer = instance.offers[instance.offer_index[ref]]
        steps = dict(offer.steps)
        used = available = 0
        for hour in sorted({*changes[ref], *steps}):
            used += changes[ref].get(hour, 0)
            available = steps.get(hour, available)
            if used > available:
                yield f"offer {ref} at {_hour(hour)}: {used} cards matched, {available} available"
                break


def budget_use(instance: Instance, matches: Sequence[Match]) -> dict[str, int]:
    """Return what the matches take of each budget, in fen."""
    budgets = {
        (option.buyer, option.subsidy_class, component.programme, component.tier): component.budgets
        for option in instance.options
        for component in option.components
    }
    used = {budget.name: 0 for budget in instance.budgets}
    for match in matches:
        party = instance.requests[instance.request_index[match.request]].party
        kind = instance.offers[instance.offer_index[match.offer]].subsidy_class
        for subsidy in match.subsidies:
            for name in budgets.get((party, kind, subsidy.programme, subsidy.tier), ()):
                used[name] += subsidy.amount_fen
    return used


def budgets(instance: Instance, matches: Sequence[Match]) -> Iterator[str]:
    """Σ σ ≤ R_j for every budget."""
    used = budget_use(instance, matches)
    for budget in instance.budgets:
        if used[budget.name] > budget.limit_fen:
            yield f"budget {budget.name}: {used[budget.name]} fen used of {budget.limit_fen}"


def subsidies(instance: Instance, matches: Sequence[Match]) -> Iterator[str]:
    """m_c ≤ σ_c ≤ min(⌊rate_c·C⌋, cap_c, R_j), Σσ ≤ ⌊ceiling·C⌋, and `fixed` tiers in full unless a budget is spent."""
    options: dict[tuple[str, str], list[Option]] = defaultdict(list)
    for option in instance.options:
        options[option.buyer, option.subsidy_class].append(option)
    used = budget_use(instance, matches)
    left = {budget.name: budget.limit_fen - used[budget.name] for budget in instance.budgets}
    limit = {budget.name: budget.limit_fen for budget in instance.budgets}
    for match in matches:
        amounts = {(subsidy.programme, subsidy.tier): subsidy.amount_fen for subsidy in match.subsidies}
        if not match.subsidies:
            continue
        if len(amounts) != len(match.subsidies) or min(amounts.values()) <= 0:
            yield f"{_place(match)}: subsidies must be one amount > 0 per tier"
            continue
        party = instance.requests[instance.request_index[match.request]].party
        kind = instance.offers[instance.offer_index[match.offer]].subsidy_class
        faults = [_option_fault(option, amounts, match.cost_fen, limit, left) for option in options[party, kind]]
        if None not in faults:
            reason = faults[0] if faults else f"{party} may take no subsidy here"
            yield f"{_place(match)}: {reason}"


def _option_fault(
    option: Option, amounts: dict[tuple[str, str], int], cost: int, limit: dict[str, int], left: dict[str, int]
) -> str | None:
    """Return why the amounts aren't allowed under an option, or `None`."""
    tiers = {(component.programme, component.tier) for component in option.components}
    if not set(amounts) <= tiers:
        return f"{min(set(amounts) - tiers)} is not a tier of this option"
    ceiling = option.ceiling_fen(cost)
    total = sum(amounts.values())
    if total > ceiling:
        return f"subsidies of {total} fen pass the ceiling of {ceiling}"
    faults = (
        _component_fault(component, amounts.get((component.programme, component.tier), 0), cost, limit, left)
        for component in option.components
    )
    for fault, short in faults:
        # What is fixed may stay short where the ceiling binds.
        if fault is not None and not (short and total == ceiling):
            return fault
    return None


def _component_fault(
    component: Component, amount: int, cost: int, limit: dict[str, int], left: dict[str, int]
) -> tuple[str | None, bool]:
    """Return why an amount isn't allowed, or `None`; and whether that is only because a fixed tier gives more."""
    name = f"{component.programme} {component.tier}"
    full = component.full_fen(cost)
    if full < 0:
        return f"{name} is not for contracts of {cost} fen", False
    high = min([full, *(limit[budget] for budget in component.budgets)])
    if amount > high:
        return f"{name}: {amount} fen is above the most, {high}", False
    if amount < component.min_fen:
        return f"{name}: {amount} fen is below the minimum, {component.min_fen}", False
    spent = any(left[budget] <= 0 for budget in component.budgets)
    if component.fixed and amount < full and not spent:
        return f"{name} is fixed at {full} fen, {amount} given while no budget is exhausted", True
    return None, False


def shares(instance: Instance, config: SolverConfig, matches: Sequence[Match]) -> Iterator[str]:
    """Card-hours of a named buyer or supplier ≤ ⌊share × card-hours requested in the run⌋."""
    used: dict[str, int] = defaultdict(int)
    for match in matches:
        used[f"buyer/{instance.requests[instance.request_index[match.request]].buyer}"] += match.cards * match.hours
        used[f"supplier/{instance.offers[instance.offer_index[match.offer]].supplier}"] += match.cards * match.hours
    for share in config.shares:
        limit = share.share_ppm * instance.requested_card_hours // PPM
        if used[share.name] > limit:
            yield f"share {share.name}: {used[share.name]} card-hours matched, at most {limit} allowed"


def pins(config: SolverConfig, matches: Sequence[Match]) -> Iterator[str]:
    """Each pin has a block of its request on its offer, at its start where it names one."""
    placed: dict[tuple[str, str], set[int]] = defaultdict(set)
    for match in matches:
        placed[match.request, match.offer].add(match.start_hour)
    for pin in binding_pins(config.pins):
        starts = placed[pin.request, pin.offer]
        if not starts or (pin.start_hour is not None and pin.start_hour not in starts):
            when = "" if pin.start_hour is None else f" at {_hour(pin.start_hour)}"
            yield f"pin {pin.request} on {pin.offer}{when}: no such match"


def forbids(config: SolverConfig, matches: Sequence[Match]) -> Iterator[str]:
    """No match of a forbidden pair."""
    banned = {(pair.request, pair.offer) for pair in config.forbids}
    for match in matches:
        if (match.request, match.offer) in banned:
            yield f"{_place(match)}: the pair is forbidden"
